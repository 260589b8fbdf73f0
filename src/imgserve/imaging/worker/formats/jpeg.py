"""The fast path for a JPEG, or a part of it, that becomes smaller by its stored values. Called by ``steps/resize.py``;
``inplanes`` has the one by its light, and the one to a file.

It decodes at a smaller scale (libjpeg's own DCT scaling) and resamples the crop once by Lanczos, without libvips. An
unusual JPEG is left to libvips, and so is one that cannot be decoded here: libvips then raises the fault.
"""

import pyvips

from imgserve.imaging.worker import cover, ending
from imgserve.imaging.worker.cover import Part
from imgserve.imaging.worker.formats import resizer, turbojpeg
from imgserve.imaging.worker.formats.jpegheader import Header
from imgserve.imaging.worker.formats.turbojpeg import Decoded
from imgserve.imaging.worker.picture import Picture
from imgserve.imaging.worker.rules import RULES
from imgserve.request.imageinfo import Size

_MAX_DECODED_PIXELS = 8_000_000  # for more, libvips' strips need less memory
_SHRINKS = (8, 4, 2, 1)
_SPACES = {1: "b-w", 3: "srgb"}


def scaled(picture: Picture, part: Part, size: Size) -> pyvips.Image | None:
    """The part, upright, exactly ``size``, in memory; None if libvips has to do it."""
    header = picture.plain_jpeg
    if header is None:
        return None
    place = cover.as_stored(part, size, Size(header.width, header.height), header.orientation)
    pixels = _scaled(picture, header, *place)
    return upright(pixels, header.orientation) if pixels is not None else None


def _scaled(picture: Picture, header: Header, part: Part, size: Size) -> Decoded | None:
    """As stored."""
    shrink = shrink_of(picture, header, part, size, RULES[picture.render_profile].left)
    if shrink is None:
        return None
    decoded = picture.cache.decoded(
        ("turbojpeg", shrink), Decoded, lambda: turbojpeg.decode(picture.data, header.stored, shrink)
    )
    if decoded is None:
        return None
    samples: resizer.Samples = "U8" if decoded.bands == 1 else "U8x3"
    part = Part(*(side / shrink for side in part))
    pixels = resizer.resized(decoded.pixels, decoded.width, decoded.height, part, size, samples)
    return Decoded(size.width_px, size.height_px, decoded.bands, pixels)


def shrink_of(picture: Picture, header: Header, part: Part, size: Size, left: float) -> int | None:
    """The scale of the decoder, which leaves at least ``left`` to the resampler. None if libvips has to make it: a
    picture that grows or would take much memory, and one without its end mark.
    """
    factor = cover.factor(part, size)
    if not resizer.is_there() or factor < 1 or not ending.has_end_mark(picture.data, picture.format):
        return None
    shrink = next((step for step in _SHRINKS if factor >= step * left), 1)
    return shrink if header.width * header.height / shrink**2 <= _MAX_DECODED_PIXELS else None


def upright(stored: Decoded, orientation: int) -> pyvips.Image:
    """An image of libvips, turned by EXIF's orientation."""
    image = pyvips.Image.new_from_memory(stored.pixels, stored.width, stored.height, stored.bands, "uchar")
    return cover.upright(image.copy(interpretation=_SPACES[stored.bands]), orientation)
