"""What rows hold as JSON, and the request as it is digested: Structs of this module alone, so that code can be renamed
and no row changes.

A field is only added, with a default. Another meaning needs a higher ``FORMAT``, and a step of the schema that rewrites
the rows. A row that cannot be read must not hold up other jobs. Its placeholder is still replaced if place, size,
format and ``on_failure`` can be read.
"""

import hashlib
from typing import Annotated, Literal

import msgspec

from imgserve.jobs.model import OutboxKind, PlaceholderState
from imgserve.jobs.rules import owed
from imgserve.request.destination import Destination, DestinationTemplate, FormSuccess
from imgserve.request.geometry import Gravity, Side
from imgserve.request.imageinfo import ImageInfo, Size, SourceFormat
from imgserve.request.job import JobRequest, OnFailure, OutputRequest, Placeholder, Placement, ResolvedOutput
from imgserve.request.operations.rasterize import Dpi, Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.protocols import DestinationKind, SchemeName
from imgserve.request.recipe import Format, LoadOptions, Operation, OutputOptions, Quality, Recipe
from imgserve.request.rendering import Rendering
from imgserve.request.source import Source

FORMAT = 1
# Rows of earlier versions have no number; they are of format 1. A higher one than this version's is not read.
FormatNumber = Annotated[int, msgspec.Meta(ge=1, le=FORMAT)]
FORMAT_NAME = "$format"

# A text that is nested too deep is no error of the decoder's.
UNREADABLE = (msgspec.DecodeError, RecursionError)


class _Source(msgspec.Struct, frozen=True):
    url: str
    scheme: SchemeName
    host: str
    port: int
    path: str


class _SourceRow(_Source, frozen=True):
    format: FormatNumber = msgspec.field(default=FORMAT, name=FORMAT_NAME)


class _InfoRow(msgspec.Struct, frozen=True):
    picture: SourceFormat = msgspec.field(name="format")
    width_px: float
    height_px: float
    frames: int = 1
    format: FormatNumber = msgspec.field(default=FORMAT, name=FORMAT_NAME)


class _Resize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="operation", tag="resize"):
    width: Side | None = None
    height: Side | None = None
    fit: Literal["cover"] = "cover"
    gravity: Gravity = "center"
    enlarge: bool = False


class _Rasterize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="operation", tag="rasterize"):
    width: Side | None = None
    height: Side | None = None
    fit: Literal["contain", "fill"] = "contain"
    dpi: Dpi = 72.0


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Format | None = None
    quality: Quality | None = None
    background: str = "#ffffff"


