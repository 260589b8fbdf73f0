"""A rendering: a recipe with its final size and format, resolved by its source's header. For jobs and GETs; no I/O.

The size of a recipe is the fold of its operations' size rules. ``resolve`` checks it in the server. The worker folds
the same rules over the header that it reads itself.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import msgspec

from imgserve.errors import FieldRef
from imgserve.request import encode
from imgserve.request.encode import NO_DEFAULTS, Defaults, Format
from imgserve.request.faults import DESTINATION, Fault, Faults, RequestInvalid, beneath
from imgserve.request.formats import MAX_SIDE_OF_FORMAT, frames_kept
from imgserve.request.geometry import Shape
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.recipe import LoadOptions, Operation, Recipe

_LYING = 5  # the first of EXIF's orientations that swap the sides
_UPRIGHT = 1
_FORMAT = FieldRef(("encode", "format"))


class Rendering(msgspec.Struct, frozen=True):
    """A recipe and the exact size of its result, which holds even if the source changes. ``format`` is the recipe's.

    ``size`` None: it depends on pixels, since the picture is trimmed.
    """

    recipe: Recipe
    size: Size | None
    format: Format


class Step(NamedTuple):
    """An operation, the picture before it, and the picture after it."""

    operation: Operation
    before: Shape
    after: Shape

    @property
    def size(self) -> Size:
        return self.after.size


def loaded(info: ImageInfo, load: LoadOptions) -> ImageInfo:
    """The header of what these options take of a source with this header: as stored, and the frames that are taken.

    Of a header that is of just that already it is the same.
    """
    frames = load.capped(info.frames)
    if load.orient or info.orientation == _UPRIGHT:
        return info if frames == info.frames else msgspec.structs.replace(info, frames=frames)
    sides = (info.width_px, info.height_px)
    width, height = sides[::-1] if info.orientation >= _LYING else sides
    return msgspec.structs.replace(info, width_px=width, height_px=height, frames=frames, orientation=_UPRIGHT)


def steps_of(operations: Sequence[Operation], info: ImageInfo, promised: Size | None = None) -> tuple[Step, ...]:
    """The fold. ``promised`` is the last size, if it is resolved already.

    Raises SourceTooSmall for a drawing without size, RequestInvalid for an operation without a side.
    """
    return fold(operations, Shape(info.width_px, info.height_px, info.format), promised)


def fold(operations: Sequence[Operation], before: Shape, promised: Size | None = None) -> tuple[Step, ...]:
    """As ``steps_of``, from any picture on."""
    steps: list[Step] = []
    for index, operation in enumerate(operations):
        if promised is not None and index == len(operations) - 1:
            after = Shape(promised.width_px, promised.height_px)
        else:
            with beneath("operations", index):
                after = operation.after(before)
        steps.append(Step(operation, before, after))
        before = after
    return tuple(steps)


def resolve(recipe: Recipe, info: ImageInfo, limits: Limits, defaults: Defaults = NO_DEFAULTS) -> Rendering:
    """Resolve size, format, quality and profile, so that a later setting changes nothing.

    ``info``: of the source, upright or as the recipe loads it.

    Raises SourceTooSmall, NotSvg, or RequestInvalid with paths from the output: a picture is larger than limits or
    format allow (with all its frames), or the source's format cannot be written.
    """
    info = loaded(info, recipe.load)
    source = Shape(info.width_px, info.height_px, info.format)
    steps = steps_of(recipe.operations, info)
    output_format = recipe.encode.format or _source_format(info)
    frames = frames_kept(info, output_format)
    for index, step in enumerate(steps):
        with beneath("operations", index):
            if not step.before.is_open:  # else only the pixels tell, and the worker checks
                step.operation.check(step.before)
            if grows(step):
                check_size(step.size, frames, limits)
    last = steps[-1].after if steps else source
    with beneath("operations", len(steps) - 1) if steps else nullcontext():
        size = last.size
        check_size(size, frames, limits)
        _check_side(output_format, size)
    recipe = msgspec.structs.replace(recipe, encode=encode.resolved(recipe.encode, output_format, defaults))
    return Rendering(recipe, None if last.is_open else size, output_format)


def grows(step: Step) -> bool:
    """Whether the picture has more pixels than before: then it must be within the limits of results, even between two
    steps. A picture that does not grow is within the limits of sources.
    """
    size = step.size
    return step.before.is_drawing or size.width_px * size.height_px > step.before.width_px * step.before.height_px


def _source_format(info: ImageInfo) -> Format:
    if info.format == "svg":
        note = ("an SVG source and no format: give ", DESTINATION, " an extension such as .png, or use ", _FORMAT)
        raise RequestInvalid(Fault("format_not_writable", ("destination",), note))
    if info.format == "heic" or info.format == "bmp" or info.format == "ico":  # mypy narrows no set
        return "png" if info.has_alpha else "jpeg"
    return info.format


def check_size(size: Size, frames: int, limits: Limits) -> None:
    """Raises RequestInvalid."""
    width, height, faults = size.width_px, size.height_px, Faults()
    shape = f"the result would be {f'{frames} frames of ' if frames > 1 else ''}{width} x {height} px"
    if max(width, height) > limits.output_side_px:
        faults.append(Fault("result_too_large", note=f"{shape}, a side may have {limits.output_side_px}"))
    if width * height * frames > limits.output_pixels:
        less = "; ask for less, or for a format without frames" if frames > 1 else ""
        note = f"{shape}, expected at most {limits.output_pixels} in all{less}"
        faults.append(Fault("result_too_large", note=note))
    faults.raise_any()


def _check_side(output_format: Format, size: Size) -> None:
    most = MAX_SIDE_OF_FORMAT.get(output_format)
    if most is not None and max(size.width_px, size.height_px) > most:
        note = f"{output_format} holds at most {most} px a side, ask for less or another format"
        raise RequestInvalid(Fault("result_too_large", note=note))
