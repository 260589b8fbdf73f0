"""PNG and TIFF as Pillow cannot write them: 16 bits a channel, interlaced, odd kinds of samples. Written by hand.

PNG (third edition), 8.1 and 10 to 11; TIFF 6.0, sections 2, 8 and 18 to 19.
"""

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]

_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_WORD, _LONG = 3, 4
_KIND = {"u": 1, "i": 2, "f": 3}
RGB, CMYK, LAB, BLACK_IS_ZERO, WHITE_IS_ZERO = 2, 5, 8, 1, 0


def png(pixels: Samples, *, is_interlaced: bool = False, profile: bytes | None = None) -> bytes:
    """``pixels``: height x width x 1 to 4, uint8 or uint16: grey, grey and alpha, RGB, RGBA."""
    height, width, bands = pixels.shape
    passes = _ADAM7 if is_interlaced else ((0, 0, 1, 1),)
    parts = [pixels[y::down, x::across] for x, y, across, down in passes]
    rows = b"".join(_filtered(part) for part in parts if part.size)
    depth = pixels.dtype.itemsize * 8
    head = struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPE[bands], 0, 0, int(is_interlaced))
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    if profile is not None:
        chunks.insert(1, (b"iCCP", b"profile\0\0" + zlib.compress(profile)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


def tiff(pixels: Samples, photometric: int, *, alpha: int | None = None, profile: bytes | None = None) -> bytes:
    """``pixels``: height x width x bands, of any number type. ``alpha``: 1 is multiplied in, 2 is not."""
    height, width, bands = pixels.shape
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    bits, kind = [pixels.dtype.itemsize * 8] * bands, [_KIND[pixels.dtype.kind]] * bands
    entries: list[tuple[int, int, bytes, int]] = [
        _words(256, [width]), _words(257, [height]), _words(258, bits), _words(259, [1]), _words(262, [photometric]),
        (273, _LONG, b"\xde\xad\xbe\xef", 1), _words(277, [bands]), _words(278, [height]),
        (279, _LONG, struct.pack("<I", len(data)), 1), _words(339, kind),
    ]  # fmt: skip
    if alpha is not None:
        entries.append(_words(338, [alpha]))
    if profile is not None:
        entries.append((34675, 7, profile, len(profile)))
    table, beyond, at = b"", b"", 8 + 2 + 12 * len(entries) + 4
    for tag, size, value, count in sorted(entries):
        is_short = len(value) <= 4
        table += struct.pack("<HHI", tag, size, count)
        table += value.ljust(4, b"\0") if is_short else struct.pack("<I", at + len(beyond))
        beyond += b"" if is_short else value + bytes(len(value) % 2)
    table = table.replace(b"\xde\xad\xbe\xef", struct.pack("<I", at + len(beyond)))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + beyond + data


def _filtered(part: Samples) -> bytes:
    """Each row behind the filter byte 0; samples big-endian."""
    rows = np.ascontiguousarray(part.astype(part.dtype.newbyteorder(">"))).view(np.uint8).reshape(part.shape[0], -1)
    return np.concatenate([np.zeros((len(rows), 1), np.uint8), rows], axis=1).tobytes()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _words(tag: int, values: list[int]) -> tuple[int, int, bytes, int]:
    return tag, _WORD, struct.pack(f"<{len(values)}H", *values), len(values)
