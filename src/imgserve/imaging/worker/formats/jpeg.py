"""The fast path for the commonest job: a JPEG, or a part of it, made smaller. Called by ``pipeline``, if the result is
a JPEG too, and by ``steps/resize.py``.

It decodes at a smaller scale (libjpeg's own DCT scaling) and resamples the crop once by Lanczos, without libvips; for
another JPEG in ``planes``. An unusual JPEG is left to libvips, and so is one that cannot be decoded here: libvips then
raises the fault.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker import cover, ending
from imgserve.imaging.worker.cover import Part
from imgserve.imaging.worker.formats import planes, resizer, turbojpeg
from imgserve.imaging.worker.formats.jpegheader import UPRIGHT, Header
from imgserve.imaging.worker.formats.turbojpeg import Decoded
from imgserve.imaging.worker.picture import Picture
from imgserve.request.encode import RenderProfile
from imgserve.request.imageinfo import Size

_MAX_DECODED_PIXELS = 8_000_000  # for more, libvips' strips need less memory


class _Rule(NamedTuple):
    """``left``: how much of the way the decoder leaves to the resampler at least, by stored values; ``left_in_light``:
    by light. Light is used for results of ``least_pixels`` and more, on a way of ``least_way`` and more.
    """

    left: float
    left_in_light: float
    least_way: float
    least_pixels: float


_RULES: Mapping[RenderProfile, _Rule] = {
    "speed": _Rule(1.5, math.inf, math.inf, math.inf),
    # libvips' rule for stored values. In light 1.5 is enough for the same quality; on a shorter way, and in smaller
    # results, light shows little: the decoder has made most of the way by stored values.
    "balanced": _Rule(2, 1.5, 1.5, 65_536),
    "quality": _Rule(3, 3, 1, 0),
}
_LEAST_IN_PLANES_PX = 16  # where a chroma sample beyond the edge would be seen
_SHRINKS = (8, 4, 2, 1)
_SPACES = {1: "b-w", 3: "srgb"}


def again(
    picture: Picture, part: Part, size: Size, settings: turbojpeg.Settings, *, is_in_light: bool = True
) -> bytes | None:
    """The part as a JPEG of exactly ``size``, upright; None if libvips has to make it. ``is_in_light``: by the light
    of its luma instead of its stored values.
    """
    header, chroma_side = picture.plain_jpeg, turbojpeg.chroma_side(settings)
    if header is None or min(size.width_px, size.height_px) < _LEAST_IN_PLANES_PX:
        return None
    if header.orientation != UPRIGHT and (size.width_px % chroma_side or size.height_px % chroma_side):
        return None  # what the last sample of chroma covers beyond the picture would be turned too
    place = _as_stored(header, part, size)
    if place is None:
        return None
    part, stored = place
    rule = _RULES[picture.render_profile]
    pixels = size.width_px * size.height_px
    is_in_light = is_in_light and _factor(part, stored) >= rule.least_way and pixels >= rule.least_pixels
    shrink = _shrink(picture, header, part, stored, rule.left_in_light if is_in_light else rule.left)
    if shrink is None:
        return None
    part = Part(*(side / shrink for side in part))
    decoded = picture.cache.decoded(
        ("planes", shrink),
        turbojpeg.Planes,
        lambda: turbojpeg.decode_planes(picture.data, header.stored, shrink),
    )
    if decoded is None:
        return None
    smaller = planes.smaller(decoded, part, stored, chroma_side, is_in_light=is_in_light)
    upright = planes.upright(smaller, stored, chroma_side, header.orientation)
    return turbojpeg.encode_planes(upright, size.width_px, size.height_px, settings)


def scaled(picture: Picture, part: Part, size: Size) -> pyvips.Image | None:
    """The part, upright, exactly ``size``, in memory; None if libvips has to do it."""
    header = picture.plain_jpeg
    place = _as_stored(header, part, size) if header is not None else None
    if header is None or place is None:
        return None
    pixels = _scaled(picture, header, *place)
    return _upright(pixels, header.orientation) if pixels is not None else None


def _as_stored(header: Header, part: Part, size: Size) -> tuple[Part, Size] | None:
    """Before the picture is turned upright. None for a part that is not in the middle: it would lie elsewhere."""
    if header.orientation == UPRIGHT:
        return part, size
    is_turned = header.orientation >= cover.FIRST_TURNED
    upright = (header.height, header.width) if is_turned else (header.width, header.height)
    if not _is_in_the_middle(part, *upright):
        return None
    if not is_turned:
        return part, size
    return Part(part.top, part.left, part.height, part.width), Size(size.height_px, size.width_px)


def _is_in_the_middle(part: Part, width: int, height: int) -> bool:
    """Then it is the same part whichever way the picture is turned."""
    return math.isclose(2 * part.left + part.width, width) and math.isclose(2 * part.top + part.height, height)


def _scaled(picture: Picture, header: Header, part: Part, size: Size) -> Decoded | None:
    """As stored."""
    shrink = _shrink(picture, header, part, size, _RULES[picture.render_profile].left)
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


def _shrink(picture: Picture, header: Header, part: Part, size: Size, left: float) -> int | None:
    """The scale of the decoder, which leaves at least ``left`` to the resampler. None if libvips has to make it: a
    picture that grows or would take much memory, and one without its end mark.
    """
    factor = _factor(part, size)
    if not resizer.is_there() or factor < 1 or not ending.has_end_mark(picture.data, picture.format):
        return None
    shrink = next((step for step in _SHRINKS if factor >= step * left), 1)
    return shrink if header.width * header.height / shrink**2 <= _MAX_DECODED_PIXELS else None


def _factor(part: Part, size: Size) -> float:
    """How many times smaller it becomes, on the side where it is fewer."""
    return min(part.width / size.width_px, part.height / size.height_px)


def _upright(stored: Decoded, orientation: int) -> pyvips.Image:
    image = pyvips.Image.new_from_memory(stored.pixels, stored.width, stored.height, stored.bands, "uchar")
    image = image.copy(interpretation=_SPACES[stored.bands])
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image.autorot() if orientation != UPRIGHT else image
