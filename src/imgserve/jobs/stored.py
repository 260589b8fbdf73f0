"""Rows as JSON: source, header, outputs, metadata and webhook of a job, and the warnings of an output.

A row holds the Structs of ``request`` under the field names that they have today. tests/unit/jobs/test_stored.py lists
them all: a field that is renamed in the code keeps its stored name (``msgspec.field(name=...)``), and a new one has a
default. A change of meaning needs a higher ``FORMAT`` and a step of the schema that rewrites the rows.

A row that cannot be read must not hold up other jobs. Its placeholder is still replaced if destination, size, format
and ``on_failure`` can be read.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated

import msgspec
from msgspec.structs import astuple

from imgserve.jobs.model import OutboxKind, PlaceholderState
from imgserve.jobs.rules import outbox_kind
from imgserve.request.destination import Destination
from imgserve.request.encode import Encode, Format, Quality
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.job import IfExists, OnFailure, Placeholder, Placement, ResolvedOutput
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from imgserve.request.source import Source
from imgserve.request.warning import OutputWarning
from imgserve.request.webhook import Webhook

FORMAT = 1
# Rows of earlier versions have no number; they are of format 1. A higher number than FORMAT is not read.
FormatNumber = Annotated[int, msgspec.Meta(ge=1, le=FORMAT)]
FORMAT_NAME = "$format"

# The decoder raises RecursionError for JSON that is nested too deep.
UNREADABLE = (msgspec.DecodeError, RecursionError)


class _SourceRow(Source, frozen=True):
    row_format: FormatNumber = msgspec.field(default=FORMAT, name=FORMAT_NAME)


class _InfoRow(ImageInfo, frozen=True):
    row_format: FormatNumber = msgspec.field(default=FORMAT, name=FORMAT_NAME)
    size_bytes: int | None = None


class _OutputRow(msgspec.Struct, frozen=True):
    recipe: Recipe
    size: Size | None
    destination: Destination
    placeholder: Placeholder
    on_failure: OnFailure
    row_format: FormatNumber = msgspec.field(default=FORMAT, name=FORMAT_NAME)
    if_exists: IfExists = "replace"
    name: str = ""


class _NameRow(msgspec.Struct, frozen=True):
    name: str = ""


_encode = msgspec.json.Encoder().encode
_decode_source = msgspec.json.Decoder(_SourceRow).decode
_decode_info = msgspec.json.Decoder(_InfoRow).decode
_decode_output = msgspec.json.Decoder(_OutputRow).decode
decode_warnings = msgspec.json.Decoder(tuple[OutputWarning, ...]).decode
_decode_name = msgspec.json.Decoder(_NameRow).decode
_decode_metadata = msgspec.json.Decoder(dict[str, str]).decode
decode_webhook = msgspec.json.Decoder(Webhook).decode


def encode_source(source: Source) -> bytes:
    return _encode(_SourceRow(*astuple(source)))


def encode_info(info: ImageInfo, size_bytes: int | None = None) -> bytes:
    """``size_bytes`` is the source's, if it is known."""
    return _encode(_InfoRow(*(*astuple(info), FORMAT, size_bytes)))


def encode_output(output: ResolvedOutput) -> bytes:
    rendering, placement = output.rendering, output.placement
    return _encode(
        _OutputRow(
            rendering.recipe, rendering.size, placement.destination, placement.placeholder, placement.on_failure,
            if_exists=placement.if_exists, name=output.name,
        )
    )  # fmt: skip


def encode_warnings(warnings: tuple[OutputWarning, ...]) -> bytes:
    return _encode(warnings)


def decode_source(stored: bytes) -> Source:
    """Raises one of UNREADABLE, as the other decoders do."""
    return Source(*astuple(_decode_source(stored))[:-1])


def decode_info(stored: bytes) -> ImageInfo:
    return ImageInfo(*astuple(_decode_info(stored))[:-2])


def source_bytes_of(stored: bytes) -> int | None:
    """The source's length, beside its header."""
    return _decode_info(stored).size_bytes


def decode_output(stored: bytes) -> ResolvedOutput:
    row = _decode_output(stored)
    placement = Placement(row.destination, row.placeholder, row.on_failure, row.if_exists)
    return _output(row.recipe, row.size, placement, row.name)


def _output(recipe: Recipe, size: Size | None, placement: Placement, name: str = "") -> ResolvedOutput:
    if recipe.encode.format is None:
        raise msgspec.ValidationError("the stored recipe names no format")
    return ResolvedOutput(Rendering(recipe, size, recipe.encode.format), placement, name)


def encode_webhook(webhook: Webhook | None) -> bytes | None:
    return None if webhook is None else _encode(webhook)


def encode_metadata(metadata: Mapping[str, str]) -> bytes | None:
    return _encode(metadata) if metadata else None


def decode_metadata(stored: bytes | None) -> dict[str, str]:
    """Empty for metadata that cannot be read: nothing depends on them."""
    with suppress(*UNREADABLE):
        return {} if stored is None else _decode_metadata(stored)
    return {}


def name_of(stored: bytes, index: int) -> str:
    """An output's name in its job; ``index`` is its place among the outputs."""
    with suppress(*UNREADABLE):
        return _decode_name(stored).name or str(index)
    return str(index)


def for_failure(stored: bytes) -> ResolvedOutput | None:
    """The output as far as a failure picture or a deletion needs it; None when too little can be read."""
    for decode in (decode_output, _for_picture, _for_deletion):
        with suppress(*UNREADABLE):
            return decode(stored)
    return None


def outbox_kind_of(stored: bytes, placeholder: PlaceholderState, *, is_refused: bool = False) -> OutboxKind | None:
    """The outbox entry that a failed output needs for its placeholder. ``is_refused``: its job was, at intake."""
    output = for_failure(stored)
    if output is not None:
        return outbox_kind(output, placeholder, is_refused=is_refused)
    return "unreadable" if placeholder in ("written", "unknown") else None


class _DeletionRow(msgspec.Struct, frozen=True):
    """The fields that a deletion needs. All others are ignored."""

    destination: Destination
    on_failure: OnFailure


class _PictureRow(msgspec.Struct, frozen=True):
    """The fields that a failure picture needs."""

    destination: Destination
    size: Size
    recipe: "_FormatOfRecipe"
    on_failure: OnFailure = "error_image"


class _FormatOfRecipe(msgspec.Struct, frozen=True):
    output: "_FormatOfOutput"


class _FormatOfOutput(msgspec.Struct, frozen=True):
    format: Format
    quality: Quality | None = None


_decode_picture = msgspec.json.Decoder(_PictureRow).decode
_decode_deletion = msgspec.json.Decoder(_DeletionRow).decode


def _for_picture(stored: bytes) -> ResolvedOutput:
    row = _decode_picture(stored)
    options = Encode(row.recipe.output.format, row.recipe.output.quality)
    return _output(Recipe((), options), row.size, Placement(row.destination, Placeholder(), row.on_failure))


def _for_deletion(stored: bytes) -> ResolvedOutput:
    row = _decode_deletion(stored)
    if row.on_failure == "error_image":
        raise msgspec.ValidationError("the stored row lacks a field that a failure picture needs")
    placement = Placement(row.destination, Placeholder(), row.on_failure)
    return _output(Recipe((), Encode("png")), Size(1, 1), placement)
