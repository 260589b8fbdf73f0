"""The blocks of a GIF, walked without decoding them, to see whether the file goes on to its end. Called by load.

libvips takes a file that ends between two frames for a shorter film. GIF89a, sections 17 to 27 and appendix A.
"""

import mmap

_HEADER_BYTES = 13
_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
_IMAGE_BYTES, _EXTENSION_BYTES = 10, 2  # up to the first colour table or sub-block
_HAS_TABLE, _TABLE_SIZE = 0x80, 0x07


def has_trailer(data: bytes | mmap.mmap) -> bool:
    """Whether whole blocks lead to the trailer. False too where a block is of no known kind."""
    if len(data) < _HEADER_BYTES:
        return False
    at = _HEADER_BYTES + _table_bytes(data[10])
    while at < len(data):
        kind = data[at]
        if kind == _TRAILER:
            return True
        if kind == _EXTENSION:
            at += _EXTENSION_BYTES
        elif kind == _IMAGE and at + _IMAGE_BYTES < len(data):
            at += _IMAGE_BYTES + _table_bytes(data[at + 9]) + 1  # and the smallest code's size
        else:
            return False
        at = _behind_sub_blocks(data, at)
    return False


def _behind_sub_blocks(data: bytes | mmap.mmap, at: int) -> int:
    end = len(data)
    while at < end and (size := data[at]):
        at += size + 1
    return at + 1


def _table_bytes(flags: int) -> int:
    return 3 << ((flags & _TABLE_SIZE) + 1) if flags & _HAS_TABLE else 0
