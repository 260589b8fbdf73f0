"""Reads the header of a plain JPEG in a tenth of the time that libvips takes to open an image. Called by ``load``.

libjpeg-turbo reads the shape; the segments before the scan (ITU T.81, annex B) are walked for EXIF's orientation (Exif
2.3, 4.6.2 and 4.6.4) and a colour profile (ICC.1:2010, annex B.4). An unusual or incomplete JPEG is left to libvips.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from imgserve.imaging.worker.colour import profile
from imgserve.imaging.worker.formats import tiff, turbojpeg
from imgserve.imaging.worker.formats.turbojpeg import Stored
from imgserve.imaging.worker.formats.turns import UPRIGHT
from imgserve.imaging.worker.source import Data

SCAN = 0xDA
_MARKER, _FILL, _APP1, _APP2, _APP13 = 0xFF, 0xFF, 0xE1, 0xE2, 0xED
_FIRST_WITH_LENGTH = 0xC0
# Frames that are neither baseline, extended nor progressive. libjpeg-turbo 3.0 to 3.1.3 decodes lossless ones at full
# size even for a smaller target, and so writes beyond our buffer (its ChangeLog, 3.1.4).
_ODD_FRAMES = frozenset({0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})
_FRAMES, _EIGHT_BITS = frozenset({0xC0, 0xC1, 0xC2}), b"\x08"
_ALONE = frozenset({*range(0xD0, 0xDA), _FILL})  # restarts, start and end of the picture: no headers
_EXIF, _ICC, _ONLY_CHUNK = b"Exif\0\0", b"ICC_PROFILE\0", b"\1\1"
TIFF_STARTS = (b"II*\0", b"MM\0*")
_ORIENTATION, _ONE_SHORT = 0x0112, (3, 1)
_MOST_SEGMENTS = 2000  # a profile or a depth map of many megabytes has some hundreds


class Header(NamedTuple):
    """Of 8 bits, grey (1 band) or YCbCr (3), with no profile but sRGB. Sides as stored; ``orientation`` is EXIF's."""

    stored: Stored
    orientation: int

    @property
    def width(self) -> int:
        return self.stored.width

    @property
    def height(self) -> int:
        return self.stored.height


def read(data: Data) -> Header | None:
    """None if libvips has to read it."""
    orientation = _orientation(data)
    shape = turbojpeg.shape(data) if orientation is not None else None
    if orientation is None or shape is None:
        return None
    return Header(shape, orientation)


def segments(data: Data) -> Iterator[tuple[int, int, int]]:
    """Each segment up to the first scan: its marker, the position of its contents, and of its end."""
    at, kind = 2, 0
    while kind != SCAN and at + 4 <= len(data) and data[at] == _MARKER:
        kind, begins = data[at + 1], at + 4
        at += 1 if kind == _FILL else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield kind, begins, at


def has_metadata(data: Data) -> bool:
    """Whether a plain JPEG has a segment where EXIF, XMP or IPTC may be."""
    return any(kind in (_APP1, _APP13) for kind, _, _ in islice(segments(data), _MOST_SEGMENTS))


def _orientation(data: Data) -> int | None:
    """The orientation in the segments before the scan; None if a segment is not plain."""
    orientation = None
    for kind, at, end in islice(segments(data), _MOST_SEGMENTS):
        if kind == SCAN:
            return orientation or UPRIGHT
        if kind < _FIRST_WITH_LENGTH or kind in _ALONE or kind in _ODD_FRAMES:
            return None
        if kind in _FRAMES and data[at : at + 1] != _EIGHT_BITS:
            return None
        if kind == _APP2 and data[at : at + 12] == _ICC and not _is_srgb(data[at + 12 : end]):
            return None
        if kind == _APP1 and data[at : at + 6] == _EXIF:
            if orientation is not None:
                return None
            orientation = exif_orientation(bytes(data[at + 6 : end]))
            if orientation is None:
                return None
    return None


def _is_srgb(chunk: bytes) -> bool:
    """Whether it holds a whole profile, and that of sRGB."""
    return chunk.startswith(_ONLY_CHUNK) and profile.is_srgb(bytes(chunk[2:]))


def exif_orientation(exif: bytes) -> int | None:
    """1 without one; None if it cannot be read or is invalid."""
    if not exif.startswith(TIFF_STARTS):
        return None
    file = tiff.File(exif)
    entries = file.entries(file.address(file.first))
    if entries.stop > len(exif):
        return None
    for at in entries:
        if file.number(at, 2) == _ORIENTATION:
            value = file.number(at + 8, 2)
            is_plain = (file.number(at + 2, 2), file.number(at + 4, 4)) == _ONE_SHORT and 1 <= value <= 8
            return value if is_plain else None
    return UPRIGHT
