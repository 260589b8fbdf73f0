"""How good a smaller picture is, and what it costs: SSIMULACRA2, bytes and CPU time. docs/decisions.md has figures.

    .venv/bin/pip install ssimulacra2
    .venv/bin/python -m bench.quality DIR [--boxes 900 680 512 360] [--format jpeg] [--stored]

DIR has photographs, of any format that imgserve reads and at least 2040 px wide: those of Debian's packages
``plasma-workspace-wallpapers`` and ``mate-backgrounds``, for example. Each is made a JPEG of 2040 px, 4:2:0 and
quality 90, and from there fitted into the boxes by the pipeline of the workers. The reference is that JPEG, made
smaller by Lanczos in linear light, in floats. ``--stored``: by stored values (``linear_light: false``). Other checkouts
are compared by a run in each.
"""

import argparse
import time
from pathlib import Path
from statistics import mean, median

import pyvips
from bench.effort import score

from imgserve.blob import Blob
from imgserve.imaging.worker import load, pipeline, vips
from imgserve.imaging.worker.picture import Picture
from imgserve.request.encode import DEFAULT_QUALITY, Encode, Format
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering, resolve

WIDTH_PX, QUALITY = 2040, 90
_RUNS = 7


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.quality", description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--boxes", type=int, nargs="+", default=[900, 680, 512, 360])
    parser.add_argument("--format", default="jpeg")
    parser.add_argument("--stored", action="store_true", help="by stored values instead of light")
    given = parser.parse_args()
    vips.configure()
    sources = [photograph(path) for path in sorted(given.directory.iterdir()) if path.is_file()]
    print(f"{len(sources)} photographs of {WIDTH_PX} px")
    print("| box | SSIMULACRA2, mean | lowest | KB | CPU, ms |")
    print("|---|---|---|---|---|")
    for box in given.boxes:
        rows = [measured(source, box, given.format, is_stored=given.stored) for source in sources]
        scores, sizes, times = zip(*rows, strict=True)
        print(
            f"| {box} | {mean(scores):.2f} | {min(scores):.1f} | {mean(sizes) / 1024:.1f} | {mean(times):.2f} |",
            flush=True,
        )


def photograph(path: Path) -> bytes:
    image = pyvips.Image.new_from_file(str(path)).thumbnail_image(WIDTH_PX, linear=True, height=10**6)
    return bytes(image.colourspace("srgb").jpegsave_buffer(Q=QUALITY, subsample_mode="on", keep="none"))


def measured(source: bytes, box: int, output_format: Format, *, is_stored: bool) -> tuple[float, int, float]:
    """The score, the bytes, and the milliseconds of CPU time."""
    resize = Resize(box, box, fit="inside", linear_light=False if is_stored else "auto")
    recipe = Recipe((resize,), Encode(output_format))
    rendering = resolve(recipe, load.info(Picture(source, "jpeg")), Limits(), DEFAULT_QUALITY)
    times, file = [], b""
    for _ in range(_RUNS):
        begin = time.process_time()
        file = rendered(source, rendering)
        times.append((time.process_time() - begin) * 1000)
    assert rendering.size is not None
    return score(reference(source, rendering.size.width_px, rendering.size.height_px), file), len(file), median(times)


def rendered(source: bytes, rendering: Rendering) -> bytes:
    with Blob() as result:
        pipeline.render(source, rendering, Limits(), result.fd)
        return Path(f"/proc/self/fd/{result.fd}").read_bytes()


def reference(source: bytes, width: int, height: int) -> pyvips.Image:
    light = pyvips.Image.new_from_buffer(source, "").colourspace("scrgb")
    smaller = light.resize(width / light.width, vscale=height / light.height, kernel="lanczos3", gap=0)
    return smaller.colourspace("srgb").cast("uchar").copy_memory()


if __name__ == "__main__":
    main()
