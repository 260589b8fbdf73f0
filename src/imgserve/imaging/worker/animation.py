"""Animated pictures, opened frame by frame. For pipeline and steps/resize.

libvips holds an animation as one tall image, a "roll" of frames; scaled as a whole, each frame would bleed into its
neighbours. Out: frames or a roll; delays and loop count travel as metadata of the first frame. Frames arrive composed,
as a viewer shows them after disposal and blending.
"""

import itertools
from collections.abc import Iterator

import pyvips

from imgserve.imaging.faults import SourceUnreadable
from imgserve.imaging.worker import cover, load
from imgserve.imaging.worker.canvas import frames_of, roll
from imgserve.imaging.worker.formats import apng, gif
from imgserve.imaging.worker.picture import Picture, check_end, orientation


def frames(picture: Picture) -> Iterator[pyvips.Image]:
    """All frames, upright, sRGB, as large as they are, one after the other. Raises SourceUnreadable."""
    turn = orientation(picture.header)
    return (cover.upright(frame, turn) for frame in _composed(picture))


def as_it_is(picture: Picture) -> pyvips.Image:
    """As ``frames``, as a roll."""
    return roll([frame.copy_memory() for frame in frames(picture)])


def _composed(picture: Picture) -> Iterator[pyvips.Image]:
    if picture.format == "png":
        yield from _of_png(picture)
        return
    stored = load.without_profile(picture, load.frames(picture))
    masks = itertools.chain(picture.masks(), itertools.repeat(None))
    for frame, mask in zip(frames_of(stored), masks, strict=False):
        yield gif.masked(frame, mask)


def _of_png(picture: Picture) -> Iterator[pyvips.Image]:
    check_end(picture)
    film, first = apng.film(picture.data), picture.first_frame
    count = load.info(picture).frames
    delays = film.delays_ms[first:][:count]
    for frame in _whole_or_last(apng.composed(picture.data, first, count), count, is_strict=picture.is_strict):
        image = load.described_by(picture, frame)
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
