"""Counts the frames in a WebP's chunks before libwebp does, whose time grows with their square, and sets the flag of
an animation's transparency. Called by probe and save.

RFC 9649, sections 2.3 to 2.7.
"""

import os

from imgserve.imaging.worker.source import Data

_HEADER_BYTES, _CHUNK_HEADER_BYTES, _FRAME_HEADER_BYTES = 12, 8, 16
_FRAME = b"ANMF"
_MOST_OTHERS, _CHUNKS_OF_FRAME = 10_000, 2  # a frame holds its transparency and its picture
_EXTENDED, _FLAGS_AT = b"VP8X", 20
_ANIMATED, _ALPHA = 0x02, 0x10


def frames_up_to(most: int, data: Data) -> int | None:
    """The number of frames, counted to ``most + 1`` at most; None if there are too many other chunks."""
    at, frames, others = _HEADER_BYTES, 0, 0
    while at + _CHUNK_HEADER_BYTES <= len(data) and frames <= most:
        if data[at : at + 4] == _FRAME:
            frames += 1
            # libwebp ignores the frame's length and continues behind the picture in it: so enter it, do not skip it.
            at += _CHUNK_HEADER_BYTES + _FRAME_HEADER_BYTES
            continue
        others += 1
        if others > _MOST_OTHERS + _CHUNKS_OF_FRAME * frames:
            return None
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += _CHUNK_HEADER_BYTES + size + size % 2
    return frames


def set_alpha_flag(descriptor: int) -> None:
    """For an animation that libwebp cut to its opaque parts: without the flag viewers may show the rest as black."""
    head = os.pread(descriptor, _FLAGS_AT + 1, 0)
    if head[_HEADER_BYTES : _HEADER_BYTES + 4] == _EXTENDED and head[_FLAGS_AT] & _ANIMATED:
        os.pwrite(descriptor, bytes([head[_FLAGS_AT] | _ALPHA]), _FLAGS_AT)
