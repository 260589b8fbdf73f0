"""The fast path for the commonest job: a JPEG, made smaller to cover a box. Called by ``pipeline``, if the result is a
JPEG too, and by ``steps/resize.py``.

It decodes at a smaller scale (libjpeg's own DCT scaling) and resamples the crop once by Lanczos, without libvips. An
unusual JPEG is left to libvips, and so is one that cannot be decoded here: libvips then raises the fault.
"""

import sys

import pyvips

from imgserve.imaging.worker import cover, ending, load
from imgserve.imaging.worker.formats import turbojpeg
from imgserve.imaging.worker.formats.jpegheader import UPRIGHT, Header
from imgserve.imaging.worker.formats.turbojpeg import Decoded
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


def again(picture: load.Picture, size: Size, crop: str, settings: turbojpeg.Settings) -> bytes | None:
    """A JPEG of exactly ``size``, upright; None if libvips has to make it."""
    if picture.plain_jpeg is None or picture.plain_jpeg.orientation != UPRIGHT:
        return None
    pixels = _covering(picture, picture.plain_jpeg, size, crop)
    return turbojpeg.encode(pixels, settings) if pixels is not None else None


def covering(picture: load.Picture, size: Size, crop: str) -> pyvips.Image | None:
    """As ``load.covering``, in memory; None if libvips has to do it."""
    header = picture.plain_jpeg
    if header is None or (header.orientation != UPRIGHT and crop != "centre"):
        return None
    if header.orientation >= cover.FIRST_TURNED:
        size = Size(size.height_px, size.width_px)
    pixels = _covering(picture, header, size, crop)
    return _upright(pixels, header.orientation) if pixels is not None else None


def _covering(picture: load.Picture, header: Header, size: Size, crop: str) -> Decoded | None:
    """Of ``size``, as stored. Only a JPEG with its end mark."""
    scale = min(header.width / size.width_px, header.height / size.height_px)
    if (
        resizer is None
        or crop not in cover.POSITION
        or scale < 1
        or not ending.has_end_mark(picture.data, picture.format)
    ):
        return None
    shrink = next((step for step in _SHRINKS if scale >= step * _LEFT_TO_RESAMPLE), 1)
    if header.width * header.height / shrink**2 > _MAX_DECODED_PIXELS:
        return None
    decoded = turbojpeg.decode(picture.data, (header.width, header.height, header.bands), shrink)
    return _resized(decoded, size, cover.POSITION[crop]) if decoded is not None else None


def _resized(decoded: Decoded, size: Size, position: float) -> Decoded:
    """``position`` is the crop's, from 0 to 1, within the overhang."""
    scale = min(decoded.width / size.width_px, decoded.height / size.height_px)
    width, height = size.width_px * scale, size.height_px * scale
    left, top = max(decoded.width - width, 0.0) * position, max(decoded.height - height, 0.0) * position
    kind = resizer.PixelType.U8 if decoded.bands == 1 else resizer.PixelType.U8x3
    result = resizer.ImageData(size.width_px, size.height_px, kind)
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
