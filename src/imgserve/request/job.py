"""The request, checked once, as the API hands it to intake, and the output as fixed after the probe.

``fix`` turns an output request into values that depend on nothing else; the queue stores them as JSON.
"""

from typing import Annotated, Literal

import msgspec

from imgserve.request import tags
from imgserve.request.destination import Destination, DestinationTemplate
from imgserve.request.faults import Fault, Findings, RequestInvalid, beneath
from imgserve.request.formats import MAX_SIDE_OF_FORMAT, frames_kept
from imgserve.request.geometry import final_size
from imgserve.request.imageinfo import Facts, Size
from imgserve.request.limits import Limits
from imgserve.request.recipe import Format, Recipe
from imgserve.request.source import Source

OnFailure = Literal["error_image", "keep_placeholder", "delete"]


class Placeholder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The picture shown until the result is there. ``color`` is ``#rrggbb``."""

    style: Literal["text", "solid", "none"] = "text"
    color: str = "#8c8c8c"
    text: Annotated[str, msgspec.Meta(max_length=200)] = "Image being processed"


class OutputRequest(msgspec.Struct, frozen=True):
    """One recipe and one destination of a job. The recipe's format may still be open (None: the source's)."""

    recipe: Recipe
    destination: DestinationTemplate
    placeholder: Placeholder = Placeholder()
    on_failure: OnFailure = "error_image"


class JobRequest(msgspec.Struct, frozen=True):
    """A checked request: one source, at least one output."""

    source: Source
    outputs: tuple[OutputRequest, ...]


class FixedOutput(msgspec.Struct, frozen=True):
    """An output whose format, size and place are settled: delivered so, even if the source changes meanwhile."""

    recipe: Recipe
    size: Size
    destination: Destination
    placeholder: Placeholder
    on_failure: OnFailure


def fix(output: OutputRequest, source: Source, facts: Facts, limits: Limits) -> FixedOutput:
    """Settle one output by the facts of its source.

    Raises SourceTooSmall, NotSvg, or RequestInvalid, its paths from the output: a tag's value is no file name, the
    result is larger than limits or format allow (with all its frames), the source's format cannot be written.
    """
    with beneath("operations", 0):
        size = final_size(output.recipe.operations[0], facts, limits)
    chosen = output.recipe.output.format or _source_format(facts)
    with beneath("operations", 0):
        _check_side(chosen, size)
        _check_frames(size, frames_kept(facts, chosen), limits)
    options = msgspec.structs.replace(output.recipe.output, format=chosen)
    with beneath("destination"):
        destination = output.destination.fill(tags.values_of(source, size))
    return FixedOutput(
        recipe=msgspec.structs.replace(output.recipe, output=options),
        size=size,
        destination=destination,
        placeholder=output.placeholder,
        on_failure=output.on_failure,
    )


def check_shape(request: JobRequest) -> None:
    """Whether this version can carry out so many outputs and operations. Raises RequestInvalid."""
    found = Findings()
    if not request.outputs:
        found.add(Fault("output_count", ("outputs",), "expected at least one, got none"))
    for index, output in enumerate(request.outputs):
        path, count = ("outputs", index), len(output.recipe.operations)
        if count == 0:
            found.add(Fault("output_count", (*path, "operations"), "expected one operation, got none"))
        elif count > 1:
            note = f"this version carries out one operation an output, got {count}"
            found.add(Fault("output_count", (*path, "operations", 1), note))
    found.settle()


def check_places(outputs: tuple[FixedOutput, ...]) -> None:
    """Each output has a destination of its own: two could not be written one at a time. Raises RequestInvalid."""
    found = Findings()
    first: dict[str, int] = {}
    for index, output in enumerate(outputs):
        other = first.setdefault(output.destination.key, index)
        if other != index:
            note = f"expected another place than that of outputs[{other}]; for two pictures at one place post two jobs"
            found.add(Fault("destination_invalid", ("outputs", index, "destination"), note))
    found.settle()


def _source_format(facts: Facts) -> Format:
    if facts.format == "svg":
        note = "an SVG source and no format: end it with an extension such as .png, or set format"
        raise RequestInvalid(Fault("format_not_writable", ("destination",), note))
    return facts.format


def _check_side(chosen: Format, size: Size) -> None:
    most = MAX_SIDE_OF_FORMAT.get(chosen)
    if most is not None and max(size.width_px, size.height_px) > most:
        note = f"{chosen} holds at most {most} px a side, ask for less or another format"
        raise RequestInvalid(Fault("result_too_large", note=note))


def _check_frames(size: Size, frames: int, limits: Limits) -> None:
    if size.width_px * size.height_px * frames > limits.output_pixels:
        note = (
            f"the result would be {frames} frames of {size.width_px} x {size.height_px} px, "
            f"expected at most {limits.output_pixels} in all; ask for less, or for a format without frames"
        )
        raise RequestInvalid(Fault("result_too_large", note=note))
