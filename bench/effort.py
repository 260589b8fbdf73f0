"""What the efforts of ``encode`` cost: CPU time, bytes and SSIMULACRA2. docs/performance.md has the table.

    .venv/bin/pip install ssimulacra2 scikit-image
    .venv/bin/python -m bench.effort            a table in Markdown
    .venv/bin/python -m bench.effort --quality avif 50 58 63 70

Photographs and drawings are those of scikit-image. SSIMULACRA2 is that of the package of this name, 100 for equal
pictures, above 90 for differences that nobody sees. A format without loss has none.
"""

import argparse
import importlib
import importlib.util
import io
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple, get_args

import pyvips
from PIL import Image

from imgserve.blob import Blob
from imgserve.imaging.worker import save, vips
from imgserve.request.encode import DEFAULT_QUALITY, Effort, Encode, Format

PICTURES: Mapping[str, Sequence[str]] = {
    "photographs": ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg"),
    "drawings": ("logo.png", "horse.png", "page.png"),
}
_LONG_ENOUGH_S = 0.2


class Figures(NamedTuple):
    """Of one picture."""

    cpu_ms: float
    size_bytes: int
    file: bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quality", nargs="+", metavar=("FORMAT", "N"), help="compare qualities of a format instead")
    parser.add_argument("--format", choices=get_args(Format), help="this format alone")
    given = parser.parse_args()
    vips.configure()
    if given.quality:
        output_format, *qualities = given.quality
        encodes = [(quality, Encode(output_format, int(quality))) for quality in qualities]
        print("| quality | photographs: ms | KB | SSIMULACRA2 | drawings: ms | KB | SSIMULACRA2 |")
        print("|---|---|---|---|---|---|---|")
        for name, encode in encodes:
            print(f"| {name} | {' | '.join(cells(encode))} |", flush=True)
        return
    print("| format | effort | photographs: ms | KB | SSIMULACRA2 | drawings: ms | KB | SSIMULACRA2 |")
    print("|---|---|---|---|---|---|---|---|")
    for output_format in [given.format] if given.format else get_args(Format):
        for effort in get_args(Effort):
            row = " | ".join(cells(Encode(output_format, effort=effort)))
            print(f"| {output_format} | {effort} | {row} |", flush=True)


def cells(encode: Encode) -> Iterator[str]:
    assert encode.format is not None
    for names in PICTURES.values():
        figures = [(measured(image, encode), image) for image in map(picture, names)]
        yield f"{mean(one.cpu_ms for one, _ in figures):.1f}"
        yield f"{mean(one.size_bytes for one, _ in figures) / 1000:.1f}"
        is_lossy = encode.format in DEFAULT_QUALITY or encode.format == "gif"
        yield f"{mean(score(image, one.file) for one, image in figures):.1f}" if is_lossy else ""


def picture(name: str) -> pyvips.Image:
    """sRGB, 8 bits, three bands, in memory."""
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise SystemExit("this needs two packages more: pip install ssimulacra2 scikit-image")
    image: Image.Image = Image.open(Path(found.origin).parent / "data" / name)
    if image.mode in ("RGBA", "LA", "P"):
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    pixels = image.convert("RGB")
    made = pyvips.Image.new_from_memory(pixels.tobytes(), pixels.width, pixels.height, 3, "uchar")
    return made.copy(interpretation="srgb")


def measured(image: pyvips.Image, encode: Encode) -> Figures:
    assert encode.format is not None
    rounds, begin, file = 0, time.process_time(), b""
    while time.process_time() - begin < _LONG_ENOUGH_S or not rounds:
        with Blob() as result:
            save.write(image, encode.format, encode, result.fd)
            file = Path(f"/proc/self/fd/{result.fd}").read_bytes()
        rounds += 1
    return Figures((time.process_time() - begin) / rounds * 1000, len(file), file)


def score(image: pyvips.Image, file: bytes) -> float:
    compute_ssimulacra2 = importlib.import_module("ssimulacra2").compute_ssimulacra2
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("original.png", "result.png")]
        image.write_to_file(str(paths[0]))
        Image.open(io.BytesIO(file)).convert("RGB").save(paths[1])
        return float(compute_ssimulacra2(*map(str, paths)))


if __name__ == "__main__":
    main()
