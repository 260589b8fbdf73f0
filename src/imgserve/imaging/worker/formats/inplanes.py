"""The fast path for the commonest job: a JPEG or a lossy WebP, or a part of it, that becomes smaller in its planes.

The stored planes are decoded, resampled once, and encoded as a file of either format, without a turn through RGB. For
all else they become an image of libvips. Called by ``steps/resize.py``.

An unusual picture is left to libvips, and so is one that cannot be decoded here: libvips then raises the fault.
"""

from functools import partial
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker import cover
from imgserve.imaging.worker.cover import Part
from imgserve.imaging.worker.formats import jpeg, jpegheader, libwebp, planes, resizer, turbojpeg, webpheader
from imgserve.imaging.worker.formats.turbojpeg import Planes
from imgserve.imaging.worker.formats.turns import UPRIGHT
from imgserve.imaging.worker.picture import Picture
from imgserve.imaging.worker.rules import RULES, Rule
from imgserve.imaging.worker.source import Data
from imgserve.request.imageinfo import Size

Header = jpegheader.Header | webpheader.Header
Settings = turbojpeg.Settings | libwebp.Settings

_LEAST_PX = 16  # where a chroma sample beyond the edge would be seen
_MOST_WEBP_PIXELS = 16_000_000  # 3.5 bytes each; libvips needs less for a larger one


class _Place(NamedTuple):
    """What becomes what: ``part`` and ``size`` are those of the picture as it is stored."""

    header: Header
    part: Part
    size: Size


class _Target(NamedTuple):
    """The planes of a result. ``chroma_side``: how many luma samples across and down there are to one of chroma."""

    chroma_side: int
    range: planes.Range


_RGB = _Target(1, "full")


def again(picture: Picture, part: Part, size: Size, settings: Settings, *, is_in_light: bool = True) -> bytes | None:
    """The part as a file of exactly ``size``, upright; None if libvips has to make it. ``is_in_light``: by the light
    of its luma instead of its stored values.
    """
    target, place = _target(settings), _place(picture, part, size)
    if place is None:
        return None
    orientation, side = place.header.orientation, target.chroma_side
    if orientation != UPRIGHT and (size.width_px % side or size.height_px % side):
        return None  # what the last sample of chroma covers beyond the picture would be turned too
    is_in_light = is_in_light and _shows_light(place, RULES[picture.render_profile])
    smaller = _smaller(picture, place, target, is_in_light=is_in_light)
    if smaller is None:
        return None
    return _encoded(planes.upright(smaller, place.size, side, orientation), size, settings)


def scaled(picture: Picture, part: Part, size: Size) -> pyvips.Image | None:
    """The part by its light, upright, exactly ``size``, in memory; None where light shows little, or if libvips has to
    make it.
    """
    place = _place(picture, part, size)
    if place is None or not _shows_light(place, RULES[picture.render_profile]):
        return None
    smaller = _smaller(picture, place, _RGB, is_in_light=True)
    if smaller is None:
        return None
    pixels = turbojpeg.rgb(smaller, place.size.width_px, place.size.height_px)
    return jpeg.upright(pixels, place.header.orientation) if pixels is not None else None


def _place(picture: Picture, part: Part, size: Size) -> _Place | None:
    """None for a picture that is not plain, or that grows, and for a result that is too small."""
    header: Header | None = picture.plain_jpeg or picture.plain_webp
    if header is None or not resizer.is_there() or min(size.width_px, size.height_px) < _LEAST_PX:
        return None
    place = cover.as_stored(part, size, Size(header.width, header.height), header.orientation)
    return _Place(header, *place) if cover.factor(*place) >= 1 else None


def _shows_light(place: _Place, rule: Rule) -> bool:
    is_enough = place.size.width_px * place.size.height_px >= rule.least_pixels or not _is_jpeg(place.header)
    return is_enough and cover.factor(place.part, place.size) >= rule.least_way


def _smaller(picture: Picture, place: _Place, target: _Target, *, is_in_light: bool) -> list[bytes] | None:
    """As stored. None for a picture that would take much memory, or is invalid."""
    shrink = _shrink(picture, place, is_in_light=is_in_light)
    if shrink is None:
        return None
    decode = partial(_decoded, picture.data, place.header, shrink)
    decoded = picture.cache.decoded(("planes", shrink), Planes, decode)
    if decoded is None:
        return None
    part = Part(*(side / shrink for side in place.part))
    ranges = planes.Ranges("full" if _is_jpeg(place.header) else "video", target.range)
    is_exact = picture.render_profile == "quality"
    chroma_side = target.chroma_side
    return planes.smaller(decoded, part, place.size, chroma_side, ranges, is_in_light=is_in_light, is_exact=is_exact)


def _shrink(picture: Picture, place: _Place, *, is_in_light: bool) -> int | None:
    """The scale of the decoder, which a WebP's does not have. None for a picture that would take much memory."""
    header = place.header
    if isinstance(header, webpheader.Header):
        return 1 if header.width * header.height <= _MOST_WEBP_PIXELS else None
    rule = RULES[picture.render_profile]
    left = rule.left_in_light if is_in_light else rule.left
    return jpeg.shrink_of(picture, header, place.part, place.size, left)


def _decoded(data: Data, header: Header, shrink: int) -> Planes | None:
    if isinstance(header, webpheader.Header):
        return libwebp.decode_planes(data, header.stored)
    return turbojpeg.decode_planes(data, header.stored, shrink)


def _is_jpeg(header: Header) -> bool:
    return isinstance(header, jpegheader.Header)


def _target(settings: Settings) -> _Target:
    if isinstance(settings, turbojpeg.Settings):
        return _Target(turbojpeg.chroma_side(settings), "full")
    return _Target(libwebp.CHROMA_SIDE, "video")


def _encoded(samples: list[bytes], size: Size, settings: Settings) -> bytes | None:
    if isinstance(settings, turbojpeg.Settings):
        return turbojpeg.encode_planes(samples, size.width_px, size.height_px, settings)
    return libwebp.encode_planes(samples, size.width_px, size.height_px, settings)
