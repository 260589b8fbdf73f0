"""How good a smaller picture is, and what it costs: SSIMULACRA2, bytes and CPU time, for each profile.

    make .venv/.bench
    .venv/bin/python -m bench.quality DIR [--boxes 900 680 512 360] [--format jpeg webp avif] [--source FORMAT]
                                          [--profiles …] [--stored] [--save FILE] [--against FILE]

DIR has photographs, of any format that imgserve reads and at least 2040 px wide: those of Debian's packages
``plasma-workspace-wallpapers`` and ``mate-backgrounds``, for example, which ``make bench`` leaves in
.venv/bench/photographs. Each is made 2040 px wide, in the format of the result or in ``--source``, at quality 90 (JPEG
4:2:0), and from there fitted into the boxes by the pipeline of the workers. The reference is that file, made smaller by
Lanczos in linear light, in floats. ``--stored``: by stored values (``linear_light: false``).

Two checkouts are compared by a run in each: ``--save`` in the old one, ``--against`` in the new one. A step that loses
more than half a point, or makes files more than 2 % larger, is void.

*libvips* is its own ``thumbnail`` and saver, which is also what sharp calls. *At equal bytes* is the score of a
profile where it writes as many bytes as libvips, minus the score of libvips: on a straight line through the scores of
two qualities, over the logarithm of the bytes.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from math import log
from pathlib import Path
from statistics import mean, median
from typing import Literal, NamedTuple, get_args

import msgspec
import pyvips
from bench.effort import score

from imgserve.blob import Blob
from imgserve.imaging.worker import load, pipeline, vips
from imgserve.imaging.worker.detect import detect
from imgserve.imaging.worker.picture import Picture
from imgserve.request.encode import Encode, Format, RenderProfile
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering, resolve

WIDTH_PX, QUALITY = 2040, 90
# As imgproxy's public harness has them.
BARE_QUALITY: dict[Format, int] = {"jpeg": 80, "webp": 75, "avif": 65}
STEP = 6  # of the quality, for the second point of the line
_RUNS = 7
MOST_POINTS_LOST, MOST_BYTES_MORE = 0.5, 0.02
InputFormat = Literal["jpeg", "png", "webp", "avif"]

Make = Callable[[bytes, Size], bytes]


class Row(NamedTuple):
    """Of all photographs: the scores' mean and lowest, the mean of bytes and CPU time."""

    score: float
    lowest: float
    size_bytes: float
    cpu_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.quality", description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--boxes", type=int, nargs="+", default=[900, 680, 512, 360])
    parser.add_argument("--format", nargs="+", choices=BARE_QUALITY, default=["jpeg"])
    parser.add_argument("--profiles", nargs="+", choices=get_args(RenderProfile), default=get_args(RenderProfile))
    parser.add_argument("--source", choices=get_args(InputFormat), help="the format of the photographs")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the figures, for --against")
    parser.add_argument("--against", type=Path, metavar="FILE", help="figures of another checkout")
    parser.add_argument("--stored", action="store_true", help="by stored values instead of light")
    parser.add_argument("--effort", type=int, default=0, help="of libvips' AVIF; its own default is 4")
    given = parser.parse_args()
    vips.configure()
    before = msgspec.json.decode(given.against.read_bytes(), type=dict[str, Row]) if given.against else {}
    rows: dict[str, Row] = {}
    for output_format in given.format:
        paths = [path for path in sorted(given.directory.iterdir()) if path.is_file()]
        sources = [photograph(path, given.source or output_format) for path in paths]
        print(f"\n{output_format}: {len(sources)} photographs of {WIDTH_PX} px\n")
        more = ("points", "bytes", "CPU", "step") if before else ()
        columns = ("box", "by", "SSIMULACRA2, mean", "lowest", "KB", "CPU, ms", "at equal bytes", *more)
        print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
        for box in given.boxes:
            made = compare(sources, box, output_format, given.profiles, is_stored=given.stored, effort=given.effort)
            for name, (row, gained) in made.items():
                place = f"{output_format} {box} {name}"
                rows[place] = row
                print_row(box, name, row, gained, before.get(place))
    if given.save:
        given.save.write_bytes(msgspec.json.encode(rows))


