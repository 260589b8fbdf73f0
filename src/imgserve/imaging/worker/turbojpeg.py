"""libjpeg-turbo, where the machine has the library (Debian: libturbojpeg0): scaled decode for ``jpeg.py``, encode for
``save.py``. libvips stands in where it is missing or refuses.

The TurboJPEG interface of version 2.1, which version 3 still offers: https://libjpeg-turbo.org/Documentation. A scaled
picture's side is the source's divided by the shrink, rounded up. Warnings count as faults here: libvips shall judge.
"""

import ctypes
import mmap
from ctypes import POINTER, byref, c_int, c_ulong, c_void_p
from typing import NamedTuple

import pyvips

_STOP_ON_WARNING, _LIMIT_SCANS = 8192, 32768
_RGB, _GREY = 0, 6  # pixel formats
_BANDS_OF_SPACE = {1: 3, 2: 1}  # YCbCr, grey
_FULL_COLOUR, _HALF_COLOUR, _NO_COLOUR = 0, 2, 3  # subsampling: 4:4:4, 4:2:0, grey
_FULL_COLOUR_FROM = 90  # libvips' rule for the quality
_ARGUMENTS = {
    "tjInitDecompress": (c_void_p,),
    "tjInitCompress": (c_void_p,),
    "tjDecompressHeader3": (c_int, c_void_p, c_void_p, c_ulong, *[POINTER(c_int)] * 4),
    "tjDecompress2": (c_int, c_void_p, c_void_p, c_ulong, c_void_p, *[c_int] * 5),
    "tjCompress2": (
        c_int, c_void_p, c_void_p, *[c_int] * 4, POINTER(c_void_p), POINTER(c_ulong), *[c_int] * 3
    ),
    "tjFree": (None, c_void_p),
}  # fmt: skip


class Decoded(NamedTuple):
    """``height x width x bands, uint8``, rows without padding."""

    width: int
    height: int
    bands: int
    pixels: bytes


class _Turbo(NamedTuple):
    """The library, and one codec of each kind for this process's life."""

    library: ctypes.CDLL
    decoder: int
    encoder: int


def _open() -> _Turbo | None:
    try:
        library = ctypes.CDLL("libturbojpeg.so.0")
        for name, (result, *arguments) in _ARGUMENTS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    turbo = _Turbo(library, library.tjInitDecompress(), library.tjInitCompress())
    return turbo if turbo.decoder and turbo.encoder else None


_TURBO = _open()


def is_there() -> bool:
    return _TURBO is not None


def decode(data: bytes | mmap.mmap, size: tuple[int, int], shrink: int) -> Decoded | None:
    """None for what is not plain or not in order, or not of this ``size``, which the limits were asked about.

    ``shrink`` is 1, 2, 4 or 8.
    """
    if _TURBO is None:
        return None
    library, decoder = _TURBO.library, _TURBO.decoder
    kept = pyvips.ffi.from_buffer(data)  # ctypes takes no address of what may only be read
    source = int(pyvips.ffi.cast("uintptr_t", kept))
    wide, high, sampling, space = c_int(), c_int(), c_int(), c_int()
    told = (byref(wide), byref(high), byref(sampling), byref(space))
    if library.tjDecompressHeader3(decoder, source, len(data), *told) != 0:
        return None
    bands = _BANDS_OF_SPACE.get(space.value)
    if bands is None or (wide.value, high.value) != size:
        return None
    width, height = -(-wide.value // shrink), -(-high.value // shrink)
    pixels = bytearray(width * height * bands)
    target = (ctypes.c_char * len(pixels)).from_buffer(pixels)
    kind = _GREY if bands == 1 else _RGB
    flags = _STOP_ON_WARNING | _LIMIT_SCANS
    if library.tjDecompress2(decoder, source, len(data), target, width, width * bands, height, kind, flags) != 0:
        return None
    return Decoded(width, height, bands, bytes(pixels))


def encode(picture: Decoded, quality: int) -> bytes | None:
    """A plain JPEG without metadata, sampled as libvips would; None where the library refuses."""
    if _TURBO is None:
        return None
    library, encoder = _TURBO.library, _TURBO.encoder
    kind, sampling = (_GREY, _NO_COLOUR) if picture.bands == 1 else (_RGB, _HALF_COLOUR)
    if picture.bands > 1 and quality >= _FULL_COLOUR_FROM:
        sampling = _FULL_COLOUR
    made, size = c_void_p(), c_ulong()
    shape = (picture.width, picture.width * picture.bands, picture.height, kind)
    options = (sampling, quality, 0)
    try:
        if library.tjCompress2(encoder, picture.pixels, *shape, byref(made), byref(size), *options) != 0:
            return None
        return ctypes.string_at(made, size.value)
    finally:
        library.tjFree(made)
