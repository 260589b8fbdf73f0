"""One rendition, start to end: check, open, the operations in order, save. Called by ``__main__.py``.

The first operation opens the picture, fused with its decoding; each later one takes a canvas and returns one.
"""

import contextlib

import pyvips

from imgserve.imaging.faults import PictureTooLarge, RenderFailed, SourceUnreadable, SvgInvalid
from imgserve.imaging.messages import Written
from imgserve.imaging.worker import bounds, load, probe, save
from imgserve.imaging.worker.canvas import Canvas
from imgserve.imaging.worker.colour import convert
from imgserve.imaging.worker.detect import detect
from imgserve.imaging.worker.source import Data
from imgserve.imaging.worker.steps import rasterize, resize
from imgserve.imaging.worker.svg import sizing, svgz
from imgserve.imaging.worker.svg.watch import Watch, unwatched
from imgserve.request import formats
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Operation
from imgserve.request.rendering import Rendering, Step, steps_of

_TOO_MUCH_MEMORY = "drawing the SVG takes more memory than a worker has for it"


def render(data: Data, rendering: Rendering, limits: Limits, result_fd: int, watched: Watch = unwatched) -> Written:
    """Render and write the picture to ``result_fd``. ``watched`` limits the drawing of an SVG.

    Raises SourceUnreadable, SvgInvalid, PictureTooLarge, RenderFailed.
    """
    operations = rendering.recipe.operations or (Resize(),)
    bounds.check_output(rendering.size, limits)
    picture = _recognised(data, operations[0], limits, is_strict=rendering.recipe.load.strict)
    info = probe.measure(picture, limits, watched)
    frames = formats.frames_kept(info, rendering.format)
    steps = steps_of(operations, info, rendering.size)
    _check(steps, frames, limits)
    file = _jpeg_of_jpeg(picture, steps, rendering)
    if file is not None:
        save.write_bytes(file, result_fd)
        return Written(rendering.size, rendering.format)
    image = _finished(picture, steps, frames, watched)
    save.write(image, rendering.format, rendering.recipe.output, result_fd)
    return Written(Size(image.width, image.get_page_height()), rendering.format)


def _check(steps: tuple[Step, ...], frames: int, limits: Limits) -> None:
    """Checks the limits again, as security: for every intermediate picture, before a pixel is decoded."""
    for step in steps:
        bounds.check_output(step.size, limits, frames)
        if isinstance(step.operation, Resize):
            bounds.check_covering(step.before, step.size, limits)


def _recognised(data: Data, first: Operation, limits: Limits, *, is_strict: bool) -> load.Picture:
    """The source, by its format. For rasterize everything but an SVG is an invalid SVG, pictures too."""
    try:
        data = svgz.unpacked(data, limits) if svgz.is_packed(data) else data
        source_format = detect(data)
    except SourceUnreadable as error:
        if isinstance(first, Rasterize):
            raise sizing.not_svg() from error
        raise
    assert source_format is not None, "a complete source is always decided"
    return load.Picture(data, source_format, is_strict=is_strict)


def _jpeg_of_jpeg(picture: load.Picture, steps: tuple[Step, ...], rendering: Rendering) -> bytes | None:
    """The fast path: the result's file, if one resize makes a plain JPEG of another."""
    operation, before, size = steps[0]
    if rendering.format != "jpeg" or len(steps) > 1 or not isinstance(operation, Resize):
        return None
    return resize.jpeg_of_jpeg(picture, operation, before, size, save.jpeg_quality(rendering.recipe.output))


def _finished(picture: load.Picture, steps: tuple[Step, ...], frames: int, watched: Watch) -> pyvips.Image:
    """In memory: a corrupt source fails here, and a later error is the saver's."""
    is_svg = picture.format == "svg"
    try:
        with watched(PictureTooLarge(_TOO_MUCH_MEMORY, "simplify the SVG")) if is_svg else contextlib.nullcontext():
            canvas = _opened(picture, steps[0], frames)
            canvas = canvas._replace(image=convert.to_srgb(canvas.image))
            for step in steps[1:]:
                canvas = _changed(canvas, step)
            return canvas.image.copy_memory()
    except pyvips.Error as error:
        if is_svg:
            raise SvgInvalid("the SVG cannot be drawn", "open it in a browser to see why") from error
        raise load.unreadable(picture, error) from error


def _opened(picture: load.Picture, step: Step, frames: int) -> Canvas:
    """The first operation, which decodes no more of the picture than it needs."""
    match step.operation:
        case Resize() as operation:
            return resize.opened(picture, operation, step.before, step.size, frames)
        case Rasterize() as operation:
            return rasterize.opened(picture, operation, step.size)


def _changed(canvas: Canvas, step: Step) -> Canvas:
    match step.operation:
        case Resize() as operation:
            return resize.applied(canvas, operation, step.before, step.size)
        case Rasterize():
            raise RenderFailed("the recipe reached the worker with a rasterize behind another operation")
