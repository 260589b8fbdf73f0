"""The sources of each cell, made of the photographs once and kept, or drawn. Called by ``__main__``."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy
import pyvips
from bench.quality import InputFormat, photograph
from bench.servers import drawings
from bench.servers.cells import FRAMES, Cell

_SEED = 2026
_QUALITY = 90
_THUMB_SIZE, _GIF_SIZE = (1632, 1224), (480, 360)
_LARGE_SIZE, _LARGE = (4000, 3000), 3
_HUGE_SIZE, _HUGE = (6000, 4000), 2
_GRAPHICS, _GIFS, _ICONS, _DRAWINGS = 4, 4, 8, 3
# An enlarged photograph is too smooth: with the grain of a sensor its file has the size that a camera's has.
_GRAIN = 4.0


def sources(cell: Cell, photographs: Sequence[Path], directory: Path) -> list[bytes]:
    """Made at the first call, read from ``directory`` at the next."""
    kept = sorted(directory.glob(f"{cell.name}-*"))
    if not kept:
        directory.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(_MAKERS[cell.name](photographs)):
            (directory / f"{cell.name}-{number:02}.{cell.source_extension}").write_bytes(data)
        kept = sorted(directory.glob(f"{cell.name}-*"))
    return [path.read_bytes() for path in kept]


def _cut(path: Path, width_px: int, height_px: int) -> pyvips.Image:
    image = pyvips.Image.new_from_file(str(path))
    return image.thumbnail_image(width_px, height=height_px, crop="centre", linear=True).colourspace("srgb")


def _jpeg(image: pyvips.Image) -> bytes:
    return bytes(image.jpegsave_buffer(Q=_QUALITY, subsample_mode="on", keep="none"))


def _photographs(source_format: InputFormat) -> Callable[[Sequence[Path]], list[bytes]]:
    return lambda photographs: [photograph(path, source_format) for path in photographs]


def _thumbs(photographs: Sequence[Path]) -> list[bytes]:
    return [_jpeg(_cut(path, *_THUMB_SIZE)) for path in photographs]


def _grained(image: pyvips.Image, random: numpy.random.Generator) -> bytes:
    grain = random.normal(0.0, _GRAIN, size=(image.height, image.width, 1)).astype(numpy.float32)
    noise = pyvips.Image.new_from_memory(grain.tobytes(), image.width, image.height, 1, "float")
    return _jpeg((image + noise).cast("uchar").copy(interpretation="srgb"))


def _enlarged(size: tuple[int, int], count: int) -> Callable[[Sequence[Path]], list[bytes]]:
    def made(photographs: Sequence[Path]) -> list[bytes]:
        random = numpy.random.default_rng(_SEED)
        return [_grained(_cut(path, *size), random) for path in photographs[:count]]

    return made


def _gifs(photographs: Sequence[Path]) -> list[bytes]:
    """A slow pan over a photograph."""
    width_px, height_px = _GIF_SIZE
    animations = []
    for path in photographs[:_GIFS]:
        image = _cut(path, width_px * 2, height_px * 2)
        places = [FRAMES * math.sin(number / FRAMES * math.tau) + FRAMES for number in range(FRAMES)]
        frames = [image.crop(round(4 * place), round(2 * place), width_px, height_px) for place in places]
        strip = pyvips.Image.arrayjoin(frames, across=1).copy()
        strip.set_type(pyvips.GValue.gint_type, "page-height", height_px)
        strip.set_type(pyvips.GValue.array_int_type, "delay", [80] * FRAMES)
        animations.append(bytes(strip.gifsave_buffer()))
    return animations


_MAKERS: dict[str, Callable[[Sequence[Path]], list[bytes]]] = {
    "jpeg": _photographs("jpeg"),
    "png": _photographs("png"),
    "webp": _photographs("webp"),
    "avif": _photographs("avif"),
    "thumb": _thumbs,
    "large": _enlarged(_LARGE_SIZE, _LARGE),
    "huge": _enlarged(_HUGE_SIZE, _HUGE),
    "graphics": lambda _: [drawings.screenshot(number) for number in range(_GRAPHICS)],
    "gif": _gifs,
    "icon": lambda _: [drawings.icon(number) for number in range(_ICONS)],
    "drawing": lambda _: [drawings.illustration(number) for number in range(_DRAWINGS)],
}
