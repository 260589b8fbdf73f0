"""libjpeg-turbo, if the machine has the library (Debian: libturbojpeg0): scaled decode for ``jpeg.py``, in RGB or in
planes as stored, and encode for it and for ``save.py``. Without it, or if it refuses a picture, libvips does the work.

The TurboJPEG interface of version 2.1, which version 3 still offers: https://libjpeg-turbo.org/Documentation. A scaled
picture's side is the source's divided by the shrink, rounded up. Warnings count as errors here, so that libvips
decides.
"""

import ctypes
from collections.abc import Callable, Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_ulong, c_void_p
from typing import NamedTuple

from imgserve.imaging.worker.source import Data, address
from imgserve.request.encode import Chroma

_STOP_ON_WARNING, _LIMIT_SCANS = 8192, 32768
_RGB, _GREY = 0, 6  # pixel formats
_BANDS_OF_SPACE = {1: 3, 2: 1}  # YCbCr, grey
_FULL_COLOUR, _HALF_COLOUR, _NO_COLOUR = 0, 2, 3  # subsampling: 4:4:4, 4:2:0, grey
# By subsampling: the luma samples, across and down, to one of chroma. 4:4:4, 4:2:2, 4:2:0, grey, 4:4:0, 4:1:1.
_TO_ONE_OF_CHROMA = {0: (1, 1), 1: (2, 1), 2: (2, 2), 3: (1, 1), 4: (1, 2), 5: (4, 1)}
_FULL_COLOUR_FROM = 90  # libvips' rule for the quality
_PROGRESSIVE = 16384
_ARGUMENTS = {
    "tjInitDecompress": (c_void_p,),
    "tjInitCompress": (c_void_p,),
    "tjDecompressHeader3": (c_int, c_void_p, c_void_p, c_ulong, *[POINTER(c_int)] * 4),
    "tjDecompress2": (c_int, c_void_p, c_void_p, c_ulong, c_void_p, *[c_int] * 5),
    "tjDecompressToYUVPlanes": (
        c_int,
        c_void_p,
        c_void_p,
        c_ulong,
        POINTER(c_void_p),
        c_int,
        POINTER(c_int),
        c_int,
        c_int,
    ),
    "tjDecodeYUVPlanes": (c_int, c_void_p, POINTER(c_char_p), POINTER(c_int), c_int, c_void_p, *[c_int] * 5),
    "tjCompressFromYUVPlanes": (
        c_int,
        c_void_p,
        POINTER(c_char_p),
        c_int,
        POINTER(c_int),
        *[c_int] * 2,
        POINTER(c_void_p),
        POINTER(c_ulong),
        *[c_int] * 2,
    ),
    "tjCompress2": (c_int, c_void_p, c_void_p, *[c_int] * 4, POINTER(c_void_p), POINTER(c_ulong), *[c_int] * 3),
    "tjDestroy": (c_int, c_void_p),
    "tjFree": (None, c_void_p),
}


class Settings(NamedTuple):
    """Of an encode. ``chroma`` "auto" is libvips' rule for the sampling."""

    quality: int
    chroma: Chroma = "auto"
    is_progressive: bool = False


class Stored(NamedTuple):
    """What a file holds. ``sampling`` is the library's number for that of the chroma."""

    width: int
    height: int
    bands: int
    sampling: int


class Decoded(NamedTuple):
    """``height x width x bands, uint8``, rows without padding."""

    width: int
    height: int
    bands: int
    pixels: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.pixels)


class Plane(NamedTuple):
    """Luma or chroma: ``height x width, uint8``. ``across`` and ``down``: the luma samples to one of these."""

    width: int
    height: int
    across: int
    down: int
    samples: bytes


class Planes(NamedTuple):
    """Luma alone, or luma, blue and red chroma (JFIF 1.02: full range, chroma in the middle of its luma samples)."""

    planes: tuple[Plane, ...]

    @property
    def size_bytes(self) -> int:
        return sum(len(plane.samples) for plane in self.planes)


class _Turbo:
    """The library, and one codec of each kind for this process's life. Raises OSError, AttributeError, MemoryError.

    Progressive files have an encoder of their own: it keeps the Huffman tables of its last picture, and version 2.1
    would write a baseline file with these instead of the standard's, which no decoder reads properly. Planes have a
    decoder of their own for their colours: one that has read the header of a CMYK file would take them for inks.
    """

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libturbojpeg.so.0")
        for name, (result, *arguments) in _ARGUMENTS.items():
            function = getattr(self.library, name)
            function.restype, function.argtypes = result, arguments
        self.decoder = self._codec("tjInitDecompress")
        self.colour_decoder = self._codec("tjInitDecompress")
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


def shape(data: Data) -> Stored | None:
    """None if the file is not plain, or its headers are invalid or missing."""
    if _TURBO is None:
        return None
    pinned, source = address(data)
    width, height, sampling, space = results = c_int(), c_int(), c_int(), c_int()
    if _TURBO.library.tjDecompressHeader3(_TURBO.decoder, source, len(pinned), *map(byref, results)) != 0:
        _TURBO.renew_decoder()
        return None
    bands = _BANDS_OF_SPACE.get(space.value)
    is_known = bands is not None and sampling.value in _TO_ONE_OF_CHROMA
    return Stored(width.value, height.value, bands or 0, sampling.value) if is_known else None


