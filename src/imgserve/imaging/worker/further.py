"""The further pictures of a rendering: recognised and measured before anything is decoded, then read at the size that
their operation asks for. Called by ``pipeline.py``.

Their bytes come from anybody, as the source's do: the same checks and limits hold. An error leads to the field that
names the picture.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pyvips

from imgserve.errors import ImgserveError
from imgserve.imaging.faults import PictureTooLarge, SvgInvalid
from imgserve.imaging.worker import bounds, load, probe
from imgserve.imaging.worker.colour import convert, profile
from imgserve.imaging.worker.detect import detect
from imgserve.imaging.worker.picture import Picture, unreadable
from imgserve.imaging.worker.source import Data
from imgserve.imaging.worker.steps import resize
from imgserve.imaging.worker.svg import draw, svgz
from imgserve.imaging.worker.svg.watch import Watch
from imgserve.request.encode import Profile
from imgserve.request.geometry import Shape
from imgserve.request.imageinfo import Size
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import Limits
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import LoadOptions, Recipe

_COLOURS = 3


class Further(NamedTuple):
    """A picture with nothing but its header read. ``data`` is unpacked.

    ``profile`` and ``own_profile`` are those of the canvas: the latter is the source's, if that is kept. ``watched``
    limits the drawing of an SVG.
    """

    data: Data
    shape: Shape
    options: LoadOptions
    profile: Profile
    own_profile: bytes
    watched: Watch

    def opened(self) -> Picture:
        """Anew each time: its rows can be read once only, and two operations may draw the same picture."""
        assert self.shape.format is not None
        return Picture(self.data, self.shape.format, self.options, is_deep=True, profile=self.profile)


def measured(
    data: Sequence[Data], recipe: Recipe, source: Picture, limits: Limits, watched: Watch
) -> dict[ImageRef, Further]:
    """The pictures of a recipe, whose bytes come in the order of ``Recipe.further``, to be drawn on ``source``.

    Raises SourceUnreadable, SvgInvalid, PictureTooLarge.
    """
    pictures = {}
    for (image, index), one in zip(recipe.further.items(), data, strict=True):
        with of_operation(index):
            pictures[image] = _measured(one, recipe, source, limits, watched)
    return pictures


def _measured(data: Data, recipe: Recipe, source: Picture, limits: Limits, watched: Watch) -> Further:
    data = svgz.unpacked(data, limits) if svgz.is_packed(data) else data
    source_format = detect(data)
    assert source_format is not None, "a complete picture is always decided"
    options = LoadOptions(strict=recipe.load.strict, frames="first")
    picture = Picture(data, source_format, options)
    info = probe.measure(picture, limits, watched)
    canvas_profile: Profile = "p3" if load.is_in_p3(source) else "srgb"
    own_profile = source.kept_profile if source.format != "svg" else b""
    return Further(
        data, Shape(info.width_px, info.height_px, info.format), options, canvas_profile, own_profile, watched
    )


def check(operation: Composite, index: int, further: Mapping[ImageRef, Further], on: Size, limits: Limits) -> None:
    """Raises PictureTooLarge for a picture that would be drawn beyond the limits of results."""
    with of_operation(index):
        size = operation.drawn(further[operation.image].shape, on)
        bounds.check_output(size, limits)
        bounds.check_output(operation.turned(size), limits)
        bounds.check_covering(further[operation.image].shape, size, limits)


def read(operation: Composite, index: int, further: Further, on: Size) -> pyvips.Image:
    """The first frame at the size that is asked for, upright, in the canvas's colours or grey, 8 or 16 bits, in memory.

    Raises SourceUnreadable, SvgInvalid.
    """
    size = operation.drawn(further.shape, on)
    is_svg = further.shape.is_drawing
    too_dear = PictureTooLarge("drawing the SVG takes more time or memory than a worker has for it", "simplify the SVG")
    with of_operation(index), further.watched(too_dear.at(_place(index))) if is_svg else contextlib.nullcontext():
        picture = further.opened()
        try:
            image = _read(picture, further.shape, size)
            image = convert.to_canvas(image, is_deep=True)
            return _in_colours(image, further, picture).copy_memory()
        except pyvips.Error as error:
            if is_svg:
                raise SvgInvalid("the SVG cannot be drawn", "open it in a browser to see why") from error
            raise unreadable(picture, error) from error


def _read(picture: Picture, shape: Shape, size: Size) -> pyvips.Image:
    if shape.is_drawing:
        return draw.draw(bytes(picture.data), size, is_stretched=True)
    if shape.size == size:
        return load.whole(picture)
    fitting = Resize(size.width_px, size.height_px, fit="fill", if_small="enlarge")
    return resize.opened(picture, fitting, shape, size, frames=1).image


def _in_colours(image: pyvips.Image, further: Further, picture: Picture) -> pyvips.Image:
    """In the colours of the canvas."""
    if further.profile == "p3" and not load.is_in_p3(picture):
        return convert.srgb_to_p3(image)
    if profile.bands_of(further.own_profile) == _COLOURS and not profile.is_srgb(further.own_profile):
        return convert.srgb_to(image, further.own_profile)
    return image


@contextlib.contextmanager
def of_operation(index: int) -> Iterator[None]:
    """An error of the block is one of the picture that this operation names."""
    try:
        yield
    except ImgserveError as error:
        raise error.at(_place(index)) from None


def _place(index: int) -> tuple[str, int, str]:
    return ("operations", index, "image")
