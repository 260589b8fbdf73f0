"""The fast path for the commonest job: a JPEG, or a part of it, made smaller. Called by ``pipeline``, if the result is
a JPEG too, and by ``steps/resize.py``.

It decodes at a smaller scale (libjpeg's own DCT scaling) and resamples the crop once by Lanczos, without libvips. An
unusual JPEG is left to libvips, and so is one that cannot be decoded here: libvips then raises the fault.
"""

import math
import sys

import pyvips

from imgserve.imaging.worker import cover, ending
from imgserve.imaging.worker.cover import Part
from imgserve.imaging.worker.formats import turbojpeg
from imgserve.imaging.worker.formats.jpegheader import UPRIGHT, Header
from imgserve.imaging.worker.formats.turbojpeg import Decoded
from imgserve.imaging.worker.picture import Picture
from imgserve.request.imageinfo import Size

# The resizer loads Pillow where there is one: memory, and decoders that no worker needs.
_hides_pillow = sys.modules.setdefault("PIL", None) is None  # type: ignore[arg-type]
try:
    import cykooz_resizer as resizer
except ImportError:  # no wheel for this machine
    resizer = None
finally:
    if _hides_pillow:
        del sys.modules["PIL"]

_MAX_DECODED_PIXELS = 8_000_000  # for more, libvips' strips need less memory
_LEFT_TO_RESAMPLE = 2  # libvips' rule: the resampler shrinks at least this much after the decoder
_SHRINKS = (8, 4, 2, 1)
_SPACES = {1: "b-w", 3: "srgb"}


def again(picture: Picture, part: Part, size: Size, settings: turbojpeg.Settings) -> bytes | None:
    """The part as a JPEG of exactly ``size``, upright; None if libvips has to make it."""
    if picture.plain_jpeg is None or picture.plain_jpeg.orientation != UPRIGHT:
        return None
    pixels = _scaled(picture, picture.plain_jpeg, part, size)
    return turbojpeg.encode(pixels, settings) if pixels is not None else None


def scaled(picture: Picture, part: Part, size: Size) -> pyvips.Image | None:
    """The part, upright, exactly ``size``, in memory; None if libvips has to do it."""
    header = picture.plain_jpeg
    if header is None:
        return None
    if header.orientation != UPRIGHT:
        is_turned = header.orientation >= cover.FIRST_TURNED
        stored = (header.height, header.width) if is_turned else (header.width, header.height)
        if not _is_in_the_middle(part, *stored):
            return None
        if is_turned:
            part, size = Part(part.top, part.left, part.height, part.width), Size(size.height_px, size.width_px)
    pixels = _scaled(picture, header, part, size)
    return _upright(pixels, header.orientation) if pixels is not None else None


def _is_in_the_middle(part: Part, width: int, height: int) -> bool:
    """Then it is the same part whichever way the picture is turned."""
    return math.isclose(2 * part.left + part.width, width) and math.isclose(2 * part.top + part.height, height)


def _scaled(picture: Picture, header: Header, part: Part, size: Size) -> Decoded | None:
    """As stored. Only a JPEG with its end mark."""
    factor = min(part.width / size.width_px, part.height / size.height_px)
    if resizer is None or factor < 1 or not ending.has_end_mark(picture.data, picture.format):
        return None
    shrink = next((step for step in _SHRINKS if factor >= step * _LEFT_TO_RESAMPLE), 1)
    if header.width * header.height / shrink**2 > _MAX_DECODED_PIXELS:
        return None
    shape = (header.width, header.height, header.bands)
    decoded = picture.cache.decoded(("turbojpeg", shrink), lambda: turbojpeg.decode(picture.data, shape, shrink))
    if decoded is None:
        return None
    return _resized(decoded, Part(*(side / shrink for side in part)), size)


def _resized(decoded: Decoded, part: Part, size: Size) -> Decoded:
    kind = resizer.PixelType.U8 if decoded.bands == 1 else resizer.PixelType.U8x3
    result = resizer.ImageData(size.width_px, size.height_px, kind)
    left, top, width, height = part
    box = resizer.CropBox(left, top, min(width, decoded.width - left), min(height, decoded.height - top))
    kernel = resizer.ResizeAlg.convolution(resizer.FilterType.lanczos3)
    source = resizer.ImageData(decoded.width, decoded.height, kind, decoded.pixels)
    resizer.Resizer().resize(source, result, resizer.ResizeOptions(kernel, crop_box=box))
    return Decoded(size.width_px, size.height_px, decoded.bands, bytes(result.get_buffer()))


def _upright(stored: Decoded, orientation: int) -> pyvips.Image:
    image = pyvips.Image.new_from_memory(stored.pixels, stored.width, stored.height, stored.bands, "uchar")
    image = image.copy(interpretation=_SPACES[stored.bands])
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image.autorot() if orientation != UPRIGHT else image