def decode(data: Data, shape: Stored, shrink: int) -> Decoded | None:
    """None for an invalid file, or one larger than ``shape``, which was checked against the limits.

    ``shrink`` is 1, 2, 4 or 8.
    """
    if _TURBO is None:
        return None
    pinned, source = address(data)
    width, height, bands = -(-shape.width // shrink), -(-shape.height // shrink), shape.bands
    pixels = bytearray(width * height * bands)
    target = (ctypes.c_char * len(pixels)).from_buffer(pixels)
    geometry = (width, width * bands, height, _GREY if bands == 1 else _RGB, _STOP_ON_WARNING | _LIMIT_SCANS)
    if _TURBO.library.tjDecompress2(_TURBO.decoder, source, len(pinned), target, *geometry) != 0:
        return None
    return Decoded(width, height, bands, bytes(pixels))


def decode_planes(data: Data, shape: Stored, shrink: int) -> Planes | None:
    """As ``decode``, in planes. Luma goes on beyond the picture to a whole number of chroma samples."""
    if _TURBO is None:
        return None
    pinned, source = address(data)
    width, height = -(-shape.width // shrink), -(-shape.height // shrink)
    chroma = _TO_ONE_OF_CHROMA[shape.sampling]
    of_planes = ((1, 1), chroma, chroma)[: shape.bands]
    sides = [(-(-width // chroma[0]) * chroma[0] // x, -(-height // chroma[1]) * chroma[1] // y) for x, y in of_planes]
    buffers = [bytearray(columns * rows) for columns, rows in sides]
    targets = (c_void_p * 3)(*(ctypes.addressof((ctypes.c_char * len(one)).from_buffer(one)) for one in buffers))
    options = (width, None, height, _STOP_ON_WARNING | _LIMIT_SCANS)
    if _TURBO.library.tjDecompressToYUVPlanes(_TURBO.decoder, source, len(pinned), targets, *options) != 0:
        return None
    _repeat_edges(buffers[0], sides[0], (width, height))
    planes = zip(sides, of_planes, buffers, strict=True)
    return Planes(tuple(Plane(*side, *to_one, bytes(buffer)) for side, to_one, buffer in planes))


def _repeat_edges(plane: bytearray, sides: tuple[int, int], picture: tuple[int, int]) -> None:
    """Fill the columns and rows of luma beyond the picture. The library decodes whole blocks: at a small scale what is
    further out is memory that it has not written.
    """
    columns, rows = sides
    width, height = picture
    for column in range(width, columns):
        plane[column::columns] = plane[width - 1 :: columns]
    last_row = plane[(height - 1) * columns : height * columns]
    plane[height * columns :] = last_row * (rows - height)


def rgb(planes: Sequence[bytes], width: int, height: int) -> Decoded | None:
    """The colours of luma and chroma, which has a sample for each of luma; luma alone is grey."""
    if len(planes) == 1:
        return Decoded(width, height, 1, planes[0])
    if _TURBO is None:
        return None
    pixels = bytearray(width * height * 3)
    target = (ctypes.c_char * len(pixels)).from_buffer(pixels)
    source, geometry = (c_char_p * 3)(*planes), (width, width * 3, height, _RGB, 0)
    if _TURBO.library.tjDecodeYUVPlanes(_TURBO.colour_decoder, source, None, _FULL_COLOUR, target, *geometry) != 0:
        return None
    return Decoded(width, height, 3, bytes(pixels))


def encode(picture: Decoded, settings: Settings) -> bytes | None:
    """A JPEG without metadata; None if the library refuses."""
    if _TURBO is None:
        return None
    kind, sampling = (_GREY, _NO_COLOUR) if picture.bands == 1 else (_RGB, _sampling(settings))
    shape = (picture.width, picture.width * picture.bands, picture.height, kind)
    compress, options = _TURBO.library.tjCompress2, _options(settings)
    return _encoded(
        _TURBO,
        settings,
        lambda encoder, *places: compress(encoder, picture.pixels, *shape, *places, sampling, *options),
    )


def chroma_side(settings: Settings) -> int:
    """How many luma samples, across and down, there are to one of chroma in a file of these settings."""
    return _TO_ONE_OF_CHROMA[_sampling(settings)][0]


def encode_planes(planes: Sequence[bytes], width: int, height: int, settings: Settings) -> bytes | None:
    """As ``encode``, of luma or of luma and chroma. The sides of each are those of the picture, rounded up to a whole
    number of chroma samples.
    """
    if _TURBO is None:
        return None
    sampling = _NO_COLOUR if len(planes) == 1 else _sampling(settings)
    source = ((c_char_p * 3)(*planes), width, None, height, sampling)
    compress, options = _TURBO.library.tjCompressFromYUVPlanes, _options(settings)
    return _encoded(_TURBO, settings, lambda encoder, *places: compress(encoder, *source, *places, *options))


def _options(settings: Settings) -> tuple[int, int]:
    return settings.quality, _PROGRESSIVE if settings.is_progressive else 0


def _encoded(turbo: _Turbo, settings: Settings, compress: Callable[..., int]) -> bytes | None:
    """``compress`` gets the encoder, and the places for the address and the length of the file."""
    encoder = turbo.progressive_encoder if settings.is_progressive else turbo.encoder
    result, size = c_void_p(), c_ulong()
    try:
        if compress(encoder, byref(result), byref(size)) != 0:
            return None
        return ctypes.string_at(result, size.value)
    finally:
        turbo.library.tjFree(result)


def _sampling(settings: Settings) -> int:
    is_full = settings.quality >= _FULL_COLOUR_FROM if settings.chroma == "auto" else settings.chroma == "444"
    return _FULL_COLOUR if is_full else _HALF_COLOUR
