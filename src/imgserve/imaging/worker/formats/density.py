"""How many pixels a picture has in a millimetre of paper: read of a JPEG, and written into one. For picture and save.

JFIF 1.02, the APP0 segment; Exif 2.3, 4.6.4 (``XResolution``, ``YResolution``, ``ResolutionUnit``), which goes first,
as in libvips. libvips has the numbers of other formats, and 1 for a picture that states none.
"""

from itertools import islice
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker.formats import jpegheader, tiff
from imgserve.imaging.worker.source import Data
from imgserve.request.encode import Format

_APP0, _APP1 = 0xE0, 0xE1
_JFIF, _EXIF = b"JFIF\0", b"Exif\0\0"
_UNIT_AT, _NUMBERS_AT = 7, 8  # in the segment's contents
_APP0_BEGINS, _VERSION_IN_INCHES, _NO_THUMBNAIL = b"\xff\xe0\0\x10", b"\1\1\1", b"\0\0"
_MOST = 65_535
_MM_OF_JFIF = {1: 25.4, 2: 10.0}
_ACROSS, _DOWN, _UNIT = 0x011A, 0x011B, 0x0128
_INCHES = 2
_MM_OF_EXIF = {_INCHES: 25.4, 3: 10.0}
_MOST_SEGMENTS = 50
FORMATS: frozenset[Format] = frozenset({"jpeg", "png", "tiff"})  # those that have a place for it beside EXIF
_UNKNOWN, _USUAL = 1.0, 72 / 25.4


class PerMm(NamedTuple):
    across: float
    down: float


def of_jpeg(data: Data) -> PerMm | None:
    """As stored; None if the file states none."""
    stated: PerMm | None = None
    for kind, at, end in islice(jpegheader.segments(data), _MOST_SEGMENTS):
        if kind == _APP0 and data[at : at + 5] == _JFIF:
            stated = _of_jfif(bytes(data[at:end]))
        if kind == _APP1 and data[at : at + 6] == _EXIF:
            return _of_exif(bytes(data[at + 6 : end])) or stated
    return stated


def of_image(image: pyvips.Image) -> PerMm | None:
    """Of an image that libvips has opened."""
    stated = PerMm(image.xres, image.yres)
    return None if stated == (_UNKNOWN, _UNKNOWN) else _sensible(*stated)


def stating(image: pyvips.Image, per_mm: PerMm | None) -> pyvips.Image:
    across, down = per_mm or (_UNKNOWN, _UNKNOWN)
    return image.copy(xres=across, yres=down)


def or_usual(image: pyvips.Image) -> pyvips.Image:
    """With 72 dots per inch if it states nothing, for formats that have to say a number."""
    return image if of_image(image) is not None else image.copy(xres=_USUAL, yres=_USUAL)


def in_jpeg(file: bytes, per_mm: PerMm | None) -> bytes:
    """The file of an encoder that knows none, with this one. A file without APP0, as libvips writes it, gets one."""
    if per_mm is None:
        return file
    rest = int.from_bytes(file[4:6], "big") + 4 if file[3] == _APP0 else 2
    numbers = b"".join(min(max(round(side * 25.4), 1), _MOST).to_bytes(2, "big") for side in per_mm)
    return file[:2] + _APP0_BEGINS + _JFIF + _VERSION_IN_INCHES + numbers + _NO_THUMBNAIL + file[rest:]


def _of_jfif(segment: bytes) -> PerMm | None:
    if len(segment) < _NUMBERS_AT + 4:
        return None
    mm = _MM_OF_JFIF.get(segment[_UNIT_AT])
    if mm is None:
        return None
    across, down = (int.from_bytes(segment[at : at + 2], "big") for at in (_NUMBERS_AT, _NUMBERS_AT + 2))
    return _sensible(across / mm, down / mm)


def _of_exif(block: bytes) -> PerMm | None:
    if not block.startswith(jpegheader.TIFF_STARTS):
        return None
    tags = tiff.tags(block, (_ACROSS, _DOWN, _UNIT))
    across, down, unit = (tags.get(tag, []) for tag in (_ACROSS, _DOWN, _UNIT))
    mm = _MM_OF_EXIF.get(int(unit[0]) if unit else _INCHES)
    return _sensible(across[0] / mm, down[0] / mm) if across and down and mm is not None else None


def _sensible(across: float, down: float) -> PerMm | None:
    """None for numbers that no paper has."""
    is_sensible = all(1 / 25.4 <= side <= _MOST / 25.4 for side in (across, down))
    return PerMm(across, down) if is_sensible else None
