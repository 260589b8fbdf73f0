"""PNG's compression by libdeflate, in half the time of the zlib in libvips. Called by picture and save.
Without the package libvips does it.

libvips filters and unfilters the rows; between it and libdeflate go files whose pixels are stored as they are. Rows
without filters need neither. PNG third edition, sections 5.3 (chunks), 7.2 (scanlines), 10 (compression) and 11.2.1
(IHDR); stored blocks: RFC 1951, section 3.2.4, in the wrapper of RFC 1950.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker.formats.turbojpeg import Decoded
from imgserve.imaging.worker.source import Data

try:
    import deflate
except ImportError:
    deflate = None  # type: ignore[assignment]

_FIRST_CHUNK_AT, _CHUNK_BYTES, _BODY_AT, _HEAD_BYTES = 8, 12, 8, 21
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER, _PIXELS, _TRANSPARENT, _RESOLUTION = b"IHDR", b"IDAT", b"tRNS", b"pHYs"
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
_CRC_OF_NAME = zlib.crc32(_PIXELS)
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the type of its colours
_SPACE_OF = {0: "b-w", 2: "srgb", 4: "b-w", 6: "srgb"}
_COLOURS = {samples: colours for colours, samples in _SAMPLES.items() if colours in _SPACE_OF}
SPACES = {samples: _SPACE_OF[colours] for samples, colours in _COLOURS.items()}  # of samples without a palette
_BYTE = 8
_NO_FILTER = b"\0"
_PER_METRE, _MOST_PER_METRE = 1000, 2**31 - 1  # libvips counts by the millimetre
_MOST_CHUNKS = 10_000
_MOST_STORED_BYTES = 32_000_000  # for more, what libvips inflates in strips needs less memory
# From this ratio on, libvips' zlib takes less time than the way through a stored file, if it has to unfilter anyway.
_MUCH_COMPRESSED = 12
_ROWS_LOOKED_AT = 8
_ZLIB_HEADER, _BLOCK_BYTES = b"\x78\x01", 65_535


class _Head(NamedTuple):
    width: int
    height: int
    depth: int
    colours: int

    @property
    def row_bytes(self) -> int:
        """With the byte of its filter."""
        return 1 + (self.width * _SAMPLES[self.colours] * self.depth + 7) // 8


class _Pixels(NamedTuple):
    """The compressed pixels, and where their chunks begin and end in the file."""

    begin: int
    end: int
    body: bytes


class Inflated(NamedTuple):
    """``front``: the file before its pixels; ``rows``: each with its filter."""

    head: _Head
    front: bytes
    rows: bytearray


def is_there() -> bool:
    return deflate is not None


def inflated(data: Data) -> Inflated | None:
    """None for a picture that is left to libvips: interlaced, large, or damaged, or a drawing with filters."""
    head = _head(data) if is_there() else None
    pixels = _pixels(data) if head is not None else None
    if head is None or pixels is None or _is_filtered_drawing(head, pixels.body):
        return None
    size = head.height * head.row_bytes
    try:
        rows = deflate.zlib_decompress(pixels.body, size)
    except deflate.DeflateError:
        return None
    return Inflated(head, bytes(data[: pixels.begin]), rows) if len(rows) == size else None


def _is_filtered_drawing(head: _Head, body: bytes) -> bool:
    """By its compression, and by its first rows."""
    if len(body) * _MUCH_COMPRESSED >= head.height * head.row_bytes:
        return False
    try:
        rows = zlib.decompressobj().decompress(body, _ROWS_LOOKED_AT * head.row_bytes)
    except zlib.error:
        return True
    return any(rows[:: head.row_bytes])


def image(picture: Inflated) -> pyvips.Image | None:
    """The pixels, if no row has a filter and each sample is a byte of its own; else None."""
    head, stride = picture.head, picture.head.row_bytes
    is_plain = head.depth == _BYTE and head.colours in _SPACE_OF and _TRANSPARENT not in picture.front
    if not is_plain or picture.rows[::stride].count(0) != head.height:
        return None
    rows = pyvips.Image.new_from_memory(picture.rows, stride, head.height, 1, "uchar")
    samples = rows.crop(1, 0, stride - 1, head.height).bandfold(factor=_SAMPLES[head.colours])
    return samples.copy(interpretation=_SPACE_OF[head.colours])


def stored(picture: Inflated) -> bytes:
    """The file with its pixels stored as they are, without the chunks behind them."""
    blocks = list(_stored(picture.rows))
    crc = _CRC_OF_NAME
    for block in blocks:
        crc = deflate.crc32(block, crc)
    length = struct.pack(">I", sum(map(len, blocks)))
    return b"".join([picture.front, length, _PIXELS, *blocks, struct.pack(">I", crc), _END])


def compressed(file: bytes, level: int) -> bytes:
    """A file of ours, whose pixels are stored, with its pixels compressed; ``level`` from 1 to 12."""
    pixels = _pixels(file)
    assert pixels is not None, "libvips writes whole files"
    body = bytes(deflate.zlib_compress(zlib.decompress(pixels.body), level))
    length, crc = struct.pack(">I", len(body)), struct.pack(">I", deflate.crc32(body, _CRC_OF_NAME))
    return b"".join([file[: pixels.begin], length, _PIXELS, body, crc, file[pixels.end :]])


def has_resolution(*per_mm: float) -> bool:
    """Whether PNG has a number for it."""
    return all(0 <= density * _PER_METRE <= _MOST_PER_METRE for density in per_mm)


def unfiltered(pixels: Decoded, per_mm: tuple[float, float], level: int) -> bytes:
    """The file that libvips would write of grey or sRGB without filters, with nothing beside them but the resolution.

    ``level`` from 1 to 12.
    """
    head = struct.pack(">IIBBBBB", pixels.width, pixels.height, _BYTE, _COLOURS[pixels.bands], 0, 0, 0)
    samples, stride = memoryview(pixels.pixels), pixels.width * pixels.bands
    rows = b"".join(part for at in range(0, len(samples), stride) for part in (_NO_FILTER, samples[at : at + stride]))
    return b"".join(
        [
            _SIGNATURE,
            *_chunk(_HEADER, head),
            *_chunk(_RESOLUTION, struct.pack(">IIB", *(round(density * _PER_METRE) for density in per_mm), 1)),
            *_chunk(_PIXELS, deflate.zlib_compress(rows, level)),
            _END,
        ]
    )


def _chunk(name: bytes, body: bytes | bytearray) -> tuple[bytes, bytes, bytes | bytearray, bytes]:
    crc = deflate.crc32(body, zlib.crc32(name))
    return struct.pack(">I", len(body)), name, body, struct.pack(">I", crc)


def _head(data: Data) -> _Head | None:
    """None for a picture that is not for ``inflated``."""
    chunk = bytes(data[_FIRST_CHUNK_AT : _FIRST_CHUNK_AT + _HEAD_BYTES])
    if len(chunk) < _HEAD_BYTES or chunk[4:8] != _HEADER:
        return None
    width, height, depth, colours, _, _, interlace = struct.unpack(">IIBBBBB", chunk[8:])
    head = _Head(width, height, depth, colours)
    is_for_us = not interlace and colours in _SAMPLES
    return head if is_for_us and 0 < height * head.row_bytes <= _MOST_STORED_BYTES else None


def _pixels(data: Data) -> _Pixels | None:
    """None for a file that is cut off or damaged there, or of very many chunks."""
    at, begin, parts = _FIRST_CHUNK_AT, 0, list[bytes]()
    for _ in range(_MOST_CHUNKS):
        if at + _CHUNK_BYTES > len(data):
            return None
        kind, body_at = data[at + 4 : at + _BODY_AT], at + _BODY_AT
        end = body_at + int.from_bytes(data[at : at + 4], "big")
        if kind == _PIXELS:
            body = data[body_at:end]
            if deflate.crc32(body, _CRC_OF_NAME) != int.from_bytes(data[end : end + 4], "big"):
                return None
            begin = begin or at
            parts.append(body)
        elif parts:
            return _Pixels(begin, at, b"".join(parts))
        at = end + 4
    return None


def _stored(rows: bytearray) -> Iterator[bytes | memoryview]:
    """A zlib stream of stored blocks."""
    yield _ZLIB_HEADER
    view = memoryview(rows)
    for at in range(0, len(rows), _BLOCK_BYTES):
        block = view[at : at + _BLOCK_BYTES]
        is_last = at + _BLOCK_BYTES >= len(rows)
        yield struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF)
        yield block
    yield struct.pack(">I", deflate.adler32(rows))
