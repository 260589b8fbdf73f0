"""Makes the planes of a JPEG or WebP smaller, without a turn through RGB, and luma by its light.

Called by ``inplanes``. Light adds up, stored values do not: a thin bright line on black, made smaller by its stored
values, is too dark. A value's square stands for its light here, in a WebP too, whose black is 16. sRGB's own curve
(IEC 61966-2-1) gives the same quality by SSIMULACRA2, and the same bytes.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

import pyvips

from imgserve.imaging.worker.cover import FIRST_TURNED, Part
from imgserve.imaging.worker.formats import resizer
from imgserve.imaging.worker.formats.turbojpeg import Plane, Planes
from imgserve.imaging.worker.formats.turns import UPRIGHT
from imgserve.request.imageinfo import Size

_MOST = 255
# JPEG's luma is in the full range (JFIF 1.02), WebP's in that of video (RFC 6386, section 9.2, and ITU-R BT.601), where
# black is 16, white 235, and chroma has 224 steps around its middle.
_BLACK, _STEPS, _CHROMA_STEPS, _MIDDLE = 16, 219, 224, 128
BAND_SAMPLES = 1 << 21  # fewer cost time, since bands overlap

Range = Literal["full", "video"]


class Ranges(NamedTuple):
    """Of the planes before and behind."""

    source: Range = "full"
    target: Range = "full"


_SAME = Ranges()


def smaller(
    planes: Planes,
    part: Part,
    size: Size,
    chroma_side: int,
    ranges: Ranges = _SAME,
    *,
    is_in_light: bool,
    is_exact: bool = False,
) -> list[bytes]:
    """Each plane of a picture of ``size``, whose chroma has a sample for ``chroma_side`` luma samples across and down.

    ``part``: of the luma. Its sides are those of ``size`` or longer, and not longer than the planes are. ``is_exact``:
    the black of video has no light, which gives 0.25 points of SSIMULACRA2 more and takes 1.4 ms in 20.
    """
    luma, *chroma = planes.planes
    if is_in_light:
        resized = _resized_by_light(luma, part, size, ranges, _BLACK if is_exact and ranges.source == "video" else 0)
    else:
        resized = _in_range(_resized(luma, part, size), ranges, _luma_in)
    if chroma and chroma_side > 1:
        resized = _to_even(resized, size)
    of_chroma = (_in_range(_chroma(plane, part, size, chroma_side), ranges, _chroma_in) for plane in chroma)
    return [resized, *of_chroma]


def _in_range(samples: bytes, ranges: Ranges, value_in: Callable[[float, Range], float]) -> bytes:
    return samples if ranges.source == ranges.target else samples.translate(_table(ranges, value_in))


@lru_cache(maxsize=4)
def _table(ranges: Ranges, value_in: Callable[[float, Range], float]) -> bytes:
    values = (round(value_in(value, ranges.target)) for value in range(_MOST + 1))
    return bytes(min(max(value, 0), _MOST) for value in values)


def _luma_in(value: float, target: Range) -> float:
    """Of the other range."""
    return _BLACK + value * _STEPS / _MOST if target == "video" else (value - _BLACK) * _MOST / _STEPS


def _chroma_in(value: float, target: Range) -> float:
    factor = _CHROMA_STEPS / _MOST if target == "video" else _MOST / _CHROMA_STEPS
    return _MIDDLE + (value - _MIDDLE) * factor


def _to_even(luma: bytes, size: Size) -> bytes:
    """With an even number of columns and rows: the last ones once more."""
    width, height = size.width_px, size.height_px
    if width % 2:
        luma = b"".join(luma[at : at + width] + luma[at + width - 1 : at + width] for at in range(0, len(luma), width))
        width += 1
    return luma + luma[-width:] if height % 2 else luma


def _chroma(plane: Plane, part: Part, size: Size, side: int) -> bytes:
    """On an odd side the last sample covers the last luma sample alone, as if that were repeated."""
    bands = []
    for top, height, rows in _cuts(part.top, part.height, size.height_px, side):
        tiles = [
            (columns, _resized(plane, Part(left, top, width, height), Size(columns, rows)))
            for left, width, columns in _cuts(part.left, part.width, size.width_px, side)
        ]
        for row in range(rows) if len(tiles) > 1 else ():
            bands += [tile[row * columns : (row + 1) * columns] for columns, tile in tiles]
        bands += [tiles[0][1]] if len(tiles) == 1 else []
    return b"".join(bands)


def _cuts(begin: float, length: float, count: int, side: int) -> list[tuple[float, float, int]]:
    """Where along one side the whole samples are, and the rest: begin, length and number."""
    of_whole = length * (count - count % side) / count
    whole = (begin, of_whole, count // side)
    return [whole, (begin + of_whole, length - of_whole, 1)] if count % side else [whole]


def upright(planes: list[bytes], size: Size, chroma_side: int, orientation: int) -> list[bytes]:
    """Turned and mirrored by EXIF's orientation. ``size`` is that of the luma, and a whole number of chroma samples."""
    if orientation == UPRIGHT:
        return planes
    luma, *chroma = planes
    width = size.width_px
    return [
        _turned(luma, width, orientation),
        *(_turned(plane, width // chroma_side, orientation) for plane in chroma),
    ]


def _turned(plane: bytes, width: int, orientation: int) -> bytes:
    """Exif 2.3, section 4.6.4: the side of the picture where row 0 is, and the one where column 0 is."""
    if orientation >= FIRST_TURNED:
        lines = [plane[column::width] for column in range(width)]
        is_mirrored, is_reversed = orientation in (6, 7), orientation in (7, 8)
    else:
        lines = [plane[at : at + width] for at in range(0, len(plane), width)]
        is_mirrored, is_reversed = orientation in (2, 3), orientation in (3, 4)
    lines = [line[::-1] for line in lines] if is_mirrored else lines
    return b"".join(lines[::-1] if is_reversed else lines)


def _resized(plane: Plane, part: Part, size: Size) -> bytes:
    return resizer.resized(plane.samples, plane.width, plane.height, _of_plane(part, plane), size, "U8")


def _resized_by_light(plane: Plane, part: Part, size: Size, ranges: Ranges, black: int) -> bytes:
    """In bands of rows: light is twice as large as the plane, and is held several times while it is handed on."""
    stored = pyvips.Image.new_from_memory(plane.samples, plane.width, plane.height, 1, "uchar")
    light = pyvips.Region.new(stored.maplut(_squares(black)) if black else stored * stored)
    smaller = resizer.in_bands(
        lambda first, count: bytes(light.fetch(0, first, plane.width, count)),
        plane.width,
        plane.height,
        _of_plane(part, plane),
        size,
        "U16",
        most_pixels=BAND_SAMPLES,
    )
    image = pyvips.Image.new_from_memory(smaller, size.width_px, size.height_px, 1, "ushort")
    return _computed(image.maplut(_roots(ranges, black)))


def _computed(image: pyvips.Image) -> bytes:
    """In this thread: to start libvips' own ones takes longer than the work."""
    return bytes(pyvips.Region.new(image).fetch(0, 0, image.width, image.height))


def _of_plane(part: Part, plane: Plane) -> Part:
    left, top, width, height = part
    return Part(left / plane.across, top / plane.down, width / plane.across, height / plane.down)


@lru_cache(maxsize=1)
def _squares(black: int) -> pyvips.Image:
    """By a table, which takes twice as long as a product."""
    above = pyvips.Image.identity() - black
    return ((above > 0).ifthenelse(above, 0) ** 2).cast("ushort").copy_memory()


@lru_cache(maxsize=4)
def _roots(ranges: Ranges, black: int) -> pyvips.Image:
    """In the target's range, so that each value is rounded once."""
    roots = pyvips.Image.identity(ushort=True) ** 0.5 + black
    if ranges.source != ranges.target:
        roots = roots * (_luma_in(1, ranges.target) - _luma_in(0, ranges.target)) + _luma_in(0, ranges.target)
    roots = (roots > 0).ifthenelse(roots, 0)
    return (roots > _MOST).ifthenelse(_MOST, roots).rint().cast("uchar").copy_memory()