class _Load(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    strict: bool = True


class _Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    operations: tuple[_Resize | _Rasterize, ...]
    output: _Written = _Written()
    load: _Load = _Load()


class _Size(msgspec.Struct, frozen=True):
    width_px: int
    height_px: int


class _Destination(msgspec.Struct, frozen=True):
    kind: DestinationKind
    shown: str
    url: str
    host: str
    port: int
    path: str
    key: str
    name: str = ""
    field: str = ""
    form_success: FormSuccess = "any"
    has_no_type: bool = False


class _Placeholder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    style: Literal["text", "solid", "none"] = "text"
    color: str = "#8c8c8c"
    text: str = "Image being processed"


class _OutputRow(msgspec.Struct, frozen=True):
    recipe: _Recipe
    size: _Size
    destination: _Destination
    placeholder: _Placeholder
    on_failure: OnFailure
    format: FormatNumber = msgspec.field(default=FORMAT, name=FORMAT_NAME)


_encode = msgspec.json.Encoder().encode
_decode_source = msgspec.json.Decoder(_SourceRow).decode
_decode_info = msgspec.json.Decoder(_InfoRow).decode
_decode_output = msgspec.json.Decoder(_OutputRow).decode


def encode_source(source: Source) -> bytes:
    return _encode(_SourceRow(source.url, source.scheme, source.host, source.port, source.path))


def encode_info(info: ImageInfo) -> bytes:
    return _encode(_InfoRow(info.format, info.width_px, info.height_px, info.frames))


def encode_output(output: ResolvedOutput) -> bytes:
    rendering, place = output.rendering, output.placement.destination
    return _encode(
        _OutputRow(
            _stored_recipe(rendering.recipe),
            _Size(rendering.size.width_px, rendering.size.height_px),
            _Destination(
                place.kind, place.shown, place.url, place.host, place.port, place.path, place.key, place.name,
                place.field, place.form_success, place.has_no_type,
            ),
            _stored_placeholder(output.placement.placeholder),
            output.placement.on_failure,
        )
    )  # fmt: skip


def decode_source(stored: bytes) -> Source:
    """Raises one of UNREADABLE, as the other decoders do."""
    row = _decode_source(stored)
    return Source(row.url, row.scheme, row.host, row.port, row.path)


def decode_info(stored: bytes) -> ImageInfo:
    row = _decode_info(stored)
    return ImageInfo(row.picture, row.width_px, row.height_px, row.frames)


def decode_output(stored: bytes) -> ResolvedOutput:
    row = _decode_output(stored)
    written = OutputOptions(row.recipe.output.format, row.recipe.output.quality, row.recipe.output.background)
    recipe = Recipe(tuple(map(_operation, row.recipe.operations)), written, LoadOptions(row.recipe.load.strict))
    placeholder = Placeholder(row.placeholder.style, row.placeholder.color, row.placeholder.text)
    return _output(recipe, row.size, Placement(_destination(row.destination), placeholder, row.on_failure))


def _output(recipe: Recipe, size: _Size, placement: Placement) -> ResolvedOutput:
    if recipe.output.format is None:
        raise msgspec.ValidationError("the stored recipe names no format")
    rendering = Rendering(recipe, Size(size.width_px, size.height_px), recipe.output.format)
    return ResolvedOutput(rendering, placement)


def _operation(stored: _Resize | _Rasterize) -> Operation:
    if isinstance(stored, _Resize):
        return Resize(stored.width, stored.height, stored.fit, stored.gravity, stored.enlarge)
    return Rasterize(stored.width, stored.height, stored.fit, stored.dpi)


def _destination(stored: _Destination) -> Destination:
    return Destination(
        stored.kind, stored.shown, stored.url, stored.host, stored.port, stored.path, stored.key, stored.name,
        stored.field, stored.form_success, stored.has_no_type,
    )  # fmt: skip


def _stored_recipe(recipe: Recipe) -> _Recipe:
    written = recipe.output
    return _Recipe(
        tuple(map(_stored_operation, recipe.operations)),
        _Written(written.format, written.quality, written.background),
        _Load(recipe.load.strict),
    )


def _stored_operation(asked: Operation) -> _Resize | _Rasterize:
    if isinstance(asked, Resize):
        return _Resize(asked.width, asked.height, asked.fit, asked.gravity, asked.enlarge)
    return _Rasterize(asked.width, asked.height, asked.fit, asked.dpi)


def _stored_placeholder(placeholder: Placeholder) -> _Placeholder:
    return _Placeholder(placeholder.style, placeholder.color, placeholder.text)


class _Template(msgspec.Struct, frozen=True):
    kind: DestinationKind
    shown: str
    field: str = ""
    form_success: Literal["redirect"] | msgspec.UnsetType = msgspec.UNSET
    has_no_type: Literal[True] | msgspec.UnsetType = msgspec.UNSET


class _AskedOutput(msgspec.Struct, frozen=True):
    recipe: _Recipe
    destination: _Template
    placeholder: _Placeholder
    on_failure: OnFailure


class _Asked(msgspec.Struct, frozen=True):
    source: _Source
    outputs: tuple[_AskedOutput, ...]


def digest_of(principal: str, request: JobRequest) -> bytes:
    """Names caller and request, so that a repeated POST finds the job whose answer was lost; by any version."""
    source = request.source
    asked = _Asked(
        _Source(source.url, source.scheme, source.host, source.port, source.path),
        tuple(map(_asked_output, request.outputs)),
    )
    return hashlib.blake2b(_encode((principal, asked)), digest_size=16).digest()


def _asked_output(output: OutputRequest) -> _AskedOutput:
    return _AskedOutput(
        _stored_recipe(output.recipe),
        _asked_template(output.destination),
        _stored_placeholder(output.placeholder),
        output.on_failure,
    )


def _asked_template(place: DestinationTemplate) -> _Template:
    return _Template(place.kind, place.shown, place.field, place.form_success, place.has_no_type)


def for_failure(stored: bytes) -> ResolvedOutput | None:
    """The output as far as a failure picture needs it; None when too little can be read."""
    try:
        return decode_output(stored)
    except UNREADABLE:
        return _salvaged(stored)


def owed_by(stored: bytes, placeholder: PlaceholderState) -> OutboxKind | None:
    """What a failed output owes for its placeholder."""
    output = for_failure(stored)
    if output is not None:
        return owed(output, placeholder)
    return "unreadable" if placeholder in ("written", "unknown") else None


class _Parts(msgspec.Struct, frozen=True):
    """The fields that a failure picture needs. All others are ignored."""

    destination: _Destination
    size: _Size
    recipe: "_RecipeParts"
    on_failure: OnFailure = "error_image"


class _RecipeParts(msgspec.Struct, frozen=True):
    output: "_WrittenParts"


class _WrittenParts(msgspec.Struct, frozen=True):
    format: Format
    quality: Quality | None = None


class _Deleted(msgspec.Struct, frozen=True):
    """The least that a deletion needs."""

    destination: _Destination
    on_failure: OnFailure


_decode_parts = msgspec.json.Decoder(_Parts).decode
_decode_deleted = msgspec.json.Decoder(_Deleted).decode


def _salvaged(stored: bytes) -> ResolvedOutput | None:
    try:
        parts = _decode_parts(stored)
    except UNREADABLE:
        return _deletion(stored)
    options = OutputOptions(format=parts.recipe.output.format, quality=parts.recipe.output.quality)
    placement = Placement(_destination(parts.destination), Placeholder(), parts.on_failure)
    return _output(Recipe((), options), parts.size, placement)


def _deletion(stored: bytes) -> ResolvedOutput | None:
    try:
        parts = _decode_deleted(stored)
    except UNREADABLE:
        return None
    if parts.on_failure == "error_image":
        return None
    placement = Placement(_destination(parts.destination), Placeholder(), parts.on_failure)
    return _output(Recipe((), OutputOptions(format="png")), _Size(1, 1), placement)
