"""PNG's compression by libdeflate, in half the time of the zlib in libvips. Called by picture and save.

libvips filters and unfilters the rows; between it and libdeflate go files whose pixels are stored as they are. PNG
third edition, sections 5.3 (chunks), 7.2 (scanlines), 10 (compression) and 11.2.1 (IHDR); stored blocks: RFC 1951,
section 3.2.4, in the wrapper of RFC 1950.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import deflate

from imgserve.imaging.worker.source import Data

_FIRST_CHUNK_AT, _CHUNK_BYTES, _BODY_AT = 8, 12, 8
_HEADER, _PIXELS = b"IHDR", b"IDAT"
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
_CRC_OF_NAME = deflate.crc32(_PIXELS)
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the type of its colours
_MOST_CHUNKS = 10_000
_MOST_STORED_BYTES = 32_000_000  # for more, what libvips inflates in strips needs less memory
_ZLIB_HEADER, _BLOCK_BYTES = b"\x78\x01", 65_535


class _Pixels(NamedTuple):
    """The compressed pixels, and where their chunks begin and end in the file."""

    begin: int
    end: int
    body: bytes


def inflated(data: Data) -> bytes | None:
    """The same picture with its pixels stored as they are, without the chunks behind them. None for one that is left
    to libvips: interlaced, large, or damaged.
    """
    size = _rows_bytes(data)
    pixels = _pixels(data) if size else None
    if pixels is None:
        return None
    try:
        rows = deflate.zlib_decompress(pixels.body, size)
    except deflate.DeflateError:
        return None
    if len(rows) != size:
        return None
    stored = list(_stored(rows))
    crc = _CRC_OF_NAME
    for part in stored:
        crc = deflate.crc32(part, crc)
    length = struct.pack(">I", sum(map(len, stored)))
    return b"".join([data[: pixels.begin], length, _PIXELS, *stored, struct.pack(">I", crc), _END])


def compressed(file: bytes, level: int) -> bytes:
    """A file of ours, whose pixels are stored, with its pixels compressed; ``level`` from 1 to 12."""
    pixels = _pixels(file)
    assert pixels is not None, "libvips writes whole files"
    body = bytes(deflate.zlib_compress(zlib.decompress(pixels.body), level))
    length, crc = struct.pack(">I", len(body)), struct.pack(">I", deflate.crc32(body, _CRC_OF_NAME))
    return b"".join([file[: pixels.begin], length, _PIXELS, body, crc, file[pixels.end :]])


def _rows_bytes(data: Data) -> int:
    """Of all rows with their filters; 0 for a picture that is not for ``inflated``."""
    head = bytes(data[_FIRST_CHUNK_AT : _FIRST_CHUNK_AT + 25])
    if len(head) < 25 or head[4:8] != _HEADER:
        return 0
    width, height, depth, colours, _, _, interlace = struct.unpack(">IIBBBBB", head[8:21])
    size = int(height) * (1 + (int(width) * _SAMPLES.get(colours, 0) * depth + 7) // 8)
    return size if not interlace and colours in _SAMPLES and size <= _MOST_STORED_BYTES else 0


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
