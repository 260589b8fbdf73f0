"""Colour models of TIFF that libvips takes for another one. Called by load, before and after it opens the file.

8-bit CIE L*a*b*, which libvips would pack its own way, is opened as if it were RGB; the signs and offsets of the models
are put right here: TIFF 6.0, sections 21 and 23; ICCLab: Adobe Photoshop TIFF Technical Notes (2002); ITULab: RFC 2301,
section 6.2.3.
"""

import mmap
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker import tiff

Data = bytes | mmap.mmap

_BITS, _COMPRESSION, _PHOTOMETRIC, _SUBSAMPLING, _COEFFICIENTS = 258, 259, 262, 530, 529
_RGB, _YCBCR, _CIELAB, _ICCLAB, _ITULAB = 2, 6, 8, 9, 10
_JPEG = {6.0, 7.0}
_BT_601 = (0.299, 0.587, 0.114)
_COLOURS = 3


class Model(NamedTuple):
    """How the samples stand for colours. ``coefficients``: of red, green and blue in Y."""

    photometric: int
    bits: int
    is_packed: bool  # chroma for several pixels at once, or JPEG: libtiff makes RGB of it
    coefficients: tuple[float, ...]

    @property
    def is_opened_as_rgb(self) -> bool:
        return self.photometric == _CIELAB and self.bits == 8


def model(data: Data) -> Model | None:
    """None where libvips reads it rightly."""
    found = tiff.tags(data, (_BITS, _COMPRESSION, _PHOTOMETRIC, _SUBSAMPLING, _COEFFICIENTS))
    photometric = int(next(iter(found.get(_PHOTOMETRIC, [])), _RGB))
    if photometric not in (_YCBCR, _CIELAB, _ICCLAB, _ITULAB):
        return None
    is_jpeg = bool(set(found.get(_COMPRESSION, [])) & _JPEG)
    is_packed = is_jpeg or found.get(_SUBSAMPLING, [2.0, 2.0]) != [1.0, 1.0]
    coefficients = tuple(found.get(_COEFFICIENTS, []))
    is_usable = len(coefficients) == _COLOURS and coefficients[1] > 0
    return Model(
        photometric, int(next(iter(found.get(_BITS, [])), 1)), is_packed, coefficients if is_usable else _BT_601
    )


def as_rgb(data: Data) -> Data:
    """The same file, which says of itself that it is RGB."""
    at = tiff.value_at(data, _PHOTOMETRIC)
    changed = bytearray(data)
    changed[at : at + 2] = _RGB.to_bytes(2, "little" if data[:2] == b"II" else "big")
    return bytes(changed)


def read(image: pyvips.Image, found: Model) -> pyvips.Image:
    """The image in a colour space that libvips knows."""
    if found.photometric == _YCBCR:
        return _from_ycbcr(image, found)
    if image.bands < _COLOURS:
        return image
    is_ours = image.format in ("uchar", "ushort") and (found.photometric != _CIELAB or found.is_opened_as_rgb)
    lab = _joined(image, _planes(image, found.photometric), "lab") if is_ours else image
    # Lab in TIFF is under D50, as in ICC profiles and in Photoshop; libvips' own conversion would take D65.
    return lab.icc_export(output_profile="srgb", pcs="lab", intent="relative", depth=8)


def _planes(image: pyvips.Image, photometric: int) -> list[pyvips.Image]:
    """L*, a* and b* of 8 or 16 bits."""
    whole, step = (255.0, 1.0) if image.format == "uchar" else (65535.0, 256.0)
    light, first, second = (image.extract_band(n).cast("float") for n in range(_COLOURS))
    if photometric == _CIELAB:
        return [light * (100 / whole), *(_signed(plane) for plane in (first, second))]
    if photometric == _ICCLAB:
        return [light * (100 / (255 * step)), first / step - 128, second / step - 128]
    return [light * (100 / whole), first * (170 / whole) - 85, second * (200 / whole) - 75]


def _signed(plane: pyvips.Image) -> pyvips.Image:
    return (plane > 127).ifthenelse(plane - 256, plane)


def _from_ycbcr(image: pyvips.Image, found: Model) -> pyvips.Image:
    if image.format != "uchar" or image.bands < _COLOURS:
        return image
    if found.is_packed:
        return image.extract_band(0, n=_COLOURS)  # the fourth that comes with it means nothing
    in_red, in_green, in_blue = found.coefficients
    light, blue_off, red_off = (image.extract_band(n).cast("float") for n in range(_COLOURS))
    red = (red_off - 128) * (2 - 2 * in_red) + light
    blue = (blue_off - 128) * (2 - 2 * in_blue) + light
    green = (light - blue * in_blue - red * in_red) / in_green
    planes = [plane.rint().cast("uchar") for plane in (red, green, blue)]
    return _joined(image, planes, "srgb")


def _joined(image: pyvips.Image, planes: list[pyvips.Image], interpretation: str) -> pyvips.Image:
    """The planes in their order, followed by the file's extra samples."""
    first, *others = planes
    if image.bands > _COLOURS:
        others.append(image.extract_band(_COLOURS, n=image.bands - _COLOURS))
    return first.bandjoin(others).copy(interpretation=interpretation)
