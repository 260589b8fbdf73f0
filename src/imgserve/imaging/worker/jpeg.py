"""The short way for the commonest job: a JPEG, made smaller to cover a box. Called by ``steps/resize.py``.

A scaled decode (libjpeg's own DCT scaling) and one Lanczos pass over the crop, without libvips' pipeline around them.
What is odd in any respect takes libvips' way, and so does whatever cannot be decoded here: libvips judges, and its
fault is the one that is told. libvips is the oracle in the tests too.
"""

import sys

import pyvips

from imgserve.imaging.worker import load, turbojpeg
from imgserve.imaging.worker.turbojpeg import Decoded
from imgserve.spec.facts import Size

# The resizer loads Pillow where there is one: memory, and decoders that no worker needs.
_hides_pillow = sys.modules.setdefault("PIL", None) is None  # type: ignore[arg-type]
try:
    import cykooz_resizer as resizer
except ImportError:  # no wheel for this machine
    resizer = None
finally:
    if _hides_pillow:
        del sys.modules["PIL"]

_MAX_DECODED_PIXELS = 8_000_000  # beyond, libvips' strips need less memory
_LEFT_TO_RESAMPLE = 2  # libvips' rule: the decoder's own scaling stops here, the rest is the resampler's
_SHRINKS = (8, 4, 2, 1)
_SPACES = {1: "b-w", 3: "srgb"}
_SHARE: dict[str, float] = {"low": 0.0, "centre": 0.5, "high": 1.0}
_UPRIGHT, _FIRST_TURNED = 1, 5  # EXIF: 5 to 8 swap width and height


def covering(picture: load.Picture, size: Size, crop: str) -> pyvips.Image | None:
    """As ``load.covering``, in memory; None where libvips has to do it."""
    if resizer is None or not turbojpeg.is_there() or not _is_plain(picture):
        return None
    orientation = load.orientation(picture.header)
    if crop not in _SHARE or (orientation != _UPRIGHT and crop != "centre"):
        return None
    if orientation >= _FIRST_TURNED:
        size = Size(size.height_px, size.width_px)
    scale = min(picture.header.width / size.width_px, picture.header.height / size.height_px)
    if scale < 1:
        return None
    shrink = next((step for step in _SHRINKS if scale >= step * _LEFT_TO_RESAMPLE), 1)
    if picture.header.width * picture.header.height / shrink**2 > _MAX_DECODED_PIXELS:
        return None
    decoded = turbojpeg.decode(picture.data, (picture.header.width, picture.header.height), shrink)
    if decoded is None:
        return None
    return _upright(_resized(decoded, size, _SHARE[crop]), orientation)


def _is_plain(picture: load.Picture) -> bool:
    """8 bits of grey or YCbCr without a profile to convert from, complete as far as its end mark tells."""
    if picture.format != "jpeg":
        return False
    header = picture.header
    is_usual = header.format == "uchar" and _SPACES.get(header.bands) == header.interpretation
    return is_usual and not load.has_profile(picture) and load.has_its_end(picture)


def _resized(decoded: Decoded, size: Size, share: float) -> pyvips.Image:
    """``share`` of what hangs over is cut off on the low side."""
    scale = min(decoded.width / size.width_px, decoded.height / size.height_px)
    width, height = size.width_px * scale, size.height_px * scale
    left, top = max(decoded.width - width, 0.0) * share, max(decoded.height - height, 0.0) * share
    kind = resizer.PixelType.U8 if decoded.bands == 1 else resizer.PixelType.U8x3
    result = resizer.ImageData(size.width_px, size.height_px, kind)
    box = resizer.CropBox(left, top, min(width, decoded.width - left), min(height, decoded.height - top))
    way = resizer.ResizeAlg.convolution(resizer.FilterType.lanczos3)
    source = resizer.ImageData(decoded.width, decoded.height, kind, decoded.pixels)
    resizer.Resizer().resize(source, result, resizer.ResizeOptions(way, crop_box=box))
    image = pyvips.Image.new_from_memory(result.get_buffer(), size.width_px, size.height_px, decoded.bands, "uchar")
    return image.copy(interpretation=_SPACES[decoded.bands])


def _upright(image: pyvips.Image, orientation: int) -> pyvips.Image:
    if orientation == _UPRIGHT:
        return image
    turned = image.copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return turned.autorot()
