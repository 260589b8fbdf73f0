"""libwebp, of Pillow's wheel or of the system (Debian: libwebp7): the planes of a lossy WebP as they are stored, and a
lossy WebP of planes. Called by ``inplanes``, ``webpheader`` and ``save``. Without the library, or if it refuses a
picture, libvips does the work; its wheel has a libwebp without vector instructions.

The interface of versions 1.0 to 1.6: https://developers.google.com/speed/webp/docs/api. The library checks that the
structures have the layout of this version of its interface.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_size_t, c_uint32, c_void_p
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from imgserve.imaging.worker.formats.turbojpeg import Decoded, Plane, Planes
from imgserve.imaging.worker.source import Data, address
from imgserve.request.imageinfo import Size

CHROMA_SIDE = 2  # luma samples across and down to one of chroma: RFC 6386, section 2
_SYSTEM = "libwebp.so.7"
_DECODER_ABI, _ENCODER_ABI = 0x0208, 0x020F
_LOSSY = 1
_RGB, _RGBA = 0, 1
_OK = 0
_DEFAULT_PRESET = 0
_NEUTRAL = b"\x80"  # chroma of grey


class Settings(NamedTuple):
    """Of an encode. ``method``: 0 to 6, the time for a smaller file."""

    quality: int
    method: int


class Stored(NamedTuple):
    """The sides of a lossy picture without alpha."""

    width: int
    height: int


class _Features(ctypes.Structure):
    _fields_ = (
        ("width", c_int),
        ("height", c_int),
        ("has_alpha", c_int),
        ("has_animation", c_int),
        ("format", c_int),
        ("_padding", c_uint32 * 5),
    )


class _Output(ctypes.Structure):
    _fields_ = (
        ("colorspace", c_int),
        ("width", c_int),
        ("height", c_int),
        ("is_external_memory", c_int),
        ("pixels", c_void_p),
        ("stride", c_int),
        ("size", c_size_t),
        ("_planes", c_void_p * 7),  # of the other member of a union, which is longer
        ("_padding", c_uint32 * 4),
        ("_memory", c_void_p),
    )


class _Options(ctypes.Structure):
    _fields_ = (
        ("_filters_and_crop", c_int * 7),
        ("use_scaling", c_int),
        ("scaled_width", c_int),
        ("scaled_height", c_int),
        ("_others", c_int * 4),
        ("_padding", c_uint32 * 5),
    )


class _Decoding(ctypes.Structure):
    _fields_ = (("input", _Features), ("output", _Output), ("options", _Options))


class _Config(ctypes.Structure):
    _fields_ = (("lossless", c_int), ("quality", c_float), ("method", c_int), ("_others", c_int * 26))


class _Picture(ctypes.Structure):
    _fields_ = (
        ("use_argb", c_int),
        ("colorspace", c_int),
        ("width", c_int),
        ("height", c_int),
        ("y", c_char_p),
        ("u", c_char_p),
        ("v", c_char_p),
        ("y_stride", c_int),
        ("uv_stride", c_int),
        ("_alpha", c_void_p),
        ("_alpha_stride", c_int),
        ("_padding1", c_uint32 * 2),
        ("_argb", c_void_p),
        ("_argb_stride", c_int),
        ("_padding2", c_uint32 * 3),
        ("writer", c_void_p),
        ("custom_ptr", c_void_p),
        ("_extra_info_type", c_int),
        ("_extra_info", c_void_p),
        ("_stats", c_void_p),
        ("_error_code", c_int),
        ("_progress_hook", c_void_p),
        ("_user_data", c_void_p),
        ("_padding3", c_uint32 * 3),
        ("_padding4", c_void_p * 2),
        ("_padding5", c_uint32 * 8),
        ("_memory", c_void_p * 4),
    )


class _Writer(ctypes.Structure):
    _fields_ = (("memory", c_void_p), ("size", c_size_t), ("max_size", c_size_t), ("_padding", c_uint32))


_ARGUMENTS = {
    "WebPGetFeaturesInternal": (c_int, c_void_p, c_size_t, POINTER(_Features), c_int),
    "WebPDecodeYUVInto": (c_void_p, c_void_p, c_size_t, *(c_void_p, c_size_t, c_int) * 3),
    "WebPInitDecoderConfigInternal": (c_int, POINTER(_Decoding), c_int),
    "WebPDecode": (c_int, c_void_p, c_size_t, POINTER(_Decoding)),
    "WebPConfigInitInternal": (c_int, POINTER(_Config), c_int, c_float, c_int),
    "WebPPictureInitInternal": (c_int, POINTER(_Picture), c_int),
    "WebPMemoryWriterInit": (None, POINTER(_Writer)),
    "WebPMemoryWriterClear": (None, POINTER(_Writer)),
    "WebPMemoryWrite": (c_int, c_void_p, c_size_t, c_void_p),
    "WebPPictureImportRGB": (c_int, POINTER(_Picture), c_char_p, c_int),
    "WebPPictureImportRGBA": (c_int, POINTER(_Picture), c_char_p, c_int),
    "WebPPictureFree": (None, POINTER(_Picture)),
    "WebPEncode": (c_int, POINTER(_Config), POINTER(_Picture)),
}


def _places() -> Iterator[str]:
    """The library's files, the one to be used first."""
    pillow = find_spec("PIL")
    if pillow is not None and pillow.origin is not None:
        yield from map(str, sorted((Path(pillow.origin).parents[1] / "pillow.libs").glob("libwebp-*.so*")))
    yield _SYSTEM


