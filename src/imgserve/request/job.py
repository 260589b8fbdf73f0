"""A checked request, as an API hands it to intake, and its outputs, as resolved after the probe.

``resolve`` turns an output request into values that depend on no setting; the queue stores them as JSON.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import msgspec

from imgserve.errors import FieldRef
from imgserve.request import rendering, tags
from imgserve.request.color import OpaqueColor
from imgserve.request.destination import Destination, DestinationTemplate
from imgserve.request.encode import NO_DEFAULTS, Defaults
from imgserve.request.faults import Fault, Faults, beneath
from imgserve.request.formats import EXTENSION
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.limits import Limits
from imgserve.request.recipe import Recipe, check_operations
from imgserve.request.rendering import Rendering
from imgserve.request.source import Source
from imgserve.request.webhook import Webhook

OnFailure = Literal["error_image", "keep_placeholder", "delete"]
PlaceholderStyle = Literal["text", "solid", "none"]
IfExists = Literal["replace", "keep"]
WholeArg = Literal["", "operations", "preset"]
Protocol = Literal["classic", "v1"]
Priority = Literal["high", "normal", "low"]


class Placeholder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The picture shown until the result is there. ``color`` is ``#rrggbb``."""

    style: Annotated[
        PlaceholderStyle, msgspec.Meta(description="words on a colour, the colour alone, or no placeholder")
    ] = "text"
    color: Annotated[OpaqueColor, msgspec.Meta(description="behind the words")] = "#8c8c8c"
    text: Annotated[str, msgspec.Meta(max_length=200, description="the words; left out where they do not fit")] = (
        "Image being processed"
    )


class OutputRequest(msgspec.Struct, frozen=True):
    """One recipe and one destination of a job. The recipe's format may still be open (None: the source's).

    ``name`` is unique in its job; empty: the output's index. ``if_exists`` keep: a file that lies there and is not
    imgserve's stays until the result comes.
    """

    recipe: Recipe
    destination: DestinationTemplate
    placeholder: Placeholder = Placeholder()
    on_failure: OnFailure = "error_image"
    name: str = ""
    if_exists: IfExists = "replace"


class JobRequest(msgspec.Struct, frozen=True):
    """A checked request: one source, at least one output.

    ``whole_arg``: the arg of the classic protocol that held all operations; empty if each had an arg of its own. Its
    faults are named after it.

    ``priority`` orders the jobs of one principal. ``not_before`` is in seconds since the epoch; before it nothing but
    placeholders is written, and one that has passed means nothing. ``deadline_s`` counts from there, else from
    acceptance; None: the setting's. ``metadata`` is the principal's own, and means nothing here.

    ``inline``: the bytes of a ``data:`` source, until they are received as an upload.
    """

    source: Source
    outputs: tuple[OutputRequest, ...]
    whole_arg: WholeArg = ""
    protocol: Protocol = "classic"
    priority: Priority = "normal"
    not_before: float | None = None
    deadline_s: float | None = None
    metadata: Mapping[str, str] = {}
    webhook: Webhook | None = None
    inline: bytes | None = None


class Placement(msgspec.Struct, frozen=True):
    """A job's part of an output: its destination, the placeholder there, and the action when the job fails."""

    destination: Destination
    placeholder: Placeholder
    on_failure: OnFailure
    if_exists: IfExists = "replace"


class ResolvedOutput(msgspec.Struct, frozen=True):
    """An output with its final format, size and destination, which hold even if the source changes."""

    rendering: Rendering
    placement: Placement
    name: str = ""


def trial_places(request: JobRequest) -> tuple[Destination, ...]:
    """The place of each output, as far as it is known before the source is read. Raises RequestInvalid."""
    return tuple(output.destination.fill(tags.trial_of(request.source, output.name)) for output in request.outputs)


def resolve(
    output: OutputRequest,
    source: Source,
    info: ImageInfo,
    limits: Limits,
    defaults: Defaults = NO_DEFAULTS,
    job_id: str = "",
) -> ResolvedOutput:
    """Resolve one output by its source's header. ``defaults``: of the settings.

    Raises as ``rendering.resolve`` does, and RequestInvalid for a tag whose value is no file name.
    """
    resolved = rendering.resolve(output.recipe, info, limits, defaults)
    if resolved.size is None:
        _check_open(output)
    with beneath("destination"):
        size, extension = resolved.size or tags.NO_SIZE, EXTENSION[resolved.format]
        destination = output.destination.fill(tags.values_of(source, size, extension, output.name, job_id))
    placement = Placement(destination, output.placeholder, output.on_failure, output.if_exists)
    return ResolvedOutput(resolved, placement, output.name)


def _check_open(output: OutputRequest) -> None:
    """Raises RequestInvalid for a use of the size, which nobody knows before the picture is trimmed."""
    note = "trim makes the size depend on the picture's pixels; "
    fixed = (note, "resize it to a width and a height after it with if_small enlarge, or ")
    faults = Faults()
    if output.placeholder.style != "none":
        style = FieldRef(("placeholder", "style"), "none")
        faults.append(Fault("size_unknown", ("placeholder",), (*fixed, "use ", style)))
    if not output.destination.uses.isdisjoint(tags.SIZES):
        faults.append(Fault("size_unknown", ("destination",), (*fixed, "leave the tags of the size out")))
    faults.raise_any()


def check_shape(request: JobRequest) -> None:
    """Check number and order of outputs and operations, before the source is read. Raises RequestInvalid."""
    faults = Faults()
    if not request.outputs:
        faults.append(Fault("output_count", ("outputs",), "expected at least one, got none"))
    for index, output in enumerate(request.outputs):
        faults.attempt(("outputs", index, "operations"), check_operations, output.recipe.operations)
    faults.raise_any()


def check_places(outputs: tuple[ResolvedOutput, ...]) -> None:
    """Each output needs a destination of its own. Raises RequestInvalid."""
    with beneath("outputs"):
        same_places(output.placement.destination for output in outputs).raise_any()


def same_places(places: Iterable[Destination | None]) -> Faults:
    """A fault for each output whose place is that of one before it, with its path from the list of outputs.

    None: a place that is not known yet.
    """
    faults = Faults()
    first: dict[str, int] = {}
    for index, place in enumerate(places):
        other = index if place is None else first.setdefault(place.key, index)
        if other != index:
            instead = "; for two pictures at one place post two jobs"
            note = ("expected another place than that of ", FieldRef((other, "destination")), instead)
            faults.append(Fault("destination_invalid", (index, "destination"), note))
    return faults