def compare(
    sources: Sequence[bytes],
    box: int,
    output_format: Format,
    profiles: Sequence[RenderProfile],
    *,
    is_stored: bool,
    effort: int,
) -> dict[str, tuple[Row, float]]:
    """Of libvips and of each profile, with what it gains at equal bytes."""
    bare_quality = BARE_QUALITY[output_format]
    bare = measured(sources, box, partial(of_libvips, output_format=output_format, quality=bare_quality, effort=effort))
    rows = {"libvips": (bare, 0.0)}
    for profile in profiles:
        points = []
        for quality in (bare_quality, bare_quality + STEP):
            make = maker(output_format, profile, quality, is_stored=is_stored)
            points.append(measured(sources, box, make, runs=_RUNS if quality == bare_quality else 1))
        rows[profile] = points[0], at_bytes(points, bare.size_bytes) - bare.score
    return rows


def print_row(box: int, name: str, row: Row, gained: float, before: Row | None) -> None:
    shown = f"{row.score:.2f} | {row.lowest:.1f} | {row.size_bytes / 1024:.1f} | {row.cpu_ms:.2f} | {gained:+.2f}"
    print(f"| {box} | {name} | {shown} |{verdict(row, before) if before else ''}", flush=True)


def verdict(row: Row, before: Row) -> str:
    points, growth = row.score - before.score, row.size_bytes / before.size_bytes - 1
    is_void = points < -MOST_POINTS_LOST or growth > MOST_BYTES_MORE
    cpu = row.cpu_ms / before.cpu_ms
    return f" {points:+.2f} | {growth:+.1%} | {cpu:.2f} | {'VOID' if is_void else 'stands'} |"


def at_bytes(points: Sequence[Row], size_bytes: float) -> float:
    """The score at so many bytes, on the line through both points."""
    first, second = points
    slope = (second.score - first.score) / log(second.size_bytes / first.size_bytes)
    return first.score + slope * log(size_bytes / first.size_bytes)


def photograph(path: Path, output_format: InputFormat = "jpeg") -> bytes:
    """Of ``WIDTH_PX``, in this format."""
    image = pyvips.Image.new_from_file(str(path)).thumbnail_image(WIDTH_PX, linear=True, height=10**6)
    image = image.colourspace("srgb")
    if output_format == "jpeg":
        return bytes(image.jpegsave_buffer(Q=QUALITY, subsample_mode="on", keep="none"))
    if output_format == "avif":
        return bytes(image.heifsave_buffer(Q=QUALITY, compression="av1", effort=1, keep="none"))
    if output_format == "png":
        return bytes(image.pngsave_buffer(keep="none"))
    return bytes(image.webpsave_buffer(Q=QUALITY, keep="none"))


def measured(sources: Sequence[bytes], box: int, make: Make, runs: int = _RUNS) -> Row:
    rows = [_measured(source, box, make, runs) for source in sources]
    scores, sizes, times = zip(*rows, strict=True)
    return Row(mean(scores), min(scores), mean(sizes), mean(times))


def _measured(source: bytes, box: int, make: Make, runs: int) -> tuple[float, int, float]:
    """The score, the bytes, and the milliseconds of CPU time."""
    size = resolve(Recipe((Resize(box, box, fit="inside"),)), info_of(source), Limits()).size
    assert size is not None
    times, file = [], b""
    for _ in range(runs):
        begin = time.process_time()
        file = make(source, size)
        times.append((time.process_time() - begin) * 1000)
    return score(reference(source, size.width_px, size.height_px), file), len(file), median(times)


def maker(output_format: Format, profile: RenderProfile, quality: int, *, is_stored: bool = False) -> Make:
    def make(source: bytes, size: Size) -> bytes:
        resize = Resize(size.width_px, size.height_px, fit="fill", linear_light=False if is_stored else "auto")
        recipe = Recipe((resize,), Encode(output_format, quality, render_profile=profile))
        return rendered(source, resolve(recipe, info_of(source), Limits()))

    return make


def of_libvips(source: bytes, size: Size, output_format: Format, quality: int, effort: int) -> bytes:
    image = pyvips.Image.thumbnail_buffer(source, size.width_px, height=size.height_px, size="force")
    if output_format == "avif":
        return bytes(image.heifsave_buffer(Q=quality, compression="av1", effort=effort, keep="none"))
    return bytes(getattr(image, f"{output_format}save_buffer")(Q=quality, keep="none"))


def info_of(source: bytes) -> ImageInfo:
    source_format = detect(source)
    assert source_format is not None
    return load.info(Picture(source, source_format))


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
