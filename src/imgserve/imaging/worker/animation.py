"""Animated pictures: each frame is scaled alone, all are cropped at the same place. Called by steps/resize.

libvips holds an animation as one tall image, a "roll" of frames; scaled as a whole, each frame would bleed into its
neighbours. In: the picture or a roll, and the size. Out: a roll; delays and loop count travel as its metadata.
Frames arrive composed, as a viewer shows them after disposal and blending.
"""

import itertools
from collections.abc import Iterator

import pyvips

from imgserve.imaging.worker import cover, load, scale
from imgserve.imaging.worker.cover import Corner
from imgserve.imaging.worker.formats import gif
from imgserve.request.geometry import Shape
from imgserve.request.imageinfo import Size

_PAGE_HEIGHT = "page-height"
_OPAQUE = 255


def covering(picture: load.Picture, before: Shape, size: Size, crop: str) -> pyvips.Image:
    """All frames, upright, sRGB, each exactly ``size``; ``crop`` as for load.covering. Raises SourceUnreadable."""
    whole = scale.covering(before.width_px, before.height_px, size)
    first = load.covering(picture, whole, "centre").copy_memory() if crop in cover.CHOSEN_BY_CONTENT else None
    corner = _corner(first, whole, size, crop)
    roll = load.without_profile(picture, load.frames(picture))
    masks = itertools.chain(picture.masks(), itertools.repeat(None))
    frames = [
        _fitted(gif.masked(frame, mask), whole, corner, size) for frame, mask in zip(_frames(roll), masks, strict=False)
    ]
    bands = max(frame.bands for frame in frames)  # a frame has an alpha only if it does not cover the whole canvas
    return _roll([frame if frame.bands == bands else frame.bandjoin(_OPAQUE) for frame in frames], size)


def covering_again(roll: pyvips.Image, size: Size, crop: str) -> pyvips.Image:
    """Each frame of a roll exactly ``size``."""
    whole = scale.covering(roll.width, roll.get(_PAGE_HEIGHT), size)
    first = scale.resized(next(_frames(roll)), whole).copy_memory() if crop in cover.CHOSEN_BY_CONTENT else None
    corner = _corner(first, whole, size, crop)
    return _roll([_fitted(frame, whole, corner, size) for frame in _frames(roll)], size)


def _frames(roll: pyvips.Image) -> Iterator[pyvips.Image]:
    """One after the other, in memory, so that the decoder need not keep them."""
    height = roll.get(_PAGE_HEIGHT)
    for top in range(0, roll.height - height + 1, height):
        yield roll.crop(0, top, roll.width, height).copy_memory()


def _roll(frames: list[pyvips.Image], size: Size) -> pyvips.Image:
    roll = pyvips.Image.arrayjoin(frames, across=1).copy()
    roll.set(_PAGE_HEIGHT, size.height_px)
    return roll


def _fitted(frame: pyvips.Image, whole: Size, corner: Corner, size: Size) -> pyvips.Image:
    """In memory, so that the frame's own memory is free again before the next one."""
    if load.orientation(frame) > 1:
        frame = frame.autorot()
    return scale.resized(frame, whole).crop(*corner, size.width_px, size.height_px).copy_memory()


def _corner(first: pyvips.Image | None, whole: Size, size: Size, crop: str) -> Corner:
    """One place for all frames, since a crop that follows each would shake.

    If the content decides, the ``first`` frame, scaled and in memory, stands for the others.
    """
    if first is None:
        return cover.corner(whole, size, crop)
    cropped = first.smartcrop(min(size.width_px, first.width), min(size.height_px, first.height), interesting=crop)
    last = cover.corner(whole, size, "high")
    return Corner(min(-cropped.xoffset, last.left), min(-cropped.yoffset, last.top))
