"""One rendition, start to end: check, open, the operations in order, save. Called by ``__main__.py``.

The first operation is fused with decoding where it can be. Each later one takes a canvas and returns one.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import pyvips

from imgserve.imaging.faults import PictureTooLarge, RenderFailed, SourceUnreadable, SvgInvalid
from imgserve.imaging.messages import Written
from imgserve.imaging.worker import animation, bounds, cover, further, load, probe, save
from imgserve.imaging.worker.canvas import Canvas
from imgserve.imaging.worker.colour import convert
from imgserve.imaging.worker.detect import detect
from imgserve.imaging.worker.formats import density
from imgserve.imaging.worker.further import Further
from imgserve.imaging.worker.metadata import embed, kept
from imgserve.imaging.worker.picture import Picture, unreadable
from imgserve.imaging.worker.pixelcache import UNCACHED, PixelCache
from imgserve.imaging.worker.saver import extras
from imgserve.imaging.worker.source import Data
from imgserve.imaging.worker.steps import composite, rasterize, resize, trim
from imgserve.imaging.worker.steps.table import STEPS
from imgserve.imaging.worker.svg import draw, fontcheck, sizing, svgz
from imgserve.imaging.worker.svg.watch import Watch, unwatched
from imgserve.request import formats
from imgserve.request.encode import Format
from imgserve.request.faults import beneath
from imgserve.request.geometry import Part, Shape
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import Limits
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.trim import Trim
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering, Step, fold, grows, steps_of
from imgserve.request.warning import MOST_WARNINGS, OutputWarning

_TOO_MUCH_MEMORY = "drawing the SVG takes more memory than a worker has for it"


def render(
    data: Data,
    rendering: Rendering,
    limits: Limits,
    result_fd: int,
    watched: Watch = unwatched,
    further_data: Sequence[Data] = (),
    further_watched: Watch = unwatched,
    cache: PixelCache = UNCACHED,
) -> Written:
    """Render and write the picture to ``result_fd``. ``watched`` limits the drawing of an SVG.

    ``further_data``: the bytes of the further pictures, in the order of ``Recipe.further``. ``cache``: of ``data``.

    Raises SourceUnreadable, SvgInvalid, PictureTooLarge, RenderFailed, SourceTooSmall, RequestInvalid.
    """
    if rendering.size is not None:
        bounds.check_output(rendering.size, limits)
    picture = _recognised(data, rendering.recipe, limits, cache)
    info = probe.measure(picture, limits, watched)
    frames = formats.frames_kept(info, rendering.format)
    steps = steps_of(rendering.recipe.operations, info, rendering.size)
    pictures = further.measured(further_data, rendering.recipe, picture, limits, further_watched)
    _check(steps, frames, pictures, limits)
    file = _in_planes(picture, steps, rendering) or _drawn(picture, steps, rendering, watched)
    if file is not None and rendering.size is not None:
        save.write_bytes(file, result_fd)
        return Written(rendering.size, rendering.format, warnings=_warnings(picture, pictures, rendering))
    image = _finished(picture, info, steps, rendering, frames, pictures, limits, watched)
    encode = rendering.recipe.encode
    extra = extras.Extras() if save.is_plain(encode) else extras.of(picture, image, encode, rendering.format)
    encodes = save.write(image, rendering.format, encode, result_fd, extra)
    warned = _warnings(picture, pictures, rendering)
    return Written(Size(image.width, image.get_page_height()), rendering.format, encodes, warned)


def _warnings(
    picture: Picture, pictures: Mapping[ImageRef, Further], rendering: Rendering
) -> tuple[OutputWarning, ...]:
    """Of the source and the further pictures, as far as they are SVGs. The same font is named once."""
    drawings = [picture.data] if picture.format == "svg" else []
    drawings += [further.data for further in pictures.values() if further.shape.is_drawing]
    found = (warning for data in drawings for warning in fontcheck.warnings(bytes(data), rendering.size))
    return tuple(dict.fromkeys(found))[:MOST_WARNINGS]


def still(data: Data, recipe: Recipe, limits: Limits, watched: Watch = unwatched) -> tuple[Picture, pyvips.Image]:
    """The source, and one picture of it behind the recipe's operations, 8 bits, in memory. For ``inspection``.

    Raises as ``render`` does.
    """
    picture = _recognised(data, recipe, limits)
    info = probe.measure(picture, limits, watched)
    steps = steps_of(recipe.operations, info)
    _check(steps, 1, {}, limits)
    rendering = Rendering(recipe, steps[-1].size, "png")
    return picture, _finished(picture, info, steps, rendering, 1, {}, limits, watched)


def trimmed(
    data: Data,
    recipe: Recipe,
    output_format: Format,
    limits: Limits,
    watched: Watch = unwatched,
    cache: PixelCache = UNCACHED,
) -> Part:
    """What the recipe's trim keeps of the source, or of an SVG as it is drawn first. Raises as ``render`` does."""
    picture = _recognised(data, recipe, limits, cache)
    info = probe.measure(picture, limits, watched)
    frames = formats.frames_kept(info, output_format)
    steps = steps_of(recipe.operations, info)
    _check(steps, frames, {}, limits)
    with _decoding(picture, watched):
        canvas, rest = _canvas(picture, info, steps, recipe, frames)
        match rest:
            case (Step(operation=Trim() as operation),):
                return trim.box(canvas, operation)
    raise RenderFailed("the recipe reached the worker with other operations than a trim")


