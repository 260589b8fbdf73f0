"""Reads the header of a plain WebP: one lossy picture without alpha. Called by ``picture``.

libwebp reads the shape; the chunks (RFC 9649, section 2.7) are walked for EXIF's orientation and a colour profile. An
unusual or incomplete WebP is left to libvips.
"""

from typing import NamedTuple

from imgserve.imaging.worker.colour import profile
from imgserve.imaging.worker.formats import jpegheader, libwebp
from imgserve.imaging.worker.formats.libwebp import Stored
from imgserve.imaging.worker.formats.turns import UPRIGHT
from imgserve.imaging.worker.source import Data

_RIFF_HEADER_BYTES, _HEADER_BYTES, _CHUNK_HEADER_BYTES, _FLAGS_AT = 8, 12, 8, 20
_LOSSY, _EXTENDED, _PROFILE, _EXIF, _XMP = b"VP8 ", b"VP8X", b"ICCP", b"EXIF", b"XMP "
_FLAGS = {_PROFILE: 0x20, _EXIF: 0x08, _XMP: 0x04}
_RESERVED = 0xC1
_EXIF_PREFIX = b"Exif\0\0"  # that of JPEG, which some programs write here too
_MOST_CHUNKS = 100


class Header(NamedTuple):
    """With no profile but sRGB. Sides as stored; ``orientation`` is EXIF's."""

    stored: Stored
    orientation: int
    has_metadata: bool

    @property
    def width(self) -> int:
        return self.stored.width

    @property
    def height(self) -> int:
        return self.stored.height


def read(data: Data) -> Header | None:
    """None if libvips has to read it."""
    metadata = _metadata(data)
    stored = libwebp.shape(data) if metadata is not None else None
    if metadata is None or stored is None:
        return None
    if _PROFILE in metadata and not profile.is_srgb(metadata[_PROFILE]):
        return None
    orientation = (
        jpegheader.exif_orientation(metadata[_EXIF].removeprefix(_EXIF_PREFIX)) if _EXIF in metadata else UPRIGHT
    )
    has_metadata = _EXIF in metadata or _XMP in metadata
    return Header(stored, orientation, has_metadata) if orientation is not None else None


def _metadata(data: Data) -> dict[bytes, bytes] | None:
    """The profile, EXIF and XMP of a file; None if it is not plain."""
    ends = _RIFF_HEADER_BYTES + int.from_bytes(data[4:8], "little")
    first = data[_HEADER_BYTES : _HEADER_BYTES + 4]
    if ends > len(data) or first not in (_LOSSY, _EXTENDED):
        return None
    if first == _LOSSY:  # a simple file has nothing else
        return {}
    flags = int.from_bytes(data[_FLAGS_AT : _FLAGS_AT + 1])
    if flags & _RESERVED:
        return None
    metadata: dict[bytes, bytes] = {}
    at = _HEADER_BYTES
    for _ in range(_MOST_CHUNKS):
        if at + _CHUNK_HEADER_BYTES > ends:
            return metadata if at >= ends else None
        kind, begins = bytes(data[at : at + 4]), at + _CHUNK_HEADER_BYTES
        length = int.from_bytes(data[at + 4 : begins], "little")
        if begins + length > ends:
            return None
        if kind in _FLAGS:
            if kind in metadata or not flags & _FLAGS[kind]:
                return None  # readers differ in what counts
            metadata[kind] = bytes(data[begins : begins + length])
        at = begins + length + length % 2
    return None
