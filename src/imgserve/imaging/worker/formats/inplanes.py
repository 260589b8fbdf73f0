"""The fast path for the commonest job: a JPEG or a lossy WebP, or a part of it, that becomes smaller in its planes.

What is stored is decoded, resampled once, and encoded as a file of either format, without a turn through RGB; or it
becomes an image of libvips, for all else. Called by ``steps/resize.py``.

An unusual picture is left to libvips, and so is one that cannot be decoded here: libvips then raises the fault.
"""

from functools import partial
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker import cover
from imgserve.imaging.worker.cover import Part
from imgserve.imaging.worker.formats import jpeg, jpegheader, libwebp, planes, resizer, turbojpeg, webpheader
from imgserve.imaging.worker.formats.jpegheader import UPRIGHT
from imgserve.imaging.worker.formats.turbojpeg import Planes
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


def again(picture: Picture, part: Part, size: Size, settings: Settings, *, is_in_light: bool = True) -> bytes | None:
    """The part as a file of exactly ``size``, upright; None if libvips has to make it. ``is_in_light``: by the light
    of its luma instead of its stored values.
    """
    chroma_side = _chroma_side(settings)
    place = _place(picture, part, size)
    if place is None:
        return None
    header = place.header
    if header.orientation != UPRIGHT and (size.width_px % chroma_side or size.height_px % chroma_side):
        return None  # what the last sample of chroma covers beyond the picture would be turned too
    smaller = _smaller(
        picture, place, chroma_side, is_in_light=is_in_light and _shows_light(place, RULES[picture.render_profile])
    )
    if smaller is None:
        return None
    upright = planes.upright(smaller, place.size, chroma_side, header.orientation)
    return _encoded(upright, header, size, settings)


def scaled(picture: Picture, part: Part, size: Size) -> pyvips.Image | None:
    """The part by its light, upright, exactly ``size``, in memory; None where light shows little, or if libvips has to
    make it.
    """
    place = _place(picture, part, size)
    if place is None or not _shows_light(place, RULES[picture.render_profile]):
        return None
    smaller = _smaller(picture, place, 1, is_in_light=True)
    if smaller is None:
        return None
    in_full_range = smaller if _is_jpeg(place.header) else planes.in_full_range(smaller)
    pixels = turbojpeg.rgb(in_full_range, place.size.width_px, place.size.height_px)
    return jpeg.upright(pixels, place.header.orientation) if pixels is not None else None


def _place(picture: Picture, part: Part, size: Size) -> _Place | None:
    """None for a picture that is not plain, or that grows, and for a result that is too small."""
    header: Header | None = picture.plain_jpeg or picture.plain_webp
    if header is None or not resizer.is_there() or min(size.width_px, size.height_px) < _LEAST_PX:
        return None
    place = cover.as_stored(part, size, Size(header.width, header.height), header.orientation)
    return _Place(header, *place) if place is not None and cover.factor(*place) >= 1 else None


def _shows_light(place: _Place, rule: Rule) -> bool:
    is_enough = place.size.width_px * place.size.height_px >= rule.least_pixels or not _is_jpeg(place.header)
    return is_enough and cover.factor(place.part, place.size) >= rule.least_way


def _smaller(picture: Picture, place: _Place, chroma_side: int, *, is_in_light: bool) -> list[bytes] | None:
    """As stored. None for a picture that would take much memory, or is invalid."""
    shrink = _shrink(picture, place, is_in_light=is_in_light)
    if shrink is None:
        return None
    decode = partial(_decoded, picture.data, place.header, shrink)
    decoded = picture.cache.decoded(("planes", shrink), Planes, decode)
    if decoded is None:
        return None
    part = Part(*(side / shrink for side in place.part))
    return planes.smaller(decoded, part, place.size, chroma_side, is_in_light=is_in_light)


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


def _chroma_side(settings: Settings) -> int:
    return turbojpeg.chroma_side(settings) if isinstance(settings, turbojpeg.Settings) else libwebp.CHROMA_SIDE


def _encoded(upright: list[bytes], header: Header, size: Size, settings: Settings) -> bytes | None:
    if isinstance(settings, turbojpeg.Settings):
        upright = upright if _is_jpeg(header) else planes.in_full_range(upright)
        return turbojpeg.encode_planes(upright, size.width_px, size.height_px, settings)
    upright = planes.in_video_range(upright) if _is_jpeg(header) else upright
    return libwebp.encode_planes(upright, size.width_px, size.height_px, settings)
