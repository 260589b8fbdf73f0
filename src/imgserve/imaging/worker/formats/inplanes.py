"""A JPEG or a lossy WebP, or a part of it, that becomes a smaller one of either kind, in its planes: what is stored is
decoded, resampled once and encoded, without a turn through RGB. Called by ``steps/resize.py``.

An unusual picture is left to libvips, and so is one that cannot be decoded here: libvips then raises the fault.
"""

from typing import NamedTuple

from imgserve.imaging.worker import cover
from imgserve.imaging.worker.cover import Part
from imgserve.imaging.worker.formats import jpeg, jpegheader, libwebp, planes, resizer, turbojpeg, webpheader
from imgserve.imaging.worker.formats.jpegheader import UPRIGHT
from imgserve.imaging.worker.formats.turbojpeg import Planes
from imgserve.imaging.worker.picture import Picture
from imgserve.request.imageinfo import Size

Header = jpegheader.Header | webpheader.Header
Settings = turbojpeg.Settings | libwebp.Settings

_LEAST_PX = 16  # where a chroma sample beyond the edge would be seen
_LEFT_IN_LIGHT = 1.5  # in linear light no more is needed for the same quality; and below it light shows little
# In a smaller JPEG light shows little too, since the decoder has made most of the way by stored values.
_LEAST_PIXELS_IN_LIGHT = 65_536
_MOST_WEBP_PIXELS = 16_000_000  # 3.5 bytes each; libvips needs less for a larger one


class _Decoded(NamedTuple):
    """``shrink``: the sides of the picture to one of the planes'."""

    planes: Planes
    shrink: int
    is_in_light: bool


def again(picture: Picture, part: Part, size: Size, settings: Settings, *, is_in_light: bool = True) -> bytes | None:
    """The part as a file of exactly ``size``, upright; None if libvips has to make it. ``is_in_light``: by the light
    of its luma instead of its stored values.
    """
    header: Header | None = picture.plain_jpeg or picture.plain_webp
    if header is None or min(size.width_px, size.height_px) < _LEAST_PX:
        return None
    chroma_side = _chroma_side(settings)
    if header.orientation != UPRIGHT and (size.width_px % chroma_side or size.height_px % chroma_side):
        return None  # what the last sample of chroma covers beyond the picture would be turned too
    place = cover.as_stored(part, size, Size(header.width, header.height), header.orientation)
    if place is None:
        return None
    decoded = _decoded(picture, header, *place, is_in_light=is_in_light)
    if decoded is None:
        return None
    part, stored = place
    part = Part(*(side / decoded.shrink for side in part))
    smaller = planes.smaller(decoded.planes, part, stored, chroma_side, is_in_light=decoded.is_in_light)
    upright = planes.upright(smaller, stored, chroma_side, header.orientation)
    return _encoded(upright, isinstance(header, jpegheader.Header), size, settings)


def _decoded(picture: Picture, header: Header, part: Part, size: Size, *, is_in_light: bool) -> _Decoded | None:
    """``part`` and ``size`` as stored. None for a picture that grows, would take much memory, or is invalid."""
    factor = cover.factor(part, size)
    if not resizer.is_there() or factor < 1:
        return None
    is_in_light = is_in_light and factor >= _LEFT_IN_LIGHT
    if isinstance(header, jpegheader.Header):
        return _of_jpeg(picture, header, part, size, is_in_light=is_in_light and _is_large(size))
    if header.width * header.height > _MOST_WEBP_PIXELS:
        return None
    found = picture.cache.decoded("planes", Planes, lambda: libwebp.decode_planes(picture.data, header.stored))
    return _Decoded(found, 1, is_in_light) if found is not None else None


def _of_jpeg(
    picture: Picture, header: jpegheader.Header, part: Part, size: Size, *, is_in_light: bool
) -> _Decoded | None:
    left = _LEFT_IN_LIGHT if is_in_light else jpeg.LEFT_TO_RESAMPLE
    shrink = jpeg.shrink_of(picture, header, part, size, left)
    if shrink is None:
        return None
    found = picture.cache.decoded(
        ("planes", shrink), Planes, lambda: turbojpeg.decode_planes(picture.data, header.stored, shrink)
    )
    return _Decoded(found, shrink, is_in_light) if found is not None else None


def _is_large(size: Size) -> bool:
    return size.width_px * size.height_px >= _LEAST_PIXELS_IN_LIGHT


def _chroma_side(settings: Settings) -> int:
    return turbojpeg.chroma_side(settings) if isinstance(settings, turbojpeg.Settings) else libwebp.CHROMA_SIDE


def _encoded(upright: list[bytes], is_full_range: bool, size: Size, settings: Settings) -> bytes | None:
    if isinstance(settings, turbojpeg.Settings):
        upright = upright if is_full_range else planes.in_full_range(upright)
        return turbojpeg.encode_planes(upright, size.width_px, size.height_px, settings)
    upright = planes.in_video_range(upright) if is_full_range else upright
    return libwebp.encode_planes(upright, size.width_px, size.height_px, settings)