def _check(steps: tuple[Step, ...], frames: int, pictures: Mapping[ImageRef, Further], limits: Limits) -> None:
    """Checks the limits again, as security: for every picture that grows, before a pixel is decoded."""
    for index, step in enumerate(steps):
        with beneath("operations", index):
            if grows(step) or index == len(steps) - 1:
                bounds.check_output(step.size, limits, frames)
            if isinstance(step.operation, Resize):
                bounds.check_covering(step.before, step.operation.whole(step.before, step.size), limits)
        if isinstance(step.operation, Composite):
            further.check(step.operation, index, pictures, step.size, limits)


def _recognised(data: Data, recipe: Recipe, limits: Limits, cache: PixelCache = UNCACHED) -> Picture:
    """The source, by its format. For rasterize everything but an SVG is an invalid SVG, pictures too."""
    operations = recipe.operations
    try:
        data = svgz.unpacked(data, limits) if svgz.is_packed(data) else data
        source_format = detect(data)
    except SourceUnreadable as error:
        if operations and isinstance(operations[0], Rasterize):
            raise sizing.not_svg() from error
        raise
    assert source_format is not None, "a complete source is always decided"
    deep, profile, rule = _is_deep(recipe), recipe.encode.profile, recipe.encode.render_profile or "balanced"
    return Picture(data, source_format, recipe.load, is_deep=deep, profile=profile, render_profile=rule, cache=cache)


def _is_deep(recipe: Recipe) -> bool:
    """Whether tones finer than 8 bits can matter: a lone resize to a format of 8 bits needs none."""
    return recipe.encode.bit_depth > 8 or len(recipe.operations) != 1 or not isinstance(recipe.operations[0], Resize)


def _in_planes(picture: Picture, steps: tuple[Step, ...], rendering: Rendering) -> bytes | None:
    """The fast path: the result's file, if one resize makes a plain JPEG or WebP of another."""
    encode, output_format = rendering.recipe.encode, rendering.format
    settings = save.plane_settings(encode, output_format) if save.is_one_encode(encode) else None
    match steps:
        case (Step(operation=Resize() as operation) as only,) if settings is not None:
            file = resize.in_planes(picture, operation, only.before, only.size, settings)
            if file is not None:
                if output_format == "jpeg":
                    file = density.in_jpeg(file, picture.per_mm)
                return embed.embedded(file, output_format, kept.of(picture, encode, output_format, only.size))
    return None


def _drawn(picture: Picture, steps: tuple[Step, ...], rendering: Rendering, watched: Watch) -> bytes | None:
    """The fast path of a small SVG that is drawn in its size: the result's file, if PNG or WebP."""
    writer = save.writer_of_drawing(rendering.format, rendering.recipe.encode) if picture.format == "svg" else None
    match steps:
        case (Step(operation=Resize() as operation) as only,):
            is_stretched = is_drawn_as_it_is = operation.whole(only.before, only.size) == only.size
        case (Step(operation=Rasterize() as operation) as only,):
            is_stretched, is_drawn_as_it_is = rasterize.is_stretched(operation), True
        case _:
            return None
    if writer is None or not is_drawn_as_it_is or only.size != rendering.size:
        return None
    with _decoding(picture, watched):
        drawing = draw.at_once(bytes(picture.data), only.size, is_stretched=is_stretched, dpi=picture.options.dpi)
    return None if drawing is None else writer(*drawing)


