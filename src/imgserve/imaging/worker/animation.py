"""Animated pictures: each frame is scaled alone, all are cropped at the same place. For pipeline and steps/resize.

libvips holds an animation as one tall image, a "roll" of frames; scaled as a whole, each frame would bleed into its
neighbours. In: the picture or a roll, and the size. Out: a roll; delays and loop count travel as its metadata.
Frames arrive composed, as a viewer shows them after disposal and blending.
"""

import itertools
from collections.abc import Iterator

import pyvips

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker import cover, load, scale
from imgserve.imaging.worker.canvas import Canvas, frames_of, roll
from imgserve.imaging.worker.cover import Corner
from imgserve.imaging.worker.formats import apng, gif
from imgserve.request.geometry import Shape
from imgserve.request.imageinfo import Size


def covering(picture: load.Picture, before: Shape, size: Size, crop: str) -> pyvips.Image:
    """All frames, upright, sRGB, each exactly ``size``; ``crop`` as for load.covering. Raises SourceUnreadable."""
    whole = scale.covering(before.width_px, before.height_px, size)
    first = load.covering(picture, whole, "centre").copy_memory() if crop in cover.CHOSEN_BY_CONTENT else None
    corner = _corner(first, whole, size, crop)
    return roll([_fitted(frame, whole, corner, size) for frame in _composed(picture)])


def covering_again(canvas: Canvas, size: Size, crop: str) -> Canvas:
    """Each frame of a roll exactly ``size``."""
    whole = scale.covering(canvas.size.width_px, canvas.size.height_px, size)
    frames = frames_of(canvas.image)
    first = scale.resized(next(frames), whole).copy_memory() if crop in cover.CHOSEN_BY_CONTENT else None
    corner = _corner(first, whole, size, crop)
    return canvas.of_each_frame(lambda frame: _fitted(frame, whole, corner, size))


def as_it_is(picture: load.Picture) -> pyvips.Image:
    """All frames, upright, sRGB, as large as they are. Raises SourceUnreadable."""
    return roll([_upright(frame).copy_memory() for frame in _composed(picture)])


def _composed(picture: load.Picture) -> Iterator[pyvips.Image]:
    if picture.format == "png":
        yield from _of_png(picture)
        return
    frames = load.without_profile(picture, load.frames(picture))
    masks = itertools.chain(picture.masks(), itertools.repeat(None))
    for frame, mask in zip(frames_of(frames), masks, strict=False):
        yield gif.masked(frame, mask)


def _of_png(picture: load.Picture) -> Iterator[pyvips.Image]:
    load.check_end(picture)
    film, first = apng.film(picture.data), picture.first_frame
    count = load.info(picture).frames
    delays = film.delays_ms[first:][:count]
    for frame in _whole_or_last(apng.composed(picture.data, first, count), count, is_strict=picture.is_strict):
        image = load.in_colours_of(picture, frame)
        image.set_type(pyvips.GValue.array_int_type, "delay", delays)
        image.set_type(pyvips.GValue.gint_type, "loop", film.loop)
        yield load.without_profile(picture, image)


def _whole_or_last(frames: Iterator[pyvips.Image], count: int, *, is_strict: bool) -> Iterator[pyvips.Image]:
    """So many frames. If it is not strict, the last whole one stands for those that are broken or missing."""
    last: pyvips.Image | None = None
    for _ in range(count):
        try:
            last = next(frames, last)
        except SourceUnreadable:
            if is_strict or last is None:
                raise
        yield last


def _fitted(frame: pyvips.Image, whole: Size, corner: Corner, size: Size) -> pyvips.Image:
    """In memory, so that the frame's own memory is free again before the next one."""
    return scale.resized(_upright(frame), whole).crop(*corner, size.width_px, size.height_px).copy_memory()


def _upright(frame: pyvips.Image) -> pyvips.Image:
    return frame.autorot() if load.orientation(frame) > 1 else frame


def _corner(first: pyvips.Image | None, whole: Size, size: Size, crop: str) -> Corner:
    """One place for all frames, since a crop that follows each would shake.

    If the content decides, the ``first`` frame, scaled and in memory, stands for the others.
    """
    if first is None:
        return cover.corner(whole, size, crop)
    cropped = first.smartcrop(min(size.width_px, first.width), min(size.height_px, first.height), interesting=crop)
    last = cover.corner(whole, size, "high")
    return Corner(min(-cropped.xoffset, last.left), min(-cropped.yoffset, last.top))
