"""A checked request, as an API hands it to intake, and its outputs, as resolved after the probe.

``resolve`` turns an output request into values that depend on no setting; the queue stores them as JSON.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from imgserve.errors import FieldRef
from imgserve.request import rendering, tags
from imgserve.request.destination import Destination, DestinationTemplate
from imgserve.request.faults import Fault, Faults, beneath
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.limits import Limits
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.recipe import MAX_OPERATIONS, Format, Operation, Recipe
from imgserve.request.rendering import Rendering
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


class Placement(msgspec.Struct, frozen=True):
    """A job's part of an output: its destination, the placeholder there, and the action when the job fails."""

    destination: Destination
    placeholder: Placeholder
    on_failure: OnFailure


class ResolvedOutput(msgspec.Struct, frozen=True):
    """An output with its final format, size and destination, which hold even if the source changes."""

    rendering: Rendering
    placement: Placement


def resolve(
    output: OutputRequest, source: Source, info: ImageInfo, limits: Limits, quality: Mapping[Format, int] | None = None
) -> ResolvedOutput:
    """Resolve one output by its source's header. ``quality`` holds for results whose job names none.

    Raises as ``rendering.resolve`` does, and RequestInvalid for a tag whose value is no file name.
    """
    resolved = rendering.resolve(output.recipe, info, limits, quality)
    with beneath("destination"):
        destination = output.destination.fill(tags.values_of(source, resolved.size))
    return ResolvedOutput(resolved, Placement(destination, output.placeholder, output.on_failure))


def check_shape(request: JobRequest) -> None:
    """Check number and order of outputs and operations, before the source is read. Raises RequestInvalid."""
    faults = Faults()
    if not request.outputs:
        faults.append(Fault("output_count", ("outputs",), "expected at least one, got none"))
    for index, output in enumerate(request.outputs):
        faults.attempt(("outputs", index, "operations"), _check_operations, output.recipe.operations)
    faults.raise_any()


def _check_operations(operations: tuple[Operation, ...]) -> None:
    faults = Faults()
    if not 1 <= len(operations) <= MAX_OPERATIONS:
        note = f"expected from 1 to {MAX_OPERATIONS} operations, got {len(operations)}"
        faults.append(Fault("output_count", (), note))
    for index, operation in enumerate(operations):
        if index > 0 and isinstance(operation, Rasterize):
            note = "rasterize draws the source itself, so it can only be the first operation"
            faults.append(Fault("field_invalid", (index,), note))
    faults.raise_any()


def check_places(outputs: tuple[ResolvedOutput, ...]) -> None:
    """Each output needs a destination of its own. Raises RequestInvalid."""
    faults = Faults()
    first: dict[str, int] = {}
    for index, output in enumerate(outputs):
        other = first.setdefault(output.placement.destination.key, index)
        if other != index:
            instead = "; for two pictures at one place post two jobs"
            note = ("expected another place than that of ", FieldRef(("outputs", other, "destination")), instead)
            faults.append(Fault("destination_invalid", ("outputs", index, "destination"), note))
    faults.raise_any()
