"""resize: scale the picture and cut it, or put it into the box. Of an enlarged one only what the cut keeps is made.

As the first operation it opens the picture (fused with the load, so that JPEG, WebP and SVG are decoded at a smaller
scale); after others it takes a canvas. Called by ``pipeline.py``.
"""

from collections.abc import Iterable

import msgspec
import pyvips

from imgserve.imaging.worker import animation, cover, load, scale
from imgserve.imaging.worker.canvas import Canvas, frames_of, roll
from imgserve.imaging.worker.colour import convert, inks
from imgserve.imaging.worker.cover import Corner, Part
from imgserve.imaging.worker.formats import avif, inplanes, jpeg
from imgserve.imaging.worker.picture import Picture
from imgserve.imaging.worker.steps import space
from imgserve.imaging.worker.svg import draw
from imgserve.request import geometry
from imgserve.request.encode import RenderProfile
from imgserve.request.geometry import Shape
from imgserve.request.imageinfo import Size
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Operation

# An enlarged picture is looked at for its content in so many pixels: it shows no more than before.
_MOST_SHOWN_PIXELS = 4_000_000


def opened(picture: Picture, operation: Resize, before: Shape, size: Size, frames: int) -> Canvas:
    """Exactly ``size``. Raises SourceUnreadable, SvgInvalid."""
    whole = operation.whole(before, size)
    if picture.format == "svg":
        image = draw.draw(bytes(picture.data), whole, is_stretched=True, dpi=picture.options.dpi)
    elif frames > 1:
        operation = _in_profile(operation, picture.render_profile)
        image = _of_frames(animation.frames(picture), operation, whole, size)
    else:
        image = _quickly(picture, operation, before.size, whole, size)
        operation = _in_profile(operation, picture.render_profile)
        image = _of_still(picture, operation, before.size, whole, size) if image is None else image
    if (image.width, image.height) == (size.width_px, size.height_px):
        return Canvas(image, frames)
    return _placed(Canvas(convert.to_canvas(image, is_deep=picture.is_deep), frames), operation, size)


def applied(canvas: Canvas, operation: Resize, size: Size) -> Canvas:
    """Each frame exactly ``size``."""
    whole = operation.whole(canvas.shape, size)
    if canvas.frames > 1:
        canvas = canvas._replace(image=_of_frames(frames_of(canvas.image), operation, whole, size))
    else:
        canvas = canvas._replace(image=_scaled_and_cut(canvas.image, operation, whole, size))
    canvas = _placed(canvas, operation, size)
    return canvas._replace(image=canvas.image.copy_memory())  # steps behind it may read it twice


def in_profile(operation: Operation, profile: RenderProfile) -> Operation:
    """A step behind the first one, as this profile carries it out."""
    return _in_profile(operation, profile) if isinstance(operation, Resize) else operation


def _in_profile(operation: Resize, profile: RenderProfile) -> Resize:
    if profile != "quality" or operation.linear_light != "auto":
        return operation
    return msgspec.structs.replace(operation, linear_light=True)


def in_planes(
    picture: Picture, operation: Resize, before: Shape, size: Size, settings: inplanes.Settings
) -> bytes | None:
    """The result's file, if a plain JPEG or WebP becomes a JPEG or WebP; None for everything else."""
    part = _part(operation, before.size, operation.whole(before, size), size) if _is_plain(operation) else None
    is_in_light = operation.linear_light == "auto"
    return inplanes.again(picture, part, size, settings, is_in_light=is_in_light) if part is not None else None


def _quickly(picture: Picture, operation: Resize, before: Size, whole: Size, size: Size) -> pyvips.Image | None:
    """Of ``size``, or ``whole`` if that is put into it. None for all but plain JPEGs, WebPs and AVIFs that become
    smaller.
    """
    if not (picture.plain_jpeg or picture.plain_webp or picture.plain_avif) or not _is_plain(operation):
        return None
    is_by_light = operation.linear_light == "auto"
    if is_by_light and picture.render_profile == "quality":
        return None  # the light of all three colours is better than that of luma
    size = whole if _is_within(whole, size) else size
    part = _part(operation, before, whole, size)
    if part is None:
        return None
    if picture.plain_avif is not None:
        return avif.scaled(picture, part, size, is_in_light=is_by_light)
    by_light = inplanes.scaled(picture, part, size) if is_by_light else None
    return jpeg.scaled(picture, part, size) if by_light is None else by_light


