"""One rendition, start to end: judge, open, the steps, save. Called by ``__main__.py`` for a RenderRequest.

The first operation opens the picture, fused with its decoding; every later step takes an image and returns one.
"""

import contextlib
import mmap

import pyvips

from imgserve.imaging.faults import PictureTooLarge, RenderFailed, SourceUnreadable, SvgInvalid
from imgserve.imaging.messages import RenderTask, Written
from imgserve.imaging.worker import bounds, load, probe, save
from imgserve.imaging.worker.colour import convert
from imgserve.imaging.worker.detect import detect
from imgserve.imaging.worker.steps import rasterize, resize
from imgserve.imaging.worker.svg import sizing, svgz
from imgserve.imaging.worker.svg.watch import Watch, unwatched
from imgserve.request import formats
from imgserve.request.imageinfo import Facts, Size
from imgserve.request.limits import Limits
from imgserve.request.operations import Operation, Rasterize, Resize

STEPS = (
    convert.to_srgb,
    convert.evaluate,
)


def render(
    data: bytes | mmap.mmap, task: RenderTask, limits: Limits, result_fd: int, watched: Watch = unwatched
) -> Written:
    """Carry out the task and write the picture to ``result_fd``. ``watched`` is over the drawing of an SVG.

    Raises SourceUnreadable, SvgInvalid, PictureTooLarge, RenderFailed.
    """
    operation = _first(task)
    output_format = task.recipe.output.format
    if output_format is None:
        raise RenderFailed("the recipe reached the worker without an output format")
    bounds.check_output(task.size, limits)
    picture = _recognised(data, operation, limits, is_strict=task.recipe.load.strict)
    facts = probe.measure(picture, limits, watched)
    frames = formats.frames_kept(facts, output_format)
    bounds.check_output(task.size, limits, frames)
    if isinstance(operation, Resize):
        bounds.check_covering(facts, task.size, limits)
        made = _again(picture, facts, operation, task) if output_format == "jpeg" else None
        if made is not None:
            save.write_bytes(made, result_fd)
            return Written(task.size, output_format)
    image = _evaluated(picture, facts, operation, task.size, frames, watched)
    save.write(image, output_format, task.recipe.output, result_fd)
    return Written(Size(image.width, image.get_page_height()), output_format)


def _first(task: RenderTask) -> Operation:
    operations = task.recipe.operations
    if len(operations) > 1:
        raise RenderFailed("this version carries out one operation in a recipe", "send one operation")
    return operations[0] if operations else Resize()


def _recognised(data: bytes | mmap.mmap, operation: Operation, limits: Limits, *, is_strict: bool) -> load.Picture:
    """The source's type. For rasterize everything that is no SVG is an invalid SVG, pictures too."""
    try:
        data = svgz.unpacked(data, limits) if svgz.is_packed(data) else data
        source_format = detect(data)
    except SourceUnreadable as error:
        if isinstance(operation, Rasterize):
            raise sizing.not_svg() from error
        raise
    assert source_format is not None, "a complete source is always decided"
    return load.Picture(data, source_format, is_strict=is_strict)


def _again(picture: load.Picture, facts: Facts, operation: Resize, task: RenderTask) -> bytes | None:
    """The file itself, where a plain JPEG becomes another one."""
    quality = save.quality_of(task.recipe.output, "jpeg")
    return None if quality is None else resize.again(picture, facts, operation, task.size, quality)


def _evaluated(
    picture: load.Picture, facts: Facts, operation: Operation, size: Size, frames: int, watched: Watch
) -> pyvips.Image:
    is_svg = picture.format == "svg"
    try:
        with watched(_too_much_memory()) if is_svg else contextlib.nullcontext():
            image = _open(picture, facts, operation, size, frames)
            for step in STEPS:
                image = step(image)
            return image
    except pyvips.Error as error:
        if is_svg:
            raise SvgInvalid("the SVG cannot be drawn", "open it in a browser to see why") from error
        raise load.unreadable(picture, error) from error


def _too_much_memory() -> PictureTooLarge:
    return PictureTooLarge("drawing the SVG takes more memory than a worker has for it", "simplify the SVG")


def _open(picture: load.Picture, facts: Facts, operation: Operation, size: Size, frames: int) -> pyvips.Image:
    match operation:
        case Resize():
            return resize.open_picture(picture, facts, operation, size, frames)
        case Rasterize():
            return rasterize.open_picture(picture, facts, operation, size)
