"""ICO: its pictures from its directory, the largest first, and their pixels by Pillow. Called by load.

A picture is a PNG file, which is read like any other, or a BMP without its file header, whose height counts the mask
too. Microsoft's ICONDIR and ICONDIRENTRY; the sizes are those of the pictures themselves: the directory cannot hold
more than 256.
"""

import io
import struct
from typing import NamedTuple

import pyvips

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker.formats import bmp, pillow
from imgserve.imaging.worker.source import Data
from imgserve.request.imageinfo import Size

_HEADER_BYTES, _ENTRY_BYTES = 6, 16
_MOST_PICTURES = 256
_PNG, _PNG_SIZE_AT, _PNG_HEADER_BYTES = b"\x89PNG\r\n\x1a\n", 16, 24


_BITS_AT = 14  # in a BMP's header; the directory's number may be wrong
_WITH_ALPHA, _WITH_MASK = 32, 24


class Icon(NamedTuple):
    """A picture in the file, by its place there; ``bits`` a pixel."""

    size: Size
    bits: int
    is_png: bool
    begin: int
    end: int

    def bytes_in(self, data: Data) -> bytes:
        return bytes(data[self.begin : self.end])


def icons(data: Data) -> list[Icon]:
    """The pictures, the largest first, of equal ones that with the most colours. Raises SourceUnreadable."""
    count = int.from_bytes(data[4:6], "little")
    if not 0 < count <= _MOST_PICTURES:
        raise _broken(f"it has {count} pictures")
    found = [_icon(data, _HEADER_BYTES + n * _ENTRY_BYTES) for n in range(count)]
    return sorted(found, key=lambda icon: (-icon.size.width_px * icon.size.height_px, -icon.bits))


def decode(picture: bytes, bits: int) -> pyvips.Image:
    """One that is no PNG, in memory: RGBA, 8 bits. Raises SourceUnreadable."""
    image = _decoded(picture, bits)
    if bits == _WITH_ALPHA and not image[-1].max():  # written before alpha was known: the mask counts
        image = _decoded(picture, _WITH_MASK)
    return image


def _decoded(picture: bytes, bits: int) -> pyvips.Image:
    from PIL import IcoImagePlugin, Image

    Image.MAX_IMAGE_PIXELS = None  # the server's own limits hold
    entry = struct.pack("<4xHHII", 1, bits, len(picture), _HEADER_BYTES + _ENTRY_BYTES)
    file = io.BytesIO(struct.pack("<HHH", 0, 1, 1) + entry + picture)
    with pillow.refused("ICO"):
        image = IcoImagePlugin.IcoFile(file).frame(0)
        image.load()
        return pillow.converted(image)


def _icon(data: Data, at: int) -> Icon:
    entry = bytes(data[at : at + _ENTRY_BYTES])
    if len(entry) < _ENTRY_BYTES:
        raise _broken("its directory is cut off")
    bits, length, begin = struct.unpack_from("<HII", entry, 6)
    # The pictures may lie one over the other, so only their headers are copied.
    head, end = bytes(data[begin : begin + _PNG_HEADER_BYTES]), begin + length
    if end > len(data) or len(head) < _PNG_HEADER_BYTES:
        raise _broken("a picture in it is cut off")
    is_png = head.startswith(_PNG)
    if not is_png:
        bits = int.from_bytes(head[_BITS_AT : _BITS_AT + 2], "little")
    return Icon(_size(head, is_png=is_png), bits, is_png, begin, end)


def _size(head: bytes, *, is_png: bool) -> Size:
    if is_png:
        return Size(*struct.unpack_from(">II", head, _PNG_SIZE_AT))
    whole = bmp.size(head, 0)
    return Size(whole.width_px, max(whole.height_px // 2, 1))


def _broken(why: str) -> SourceUnreadable:
    return SourceUnreadable(f"the source looks like ICO but {why}", "save it anew with an image editor")
