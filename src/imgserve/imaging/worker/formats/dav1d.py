"""AVIF pixels by dav1d, in RGB or in planes as stored: for ``picture`` and ``avif``. Without it, or if it refuses a
picture, libvips does the work.

dav1d is in libavif, and libavif in Pillow. Pillow's own binding gives RGB. The planes come from the same library by its
C interface, of which ``_Image`` is the beginning of ``avifImage`` (avif/avif.h of libavif 1.0 to 1.4); an image that
does not look as expected is the end of that road.
"""

import contextlib
import ctypes
import importlib
from collections.abc import Iterator
from ctypes import POINTER, c_int, c_size_t, c_uint16, c_uint32, c_void_p
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

import pyvips

from imgserve.imaging.worker.formats.avifheader import Header
from imgserve.imaging.worker.formats.turbojpeg import Plane, Planes
from imgserve.imaging.worker.source import Data, address
from imgserve.request.imageinfo import Size

_DECODER, _ONE_THREAD = "dav1d", 1
_BANDS = {"L": 1, "RGB": 3, "RGBA": 4}
_OK, _FULL_RANGE, _UNSPECIFIED, _BITS = 0, 1, 2, 8
# By libavif's number for the sampling: the luma samples, across and down, to one of chroma.
_TO_ONE_OF_CHROMA = {1: (1, 1), 2: (2, 1), 3: (2, 2)}
_GREY, _HALF_COLOUR = 4, 3
_BLACK, _WHITE, _MOST_CHROMA = 16, 235, 240  # of the narrow range, in 8 bits
_UNCHANGED = bytes(range(256))


class _Image(ctypes.Structure):
    _fields_ = (
        ("width", c_uint32), ("height", c_uint32), ("depth", c_uint32), ("sampling", c_int), ("range", c_int),
        ("chroma_position", c_int), ("planes", c_void_p * 3), ("row_bytes", c_uint32 * 3), ("owns_planes", c_int),
        ("alpha", c_void_p), ("alpha_row_bytes", c_uint32), ("owns_alpha", c_int), ("is_premultiplied", c_int),
        ("profile", c_void_p), ("profile_bytes", c_size_t), ("primaries", c_uint16), ("transfer", c_uint16),
        ("matrix", c_uint16),
    )  # fmt: skip


_ARGUMENTS = {
    "avifImageCreate": (POINTER(_Image), c_uint32, c_uint32, c_uint32, c_int),
    "avifImageDestroy": (None, POINTER(_Image)),
    "avifDecoderCreate": (c_void_p,),
    "avifDecoderDestroy": (None, c_void_p),
    "avifDecoderReadMemory": (c_int, c_void_p, POINTER(_Image), c_void_p, c_size_t),
}


class YuvPlanes(NamedTuple):
    """Planes of 8 bits in full range. ``matrix``: the number that tells their colours, of ITU-T H.273, table 4."""

    planes: Planes
    matrix: int

    @property
    def size_bytes(self) -> int:
        return self.planes.size_bytes


def _open() -> ModuleType | None:
    try:
        module = importlib.import_module("PIL._avif")
    except ImportError:
        return None
    return module if module.decoder_codec_available(_DECODER) else None


def _open_planes(module: ModuleType | None) -> ctypes.CDLL | None:
    """The libavif that the module has loaded; None if its interface is another one."""
    if module is None or module.__file__ is None:
        return None
    try:
        library = ctypes.CDLL(module.__file__)
        for name, (result, *arguments) in _ARGUMENTS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    return library if module.libavif_version.startswith("1.") and _is_as_expected(library) else None


def _is_as_expected(library: ctypes.CDLL) -> bool:
    with _made(library, "Image", 5, 3, _BITS, _HALF_COLOUR) as pointer:
        if not pointer:
            return False
        image = pointer.contents
        shape = image.width, image.height, image.depth, image.sampling, image.range
        colours = image.primaries, image.transfer, image.matrix
    return shape == (5, 3, _BITS, _HALF_COLOUR, _FULL_RANGE) and colours == (_UNSPECIFIED,) * 3