def _of_still(picture: Picture, operation: Resize, before: Size, whole: Size, size: Size) -> pyvips.Image:
    """Of ``whole``, or cut to ``size`` already."""
    is_smaller = _is_within(whole, before) and whole != before
    if _is_plain(operation) and is_smaller:
        return load.scaled(picture, whole)
    return _scaled_and_cut(load.whole(picture), operation, whole, size)


def _is_plain(operation: Resize) -> bool:
    """Whether decoders can do a part of the work."""
    return operation.kernel == "lanczos3" and operation.linear_light is not True


def _scaled(image: pyvips.Image, operation: Resize, whole: Size, part: geometry.Part | None = None) -> pyvips.Image:
    return scale.resized(image, whole, operation.kernel, is_linear=operation.linear_light is True, part=part)


def _scaled_and_cut(
    image: pyvips.Image, operation: Resize, whole: Size, size: Size, place: Corner | None = None
) -> pyvips.Image:
    """Scaled to ``whole``, of which only what is within ``size`` is computed. ``place``: that of the cut, if known."""
    if _is_within(whole, size):
        return _scaled(image, operation, whole)
    place = place or _corner(image, operation, whole, size)
    return _scaled(image, operation, whole, geometry.Part(*place, size))


def _of_frames(frames: Iterable[pyvips.Image], operation: Resize, whole: Size, size: Size) -> pyvips.Image:
    """A roll of frames, scaled and cut one by one: a frame's own memory is free again before the next one.

    All are cut at one place, since a crop that follows each would shake.
    """
    results: list[pyvips.Image] = []
    place: Corner | None = None
    for frame in frames:
        if place is None and not _is_within(whole, size):
            place = _corner(frame, operation, whole, size)
        results.append(_scaled_and_cut(frame, operation, whole, size, place).copy_memory())
    return roll(results)


def _placed(canvas: Canvas, operation: Resize, size: Size) -> Canvas:
    """Each frame cut to ``size``, or put into it."""
    whole = canvas.size
    if whole == size:
        return canvas
    if _is_within(whole, size):
        left, top = geometry.corner(operation.place, whole, size)
        return space.placed(canvas, left, top, size, inks.rgba(operation.background))
    place = _corner(canvas.image, operation, whole, size)
    return canvas.of_each_frame(lambda frame: frame.crop(*place, size.width_px, size.height_px))


def _corner(first: pyvips.Image, operation: Resize, whole: Size, size: Size) -> Corner:
    """The place of the cut in ``whole``. ``first`` is the picture in its own size, of an animation the first frame."""
    if operation.place not in cover.CHOSEN_BY_CONTENT:
        return Corner(*geometry.corner(operation.place, size, whole))
    shown = _shown(Size(first.width, first.height), whole)
    across, down = whole.width_px / shown.width_px, whole.height_px / shown.height_px
    cut = Size(max(1, round(size.width_px / across)), max(1, round(size.height_px / down)))
    left, top = cover.interesting(_scaled(first, operation, shown).copy_memory(), cut, str(operation.place))
    rest = whole.width_px - size.width_px, whole.height_px - size.height_px
    return Corner(min(round(left * across), rest[0]), min(round(top * down), rest[1]))


def _shown(before: Size, whole: Size) -> Size:
    """The size in which the content is looked at: ``whole``, unless the picture grows beyond a bound."""
    pixels, before_pixels = whole.width_px * whole.height_px, before.width_px * before.height_px
    if pixels <= max(_MOST_SHOWN_PIXELS, before_pixels):
        return whole
    factor = (_MOST_SHOWN_PIXELS / pixels) ** 0.5
    return Size(max(1, round(whole.width_px * factor)), max(1, round(whole.height_px * factor)))


def _part(operation: Resize, before: Size, whole: Size, size: Size) -> Part | None:
    """The part of the source that becomes ``size``; None if the content decides, or if space is added."""
    if whole == size:
        return Part(0, 0, before.width_px, before.height_px)
    if _is_within(whole, size):
        return None
    return cover.part(before, whole, size, operation.place)


def _is_within(inner: Size, outer: Size) -> bool:
    return inner.width_px <= outer.width_px and inner.height_px <= outer.height_px
