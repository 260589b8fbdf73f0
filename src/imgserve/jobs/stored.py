"""Outputs as rows hold them: JSON of ``request.job.FixedOutput``, written by this version or by another one.

A row that cannot be read must not hold up other jobs. Its placeholder is still replaced if place, size, format and
``on_failure`` can be read.
"""

import msgspec

from imgserve.jobs.model import Debt, PlaceholderState, owes
from imgserve.request.destination import Destination
from imgserve.request.imageinfo import Size
from imgserve.request.job import FixedOutput, OnFailure, Placeholder
from imgserve.request.recipe import Format, OutputOptions, Quality, Recipe

# A text that is nested too deep is no error of the decoder's.
UNREADABLE = (msgspec.DecodeError, RecursionError)

decode_output = msgspec.json.Decoder(FixedOutput).decode


def for_failure(stored: bytes) -> FixedOutput | None:
    """The output as far as a failure picture needs it; None when too little can be read."""
    try:
        return decode_output(stored)
    except UNREADABLE:
        return _salvaged(stored)


def debt_of(stored: bytes, placeholder: PlaceholderState) -> Debt:
    """Whether a failed output's placeholder is owed a replacement, abandoned, or neither."""
    output = for_failure(stored)
    if output is not None:
        return "owed" if owes(output, placeholder) else "none"
    return "abandoned" if placeholder in ("written", "unknown") else "none"


class _Parts(msgspec.Struct, frozen=True):
    """The fields that a failure picture needs. All others are ignored."""

    destination: Destination
    size: Size
    recipe: "_Recipe"
    on_failure: OnFailure = "error_image"


class _Recipe(msgspec.Struct, frozen=True):
    output: "_Written"


class _Written(msgspec.Struct, frozen=True):
    format: Format
    quality: Quality | None = None


class _Deleted(msgspec.Struct, frozen=True):
    """The least that a deletion needs."""

    destination: Destination
    on_failure: OnFailure


_decode_parts = msgspec.json.Decoder(_Parts).decode
_decode_deleted = msgspec.json.Decoder(_Deleted).decode


def _salvaged(stored: bytes) -> FixedOutput | None:
    try:
        parts = _decode_parts(stored)
    except UNREADABLE:
        return _deletion(stored)
    options = OutputOptions(format=parts.recipe.output.format, quality=parts.recipe.output.quality)
    return FixedOutput(Recipe((), options), parts.size, parts.destination, Placeholder(), parts.on_failure)


def _deletion(stored: bytes) -> FixedOutput | None:
    try:
        parts = _decode_deleted(stored)
    except UNREADABLE:
        return None
    if parts.on_failure == "error_image":
        return None
    return FixedOutput(
        Recipe((), OutputOptions(format="png")), Size(1, 1), parts.destination, Placeholder(), parts.on_failure
    )
