"""Rounds the colours of a drawing. libvips divides cairo's colours by their alpha and rounds down. Called by draw.

In: a lazy image as libvips draws it, RGBA in uint8. Out: the same with the nearest colours, with the same metadata that
later steps read.
"""

import re
import sys
from functools import lru_cache

import pyvips

from imgserve.imaging.worker import vips
from imgserve.imaging.worker.formats.turbojpeg import Decoded

_ALPHA = 3  # its band's number
_BANDS = 4
_HIDDEN_OR_OPAQUE = b"\0\xff"  # of these alphas libvips' colours are exact
_INEXACT = re.compile(rb"[^\0\xff]+")
_FEW = 300  # pixels that a loop rounds in less time than one operation of libvips takes
_ERROR = 0.001  # of libvips' division: a whole number may come out as a little more, which ceil would raise by one
# So many pixels are drawn in this thread: of an icon, libvips' threads and operations would cost more than the drawing.
_MOST_AT_ONCE = 1_000_000
_LOADER = "vips-loader"
_LOW = 0 if sys.byteorder == "little" else 1  # the place of the lower byte


def is_small(width: int, height: int) -> bool:
    """Whether it is to be drawn at once. Of a large drawing a later step may need a part only."""
    return width * height <= _MOST_AT_ONCE


def rounded(image: pyvips.Image) -> pyvips.Image:
    """Lazy. Raises pyvips.Error."""
    if not is_small(image.width, image.height):
        return _by_libvips(image)
    drawing = at_once(image, image.width, image.height)
    result = pyvips.Image.new_from_memory(drawing.pixels, drawing.width, drawing.height, drawing.bands, "uchar")
    result = result.copy(interpretation="srgb", xres=image.xres, yres=image.yres)
    result.set_type(pyvips.GValue.gstr_type, _LOADER, image.get(_LOADER))
    return result


def at_once(image: pyvips.Image, width: int, height: int) -> Decoded:
    """The pixels of an image of this size. Raises pyvips.Error."""
    return Decoded(width, height, _BANDS, _nearest_colours(vips.pixels(image, width, height), width, height))


def _by_libvips(image: pyvips.Image) -> pyvips.Image:
    alpha = image.extract_band(_ALPHA)
    indices = (image.extract_band(0, n=_ALPHA) + alpha * 256).cast("ushort")
    return indices.maplut(_nearest()).bandjoin(alpha).copy(interpretation="srgb")


def _nearest_colours(pixels: bytes, width: int, height: int) -> bytes:
    alpha = pixels[_ALPHA::_BANDS]
    inexact = len(alpha.translate(None, _HIDDEN_OR_OPAQUE))
    if not inexact:
        return pixels
    return _one_by_one(pixels, alpha) if inexact <= _FEW else _all_at_once(pixels, alpha, width, height)


def _one_by_one(pixels: bytes, alpha: bytes) -> bytes:
    """Of the outlines in an icon."""
    result, table = bytearray(pixels), _nearest_in_bytes()
    for run in _INEXACT.finditer(alpha):
        for pixel in range(run.start(), run.end()):
            row, at = alpha[pixel] << 8, pixel * _BANDS
            result[at] = table[row | pixels[at]]
            result[at + 1] = table[row | pixels[at + 1]]
            result[at + 2] = table[row | pixels[at + 2]]
    return bytes(result)


def _all_at_once(pixels: bytes, alpha: bytes, width: int, height: int) -> bytes:
    indices = bytearray(2 * _ALPHA * width * height)  # each of two bytes
    for band in range(_ALPHA):
        indices[2 * band + _LOW :: 2 * _ALPHA] = pixels[band::_BANDS]
        indices[2 * band + 1 - _LOW :: 2 * _ALPHA] = alpha
    looked_up = pyvips.Image.new_from_memory(indices, width * _ALPHA, height, 1, "ushort").maplut(_nearest())
    colours = vips.pixels(looked_up, width * _ALPHA, height)
    result = bytearray(pixels)
    for band in range(_ALPHA):
        result[band::_BANDS] = colours[band::_ALPHA]
    return bytes(result)


@lru_cache(maxsize=1)
def _nearest_in_bytes() -> bytes:
    return bytes(_nearest().write_to_memory())


@lru_cache(maxsize=1)
def _nearest() -> pyvips.Image:
    """A table by alpha * 256 + colour. The premultiplied colour, before the division, was the next whole number."""
    index = pyvips.Image.identity(ushort=True)
    alpha = (index / 256).floor()
    product = ((index - alpha * 256) * alpha / 255 - _ERROR).ceil()
    whole = (alpha == 0).ifthenelse(1, alpha)
    return (product * 255 / whole).rint().cast("uchar").copy_memory()
