"""libjpeg-turbo, if the machine has the library (Debian: libturbojpeg0): scaled decode for ``jpeg.py``, encode for
``save.py``. Without it, or if it refuses a picture, libvips does the work.

The TurboJPEG interface of version 2.1, which version 3 still offers: https://libjpeg-turbo.org/Documentation. A scaled
picture's side is the source's divided by the shrink, rounded up. Warnings count as errors here, so that libvips
decides.
"""

import ctypes
from ctypes import POINTER, byref, c_int, c_ulong, c_void_p
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker.source import Data
from imgserve.request.encode import Chroma

_STOP_ON_WARNING, _LIMIT_SCANS = 8192, 32768
_RGB, _GREY = 0, 6  # pixel formats
_BANDS_OF_SPACE = {1: 3, 2: 1}  # YCbCr, grey
_FULL_COLOUR, _HALF_COLOUR, _NO_COLOUR = 0, 2, 3  # subsampling: 4:4:4, 4:2:0, grey
_FULL_COLOUR_FROM = 90  # libvips' rule for the quality
_PROGRESSIVE = 16384
_ARGUMENTS = {
    "tjInitDecompress": (c_void_p,),
    "tjInitCompress": (c_void_p,),
    "tjDecompressHeader3": (c_int, c_void_p, c_void_p, c_ulong, *[POINTER(c_int)] * 4),
    "tjDecompress2": (c_int, c_void_p, c_void_p, c_ulong, c_void_p, *[c_int] * 5),
    "tjCompress2": (c_int, c_void_p, c_void_p, *[c_int] * 4, POINTER(c_void_p), POINTER(c_ulong), *[c_int] * 3),
    "tjDestroy": (c_int, c_void_p),
    "tjFree": (None, c_void_p),
}


class Settings(NamedTuple):
    """Of an encode. ``chroma`` "auto" is libvips' rule for the sampling."""

    quality: int
    chroma: Chroma = "auto"
    is_progressive: bool = False


class Decoded(NamedTuple):
    """``height x width x bands, uint8``, rows without padding."""

    width: int
    height: int
    bands: int
    pixels: bytes


class _Turbo:
    """The library, and one codec of each kind for this process's life. Raises OSError, AttributeError, MemoryError.

    Progressive files have an encoder of their own: it keeps the Huffman tables of its last picture, and version 2.1
    would write a baseline file with these instead of the standard's, which no decoder reads properly.
    """

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libturbojpeg.so.0")
        for name, (result, *arguments) in _ARGUMENTS.items():
            function = getattr(self.library, name)
            function.restype, function.argtypes = result, arguments
        self.decoder = self._codec("tjInitDecompress")
        self.encoder = self._codec("tjInitCompress")
        self.progressive_encoder = self._codec("tjInitCompress")

    def renew_decoder(self) -> None:
        """After a broken header the decoder cannot be used again (2.1)."""
        self.library.tjDestroy(self.decoder)
        self.decoder = self._codec("tjInitDecompress")

    def _codec(self, function: str) -> int:
        codec: int | None = getattr(self.library, function)()
        if codec is None:
            raise MemoryError("libturbojpeg makes no codec")
        return codec


def _open() -> _Turbo | None:
    try:
        return _Turbo()
    except (OSError, AttributeError, MemoryError):
        return None


_TURBO = _open()


def is_there() -> bool:
    return _TURBO is not None


def shape(data: Data) -> tuple[int, int, int] | None:
    """Width, height and bands as stored; None if the file is not plain, or its headers are invalid or missing."""
    if _TURBO is None:
        return None
    pinned, source = _address(data)
    width, height, _sampling, space = results = c_int(), c_int(), c_int(), c_int()
    if _TURBO.library.tjDecompressHeader3(_TURBO.decoder, source, len(pinned), *map(byref, results)) != 0:
        _TURBO.renew_decoder()
        return None
    bands = _BANDS_OF_SPACE.get(space.value)
    return (width.value, height.value, bands) if bands is not None else None


def decode(data: Data, shape: tuple[int, int, int], shrink: int) -> Decoded | None:
    """None for an invalid file, or one larger than ``shape``, which was checked against the limits.

    ``shrink`` is 1, 2, 4 or 8.
    """
    if _TURBO is None:
        return None
    pinned, source = _address(data)
    wide, high, bands = shape
    width, height = -(-wide // shrink), -(-high // shrink)
    pixels = bytearray(width * height * bands)
    target = (ctypes.c_char * len(pixels)).from_buffer(pixels)
    geometry = (width, width * bands, height, _GREY if bands == 1 else _RGB, _STOP_ON_WARNING | _LIMIT_SCANS)
    if _TURBO.library.tjDecompress2(_TURBO.decoder, source, len(pinned), target, *geometry) != 0:
        return None
    return Decoded(width, height, bands, bytes(pixels))


def _address(data: Data) -> tuple[pyvips.ffi.CData, int]:
    """An object that pins the bytes, and their address: ctypes takes no address of read-only memory."""
    pinned = pyvips.ffi.from_buffer(data)
    return pinned, int(pyvips.ffi.cast("uintptr_t", pinned))


def encode(picture: Decoded, settings: Settings) -> bytes | None:
    """A JPEG without metadata; None if the library refuses."""
    if _TURBO is None:
        return None
    library = _TURBO.library
    encoder = _TURBO.progressive_encoder if settings.is_progressive else _TURBO.encoder
    kind, sampling = (_GREY, _NO_COLOUR) if picture.bands == 1 else (_RGB, _sampling(settings))
    result, size = c_void_p(), c_ulong()
    shape = (picture.width, picture.width * picture.bands, picture.height, kind)
    options = (sampling, settings.quality, _PROGRESSIVE if settings.is_progressive else 0)
    try:
        if library.tjCompress2(encoder, picture.pixels, *shape, byref(result), byref(size), *options) != 0:
            return None
        return ctypes.string_at(result, size.value)
    finally:
        library.tjFree(result)


def _sampling(settings: Settings) -> int:
    is_full = settings.quality >= _FULL_COLOUR_FROM if settings.chroma == "auto" else settings.chroma == "444"
    return _FULL_COLOUR if is_full else _HALF_COLOUR
