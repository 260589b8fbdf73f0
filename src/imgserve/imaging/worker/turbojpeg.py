"""libjpeg-turbo's scaled decode, where the machine has the library (Debian: libturbojpeg0). Called by ``jpeg.py``.

The TurboJPEG interface of version 2.1, which version 3 still offers: https://libjpeg-turbo.org/Documentation. A scaled
picture's side is the source's divided by the shrink, rounded up. Warnings count as faults here: libvips shall judge.
"""

import mmap
from typing import Any, NamedTuple

from cffi import FFI

_DECLARED = """
    void *tjInitDecompress(void);
    int tjDecompressHeader3(void *handle, const unsigned char *jpeg, unsigned long size,
                            int *width, int *height, int *subsampling, int *colourspace);
    int tjDecompress2(void *handle, const unsigned char *jpeg, unsigned long size, unsigned char *pixels,
                      int width, int pitch, int height, int format, int flags);
"""
_STOP_ON_WARNING, _LIMIT_SCANS = 8192, 32768
_RGB, _GREY = 0, 6  # pixel formats
_BANDS_OF_SPACE = {1: 3, 2: 1}  # YCbCr, grey


class Decoded(NamedTuple):
    """``height x width x bands, uint8``, rows without padding."""

    width: int
    height: int
    bands: int
    pixels: bytes


_ffi = FFI()
_ffi.cdef(_DECLARED)


def _open() -> tuple[Any, Any] | None:
    """The library and one decompressor for this process's life."""
    try:
        library: Any = _ffi.dlopen("libturbojpeg.so.0")
        handle = library.tjInitDecompress()
    except (OSError, AttributeError):
        return None
    return (library, handle) if handle else None


_OPENED = _open()


def is_there() -> bool:
    return _OPENED is not None


def decode(data: bytes | mmap.mmap, shrink: int) -> Decoded | None:
    """None for what is not plain or not in order. ``shrink`` is 1, 2, 4 or 8."""
    if _OPENED is None:
        return None
    library, handle = _OPENED
    source = _ffi.from_buffer(data)
    told = _ffi.new("int[4]")  # width, height, subsampling, colour space
    if library.tjDecompressHeader3(handle, source, len(data), told, told + 1, told + 2, told + 3) != 0:
        return None
    bands = _BANDS_OF_SPACE.get(told[3])
    if bands is None:
        return None
    width, height = -(-told[0] // shrink), -(-told[1] // shrink)
    pixels = bytearray(width * height * bands)
    kind = _RGB if bands == len("RGB") else _GREY
    flags = _STOP_ON_WARNING | _LIMIT_SCANS
    target = _ffi.from_buffer(pixels, require_writable=True)
    if library.tjDecompress2(handle, source, len(data), target, width, width * bands, height, kind, flags) != 0:
        return None
    return Decoded(width, height, bands, bytes(pixels))
