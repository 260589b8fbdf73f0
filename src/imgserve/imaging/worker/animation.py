"""Animated pictures: each frame scaled alone, all cut at the same place. Called by steps/resize.

libvips holds an animation as one tall image, a "roll" of frames; scaled as a whole, each frame would bleed into its
neighbours. In: the picture, its facts and the size. Out: a roll again; delays and loop count travel as its metadata.
Frames arrive composed, as a viewer shows them after disposal and blending.
"""

import itertools
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker import load, scale, transparent
from imgserve.imaging.worker.colour import convert
from imgserve.imaging.worker.formats import gif
from imgserve.request.imageinfo import Facts, Size

_PAGE_HEIGHT = "page-height"
_OPAQUE = 255
_CHOSEN_BY_CONTENT = {"attention", "entropy"}


class Corner(NamedTuple):
    """Where the cut begins in a scaled frame, pixels from its upper left."""

    left: int
    top: int


def covering(picture: load.Picture, facts: Facts, size: Size, crop: str) -> pyvips.Image:
    """All frames, upright, sRGB, each exactly ``size``; ``crop`` as for load.covering. Raises SourceUnreadable."""
    factor = max(size.width_px / facts.width_px, size.height_px / facts.height_px)
    whole = Size(
        max(size.width_px, round(facts.width_px * factor)),
        max(size.height_px, round(facts.height_px * factor)),
    )
    corner = _corner(picture, whole, size, crop)
    roll = load.frames(picture)
    height = roll.get(_PAGE_HEIGHT)
    coloured = convert.from_profile(roll) if load.has_profile(picture) else roll
    tops = range(0, coloured.height - height + 1, height)
    frames = [
        _fitted(coloured.crop(0, top, coloured.width, height), mask, whole, corner, size)
        for top, mask in zip(tops, itertools.chain(picture.masks(), itertools.repeat(None)), strict=False)
    ]
    bands = max(frame.bands for frame in frames)  # one more where some part of the canvas is covered by no frame
    frames = [frame if frame.bands == bands else frame.bandjoin(_OPAQUE) for frame in frames]
    joined = pyvips.Image.arrayjoin(frames, across=1).copy()
    joined.set(_PAGE_HEIGHT, size.height_px)
    return joined


def _fitted(frame: pyvips.Image, mask: pyvips.Image | None, whole: Size, corner: Corner, size: Size) -> pyvips.Image:
    """Computed at once: a frame's memory is free again before the next one, and the decoder need not keep it."""
    frame = gif.masked(frame.copy_memory(), mask)
    if load.is_turned(frame):
        frame = frame.autorot()
    scaled = transparent.resized(frame, whole) if frame.hasalpha() else scale.resized(frame, whole)
    return scaled.crop(corner.left, corner.top, size.width_px, size.height_px).copy_memory()


def _corner(picture: load.Picture, whole: Size, size: Size, crop: str) -> Corner:
    """One place for all frames, since a crop that follows each would shake. The first frame stands for the others."""
    spare = Corner(whole.width_px - size.width_px, whole.height_px - size.height_px)
    if crop in _CHOSEN_BY_CONTENT:
        first = load.covering(picture, whole, "centre").copy_memory()
        found = first.smartcrop(min(size.width_px, first.width), min(size.height_px, first.height), interesting=crop)
        return Corner(min(-found.xoffset, spare.left), min(-found.yoffset, spare.top))
    share = {"low": 0.0, "high": 1.0}.get(crop, 0.5)
    return Corner(int(spare.left * share), int(spare.top * share))
