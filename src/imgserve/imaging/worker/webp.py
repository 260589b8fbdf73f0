"""The chunks of a WebP, walked to count frames before libwebp does, whose time grows with their square. For ``probe``.

RFC 9649, sections 2.3 to 2.7.
"""

import mmap

_HEADER_BYTES, _CHUNK_HEADER_BYTES = 12, 8
_FRAME = b"ANMF"
_MOST_OTHERS = 10_000


def frames_up_to(most: int, data: bytes | mmap.mmap) -> int | None:
    """How many frames there are, counted to ``most + 1`` at the utmost; None among chunks without end."""
    at, frames, others = _HEADER_BYTES, 0, 0
    while at + _CHUNK_HEADER_BYTES <= len(data) and frames <= most:
        if data[at : at + 4] == _FRAME:
            frames += 1
        else:
            others += 1
            if others > _MOST_OTHERS:
                return None
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += _CHUNK_HEADER_BYTES + size + size % 2
    return frames
