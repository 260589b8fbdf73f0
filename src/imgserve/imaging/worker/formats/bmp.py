"""BMP: the size from its header, and its pixels by Pillow. Called by load, and by ico for the pictures in an icon.

The headers: Microsoft's BITMAPCOREHEADER, BITMAPINFOHEADER, BITMAPV4HEADER and BITMAPV5HEADER.
"""

import struct

import pyvips

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker.formats import pillow
from imgserve.imaging.worker.source import Data
from imgserve.request.imageinfo import Size

FILE_HEADER_BYTES = 14
_CORE_BYTES, _LEAST_INFO_BYTES = 12, 16
_COMPRESSION_AT, _ALPHA_AT = 16, 52
_BIT_FIELDS = (3, 6)
# The lengths of headers that Pillow knows.
HEADERS = (12, 40, 52, 56, 64, 108, 124)


def size(data: Data, header_at: int = FILE_HEADER_BYTES) -> Size:
    """The size; a height below 0 means that the first row is the top one. Raises SourceUnreadable."""
    header = bytes(data[header_at : header_at + _LEAST_INFO_BYTES])
    length = int.from_bytes(header[:4], "little")
    if length == _CORE_BYTES and len(header) >= _CORE_BYTES:
        width, height = struct.unpack_from("<HH", header, 4)
    elif length >= _LEAST_INFO_BYTES and len(header) == _LEAST_INFO_BYTES:
        width, height = struct.unpack_from("<ii", header, 4)
    else:
        raise _broken("its header is cut off")
    if width <= 0 or not height:
        raise _broken("it has no size")
    return Size(width, abs(height))


def has_alpha(data: Data) -> bool:
    """Whether the header states the bits of an alpha."""
    header = bytes(data[FILE_HEADER_BYTES : FILE_HEADER_BYTES + _ALPHA_AT + 4])
    if len(header) < _ALPHA_AT + 4 or int.from_bytes(header[:4], "little") < _ALPHA_AT + 4:
        return False
    return header[_COMPRESSION_AT] in _BIT_FIELDS and any(header[_ALPHA_AT:])


def decode(data: Data) -> pyvips.Image:
    """In memory, sRGB or grey, 8 bits. Raises SourceUnreadable."""
    from PIL import BmpImagePlugin

    with pillow.refused("BMP"):
        image = BmpImagePlugin.BmpImageFile(pillow.file(data))
        image.load()
        return pillow.converted(image)


def _broken(why: str) -> SourceUnreadable:
    return SourceUnreadable(f"the source looks like BMP but {why}", "save it anew with an image editor")