def _open() -> ctypes.CDLL | None:
    for place in _places():
        try:
            library = ctypes.CDLL(place)
            for name, (result, *arguments) in _ARGUMENTS.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        return library
    return None


_WEBP = _open()


def is_there() -> bool:
    return _WEBP is not None


def shape(data: Data) -> Stored | None:
    """None for anything but one lossy picture without alpha, and for an invalid or incomplete header."""
    features = _features(data)
    if features is None or features.format != _LOSSY or features.has_alpha:
        return None
    return Stored(features.width, features.height)


def _features(data: Data) -> _Features | None:
    """Of one picture; None for an animation, and for an invalid or incomplete header."""
    if _WEBP is None:
        return None
    pinned, source = address(data)
    features = _Features()
    if _WEBP.WebPGetFeaturesInternal(source, len(pinned), byref(features), _DECODER_ABI) != _OK:
        return None
    return None if features.has_animation else features


def decode_planes(data: Data, shape: Stored) -> Planes | None:
    """None for an invalid file, or one larger than ``shape``, which was checked against the limits."""
    if _WEBP is None:
        return None
    pinned, source = address(data)
    of_chroma = _halved(shape.width), _halved(shape.height)
    sides = (shape.width, shape.height), of_chroma, of_chroma
    buffers = [bytearray(columns * rows) for columns, rows in sides]
    targets = [ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer)) for buffer in buffers]
    planes = zip(targets, map(len, buffers), (columns for columns, _ in sides), strict=True)
    if not _WEBP.WebPDecodeYUVInto(source, len(pinned), *(value for plane in planes for value in plane)):
        return None
    to_one = (1, CHROMA_SIDE, CHROMA_SIDE)
    return Planes(
        tuple(Plane(*side, to, to, bytes(buffer)) for side, to, buffer in zip(sides, to_one, buffers, strict=True))
    )


def decode_pixels(data: Data, stored: Size, bands: int, size: Size) -> bytearray | None:
    """``height x width x bands, uint8, sRGB``, the same as by libvips; alpha is the fourth band.

    ``size`` is ``stored``, or smaller: then each pixel is the mean of those that it covers. None for an animation, an
    invalid file, and one that is not as ``stored`` and ``bands`` say, which were checked against the limits.
    """
    features, decoding = _features(data), _Decoding()
    if _WEBP is None or features is None or not _WEBP.WebPInitDecoderConfigInternal(byref(decoding), _DECODER_ABI):
        return None
    if (features.width, features.height, 4 if features.has_alpha else 3) != (stored.width_px, stored.height_px, bands):
        return None
    pinned, source = address(data)
    pixels = bytearray(size.width_px * size.height_px * bands)
    output, options = decoding.output, decoding.options
    output.colorspace, output.is_external_memory = _RGBA if features.has_alpha else _RGB, 1
    output.pixels = ctypes.addressof((ctypes.c_char * len(pixels)).from_buffer(pixels))
    output.stride, output.size = size.width_px * bands, len(pixels)
    options.use_scaling = int(size != stored)
    options.scaled_width, options.scaled_height = size.width_px, size.height_px
    return pixels if _WEBP.WebPDecode(source, len(pinned), byref(decoding)) == _OK else None


def encode_planes(planes: Sequence[bytes], width: int, height: int, settings: Settings) -> bytes | None:
    """A WebP without metadata, of luma, or of luma and chroma; None if the library refuses.

    The sides of each plane are those of the picture, rounded up to a whole number of chroma samples; luma alone has
    those of the picture. WebP has no grey: that gets chroma.
    """
    chroma_stride = _halved(width)
    luma, *chroma = planes
    blue, red = chroma or [_NEUTRAL * (chroma_stride * _halved(height))] * 2

    def fill(picture: _Picture) -> bool:
        picture.y, picture.u, picture.v = luma, blue, red
        picture.y_stride = chroma_stride * CHROMA_SIDE if chroma else width
        picture.uv_stride = chroma_stride
        return True

    return _encoded(width, height, settings, fill)


def encode_pixels(picture: Decoded, settings: Settings) -> bytes | None:
    """The same bytes as by libvips: a WebP without metadata, of 3 or 4 bands; None if the library refuses."""
    if _WEBP is None:
        return None
    take = _WEBP.WebPPictureImportRGB if picture.bands == 3 else _WEBP.WebPPictureImportRGBA
    stride = picture.width * picture.bands
    return _encoded(picture.width, picture.height, settings, lambda target: take(byref(target), picture.pixels, stride))


def _encoded(width: int, height: int, settings: Settings, fill: Callable[[_Picture], int]) -> bytes | None:
    """``fill`` gives the picture its samples; 0 from it ends the work."""
    config, picture, writer = _Config(), _Picture(), _Writer()
    if _WEBP is None or not (
        _WEBP.WebPConfigInitInternal(byref(config), _DEFAULT_PRESET, settings.quality, _ENCODER_ABI)
        and _WEBP.WebPPictureInitInternal(byref(picture), _ENCODER_ABI)
    ):
        return None
    config.method = settings.method
    picture.width, picture.height = width, height
    _WEBP.WebPMemoryWriterInit(byref(writer))
    picture.writer = ctypes.cast(_WEBP.WebPMemoryWrite, c_void_p)
    picture.custom_ptr = ctypes.addressof(writer)
    try:
        is_written = fill(picture) and _WEBP.WebPEncode(byref(config), byref(picture))
        return ctypes.string_at(writer.memory, writer.size) if is_written else None
    finally:
        _WEBP.WebPMemoryWriterClear(byref(writer))
        _WEBP.WebPPictureFree(byref(picture))


def _halved(side: int) -> int:
    return -(-side // CHROMA_SIDE)
