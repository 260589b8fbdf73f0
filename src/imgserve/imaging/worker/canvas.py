"""The value that the steps of the pipeline take and return. For ``pipeline`` and ``steps``."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker import vips
from imgserve.request.geometry import Shape
from imgserve.request.imageinfo import Size

PAGE_HEIGHT = "page-height"
_MOST = {"uchar": 255, "ushort": 65_535}


class Canvas(NamedTuple):
    """A picture between two steps, upright. Of an animation all ``frames``, one below the other: a roll.

    Behind the load and the colours: ``height x width x 1-4 bands, uint8 or uint16``, sRGB or grey, straight alpha last.
    """

    image: pyvips.Image
    frames: int

    @property
    def size(self) -> Size:
        """Of one frame."""
        return Size(self.image.width, self.image.height if self.frames == 1 else self.image.get(PAGE_HEIGHT))

    @property
    def first(self) -> pyvips.Image:
        """The first frame, in memory. All statistics come from it."""
        if self.frames == 1:
            return self.image.copy_memory()
        return self.image.crop(0, 0, self.size.width_px, self.size.height_px).copy_memory()

    @property
    def shape(self) -> Shape:
        return Shape(self.size.width_px, self.size.height_px)

    @property
    def most(self) -> int:
        """The highest value of a sample."""
        return _MOST[self.image.format]

    def of_each_frame(self, change: Callable[[pyvips.Image], pyvips.Image]) -> "Canvas":
        """With ``change`` applied to each frame alone, which comes in memory. All results have the same size.

        ``change`` may return floats: they are rounded to the canvas's own samples.
        """
        if self.frames == 1:
            return self._replace(image=as_samples(change(self.image), self.image))
        changed = (as_samples(change(frame), frame) for frame in frames_of(self.image))
        return self._replace(image=roll([frame.copy_memory() for frame in changed]))

    def of_pixels(self, change: Callable[[pyvips.Image], pyvips.Image]) -> "Canvas":
        """With ``change`` applied to all frames at once, for changes that look at one pixel at a time."""
        image = as_samples(change(self.image), self.image)
        return self._replace(image=image)

    def of_colours(self, change: Callable[[pyvips.Image], pyvips.Image]) -> "Canvas":
        """As ``of_pixels``, with the alpha left alone: ``change`` sees the colours only."""

        def coloured(image: pyvips.Image) -> pyvips.Image:
            if not image.hasalpha():
                return change(image)
            colours = change(image.extract_band(0, n=image.bands - 1))
            return as_samples(colours, image).bandjoin(image[image.bands - 1])

        return self.of_pixels(coloured)


def as_samples(image: pyvips.Image, like: pyvips.Image) -> pyvips.Image:
    """In the samples and colour space of ``like``, rounded and clipped; a grey one stays grey only with its bands."""
    if image.format != like.format:
        image = image.rint().cast(like.format)
    wide = like.format == "ushort"
    colours = ("rgb16" if wide else "srgb") if image.bands > 2 else ("grey16" if wide else "b-w")
    return image if image.interpretation == colours else image.copy(interpretation=colours)


def mixed(image: pyvips.Image, change: Callable[[pyvips.Image], pyvips.Image]) -> pyvips.Image:
    """``change`` for steps that mix pixels: each colour counts by its alpha, so that hidden ones leave no fringe.

    ``change`` gets colours premultiplied by the alpha behind them, as floats; of an opaque picture the colours alone.
    """
    # In memory: a mask reads each row many times, and would compute the step before as often. The alpha is read twice.
    image = image.copy_memory()
    if not image.hasalpha():
        return as_samples(change(image), image)
    opaque = _MOST[image.format]
    if image[image.bands - 1].min() == opaque:  # most pictures do not need their alpha
        return as_samples(change(image.extract_band(0, n=image.bands - 1)), image).bandjoin(opaque)
    return as_samples(change(image.premultiply()).unpremultiply(), image)


def frames_of(image: pyvips.Image) -> Iterator[pyvips.Image]:
    """The frames of a roll, one after the other, in memory, so that a decoder need not keep them.

    The first one has the metadata of the roll, the others have none.
    """
    height, region = image.get(PAGE_HEIGHT), pyvips.Region.new(image)
    yield image.crop(0, 0, image.width, height).copy_memory()
    for top in range(height, image.height - height + 1, height):
        yield vips.part_of(image, region, top, height)


def roll(frames: list[pyvips.Image]) -> pyvips.Image:
    """One image of frames of equal size, which get the most bands that one of them has.

    Delays and loop count are metadata of the first frame.
    """
    bands = max(frame.bands for frame in frames)  # a frame has an alpha only if it does not cover the whole canvas
    opaque = _MOST[frames[0].format]
    equal = [frame if frame.bands == bands else frame.bandjoin(opaque) for frame in frames]
    image = pyvips.Image.arrayjoin(equal, across=1).copy()
    image.set_type(pyvips.GValue.gint_type, PAGE_HEIGHT, frames[0].height)
    return image
