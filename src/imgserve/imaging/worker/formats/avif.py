"""The outermost boxes of an AVIF, counted before libheif reads every one of them. Called by probe.

ISO 14496-12, section 4.2.
"""

import mmap

_MOST_BOXES = 10_000
_HEADER_BYTES, _LONG_HEADER_BYTES = 8, 16
_TO_THE_END, _LONG = 0, 1


def is_flood_of_boxes(data: bytes | mmap.mmap) -> bool:
    at = 0
    for _ in range(_MOST_BOXES):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == _LONG:
            size = max(_LONG_HEADER_BYTES, int.from_bytes(data[at + 8 : at + 16], "big"))
        if size == _TO_THE_END or at + size >= len(data):
            return False
        at += max(_HEADER_BYTES, size)
    return True