def _finished(
    picture: Picture,
    info: ImageInfo,
    steps: tuple[Step, ...],
    rendering: Rendering,
    frames: int,
    pictures: Mapping[ImageRef, Further],
    limits: Limits,
    watched: Watch,
) -> pyvips.Image:
    """In memory: a corrupt source fails here, and a later error is the saver's."""
    with _decoding(picture, watched):
        canvas = _changed(picture, info, steps, rendering.recipe, frames, pictures, limits)
        if rendering.size not in (None, canvas.size):
            # The source has changed since the reply. The promised size holds.
            assert rendering.size is not None
            canvas = canvas.of_each_frame(partial(cover.covering, size=rendering.size))
        image = extras.in_its_profile(picture, canvas.image, rendering.recipe.encode)
        if picture.format != "svg" and rendering.format in density.FORMATS:
            image = density.stating(image, picture.per_mm)
        return save.in_its_depth(image, rendering.format, rendering.recipe.encode).copy_memory()


@contextlib.contextmanager
def _decoding(picture: Picture, watched: Watch) -> Iterator[None]:
    """Errors of libvips are those of the source."""
    is_svg = picture.format == "svg"
    try:
        with watched(PictureTooLarge(_TOO_MUCH_MEMORY, "simplify the SVG")) if is_svg else contextlib.nullcontext():
            yield
    except pyvips.Error as error:
        if is_svg:
            raise SvgInvalid("the SVG cannot be drawn", "open it in a browser to see why") from error
        raise unreadable(picture, error) from error


def _opened(
    picture: Picture, info: ImageInfo, steps: tuple[Step, ...], recipe: Recipe, frames: int
) -> tuple[Canvas, tuple[Step, ...]]:
    """The canvas, and the steps that remain: a first resize decodes no more of the picture than it needs."""
    match steps:
        case (Step(operation=Resize() as operation) as first, *_):
            return resize.opened(picture, operation, first.before, first.size, frames), steps[1:]
        case (Step(operation=Rasterize() as operation) as first, *_):
            return rasterize.opened(picture, operation, first.size, recipe.load.dpi), steps[1:]
    if picture.format == "svg":
        size = steps[0].before.size if steps else Shape(info.width_px, info.height_px, info.format).size
        return Canvas(draw.draw(bytes(picture.data), size, is_stretched=True, dpi=recipe.load.dpi), 1), steps
    if frames > 1:
        return Canvas(animation.as_it_is(picture), frames), steps
    return Canvas(load.whole(picture), 1), steps


def _canvas(
    picture: Picture, info: ImageInfo, steps: tuple[Step, ...], recipe: Recipe, frames: int
) -> tuple[Canvas, tuple[Step, ...]]:
    """As ``_opened``, in the colours of a canvas; in memory if steps remain."""
    canvas, rest = _opened(picture, info, steps, recipe, frames)
    canvas = canvas._replace(image=convert.to_canvas(canvas.image, is_deep=picture.is_deep))
    if rest:  # a decoder gives its rows in order, and once
        canvas = canvas._replace(image=canvas.image.copy_memory())
    return canvas, rest


def _changed(
    picture: Picture,
    info: ImageInfo,
    steps: tuple[Step, ...],
    recipe: Recipe,
    frames: int,
    pictures: Mapping[ImageRef, Further],
    limits: Limits,
) -> Canvas:
    """The canvas behind all steps. Only the last two canvases are in memory, since each may be as large as a source."""
    canvas, rest = _canvas(picture, info, steps, recipe, frames)
    profile = picture.render_profile
    rest = tuple(step._replace(operation=resize.in_profile(step.operation, profile)) for step in rest)
    for index, step in enumerate(rest, len(steps) - len(rest)):
        if isinstance(step.operation, Composite):
            operation, on = step.operation, canvas.size
            further.check(operation, index, pictures, on, limits)
            image = further.read(operation, index, pictures[operation.image], on)
            canvas = composite.applied(canvas, operation, image)
            continue
        with beneath("operations", index):
            size = _size_now(canvas, step, limits) if step.before.is_open else step.size
            carry_out = STEPS.get(type(step.operation))
            if carry_out is None:
                raise RenderFailed("the recipe reached the worker with a rasterize behind another operation")
            canvas = carry_out(canvas, step.operation, size)
    return canvas


def _size_now(canvas: Canvas, step: Step, limits: Limits) -> Size:
    """The size after a step behind a trim, which only the pixels tell. It is checked before the step's work."""
    before = canvas.shape
    step.operation.check(before)
    size = step.size
    if step.after.is_open:
        (now,) = fold((step.operation,), before)
        size = now.size
        bounds.check_output(size, limits, canvas.frames)
    if isinstance(step.operation, Resize):
        bounds.check_covering(before, step.operation.whole(before, size), limits)
    return size