@contextlib.contextmanager
def _made(library: ctypes.CDLL, kind: str, *arguments: int) -> Iterator[Any]:
    """An image or a decoder, false without memory for it."""
    result = getattr(library, f"avif{kind}Create")(*arguments)
    try:
        yield result
    finally:
        if result:
            getattr(library, f"avif{kind}Destroy")(result)


_PILLOW = _open()
_LIBAVIF = _open_planes(_PILLOW)


def is_there() -> bool:
    return _PILLOW is not None


def rgb(data: Data, header: Header) -> pyvips.Image | None:
    """As stored, ``height x width x 3 or 4 bands, uint8``, in memory; None if libvips has to decode it."""
    if _PILLOW is None:
        return None
    try:
        decoder = _PILLOW.AvifDecoder(data, _DECODER, _ONE_THREAD)
        sides, _frames, mode, *_ = decoder.get_info()
        pixels = decoder.get_frame(0)[0]
    except (OSError, ValueError, RuntimeError, SyntaxError, MemoryError):
        return None
    if sides != (header.size.width_px, header.size.height_px) or mode not in _BANDS:
        return None
    image = pyvips.Image.new_from_memory(pixels, *sides, _BANDS[mode], "uchar")
    image = image.bandjoin([image, image]) if mode == "L" else image  # as libvips has it
    return image.copy(interpretation="srgb")


def planes(data: Data, header: Header) -> YuvPlanes | None:
    """Luma alone, or luma and chroma; None if libvips or ``rgb`` has to decode it."""
    library = _LIBAVIF
    if library is None:
        return None
    pinned, source = address(data)
    with _made(library, "Image", 0, 0, _BITS, _HALF_COLOUR) as image, _made(library, "Decoder") as decoder:
        if not image or not decoder or library.avifDecoderReadMemory(decoder, image, source, len(pinned)) != _OK:
            return None
        return _stored(image.contents, header)


def _stored(image: _Image, header: Header) -> YuvPlanes | None:
    known = {_GREY: (), **{number: (side, side) for number, side in _TO_ONE_OF_CHROMA.items()}}
    chroma = known.get(image.sampling)
    size, sample_bytes = Size(image.width, image.height), 1 if image.depth == _BITS else 2
    if size != header.size or (image.depth != _BITS) != header.is_deep or chroma is None:
        return None
    result = []
    for at, (across, down) in enumerate(((1, 1), *chroma)):
        width, height = -(-image.width // across), -(-image.height // down)
        if image.row_bytes[at] != width * sample_bytes or not image.planes[at]:
            return None
        samples = ctypes.string_at(image.planes[at], width * height * sample_bytes)
        table = _table(image.depth, image.range == _FULL_RANGE, _MOST_CHROMA if at else _WHITE)
        result.append(Plane(width, height, across, down, _by_table(samples, width, height, table)))
    return YuvPlanes(Planes(tuple(result)), image.matrix)


@lru_cache(maxsize=8)
def _table(depth: int, is_full_range: bool, most: int) -> bytes:
    """8 bits of full range for each value; ``most`` is that of the narrow range. ITU-T H.273, section 8.3."""
    step = 1 << (depth - _BITS)
    low, high = (0, (1 << depth) - 1) if is_full_range else (_BLACK * step, most * step)
    return bytes(min(max(round((value - low) * 255 / (high - low)), 0), 255) for value in range(1 << depth))


def _by_table(samples: bytes, width: int, height: int, table: bytes) -> bytes:
    if len(table) == 1 << _BITS:
        return samples if table == _UNCHANGED else samples.translate(table)
    image = pyvips.Image.new_from_memory(samples, width, height, 1, "ushort")
    narrow = image.maplut(pyvips.Image.new_from_memory(table, len(table), 1, 1, "uchar"))
    return bytes(pyvips.Region.new(narrow).fetch(0, 0, width, height))
