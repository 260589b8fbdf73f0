"""Animated pictures: each frame scaled alone, all cut at the same place. Called by steps/resize.

libvips holds an animation as one tall image, a "roll" of frames; scaled as a whole, each frame would bleed into its
neighbours. In: the picture, its facts and the size. Out: a roll again; delays and loop count travel as its metadata.
Frames arrive composed: what disposal and blending make of each, a viewer would show just so.
"""

from typing import NamedTuple

import pyvips

from imgserve.imaging.worker import colour, load
from imgserve.spec.facts import Facts, Size

_PAGE_HEIGHT = "page-height"
_OPAQUE = 255
_CHOSEN_BY_CONTENT = {"attention", "entropy"}


class Corner(NamedTuple):
    """Where the cut begins in a scaled frame, pixels from its upper left."""

    left: int
    top: int


def covering(picture: load.Picture, facts: Facts, size: Size, crop: str) -> pyvips.Image:
    """All frames, upright, sRGB, each exactly ``size``; ``crop`` as for load.covering. Raises SourceUnreadable."""
    scale = max(size.width_px / facts.width_px, size.height_px / facts.height_px)
    whole = Size(
        max(size.width_px, round(facts.width_px * scale)),
        max(size.height_px, round(facts.height_px * scale)),
    )
    corner = _corner(picture, whole, size, crop)
    roll = load.frames(picture)
    height = roll.get(_PAGE_HEIGHT)
    coloured = colour.from_profile(roll) if load.has_profile(picture) else roll
    frames = [
        _fitted(coloured.crop(0, top, coloured.width, height), whole, corner, size)
        for top in range(0, coloured.height - height + 1, height)
    ]
    joined = pyvips.Image.arrayjoin(frames, across=1).copy()
    joined.set(_PAGE_HEIGHT, size.height_px)
    return joined


def _fitted(frame: pyvips.Image, whole: Size, corner: Corner, size: Size) -> pyvips.Image:
    """Done at once: what a frame took is free again before the next one, and the decoder may forget it."""
    frame = frame.copy_memory()
    if load.is_turned(frame):
        frame = frame.autorot()
    if not frame.hasalpha():
        return _scaled(frame, whole, corner, size).copy_memory()
    if (
        frame[-1].min() == _OPAQUE
    ):  # most films have an alpha that they do not need; doing without is four times as fast
        return _scaled(frame.extract_band(0, n=frame.bands - 1), whole, corner, size).bandjoin(_OPAQUE).copy_memory()
    return _scaled(frame.premultiply(), whole, corner, size).unpremultiply().cast("uchar").copy_memory()


def _scaled(frame: pyvips.Image, whole: Size, corner: Corner, size: Size) -> pyvips.Image:
    scaled = frame.resize(whole.width_px / frame.width, vscale=whole.height_px / frame.height)
    return scaled.crop(corner.left, corner.top, size.width_px, size.height_px)


def _corner(picture: load.Picture, whole: Size, size: Size, crop: str) -> Corner:
    """One place for all frames, since a crop that follows each would shake. The first frame stands for the others."""
    spare = Corner(whole.width_px - size.width_px, whole.height_px - size.height_px)
    if crop in _CHOSEN_BY_CONTENT:
        first = load.covering(picture, whole, "centre").copy_memory()
        found = first.smartcrop(min(size.width_px, first.width), min(size.height_px, first.height), interesting=crop)
        return Corner(min(-found.xoffset, spare.left), min(-found.yoffset, spare.top))
    share = {"low": 0.0, "high": 1.0}.get(crop, 0.5)
    return Corner(int(spare.left * share), int(spare.top * share))
