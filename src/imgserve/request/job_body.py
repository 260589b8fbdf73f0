"""The fields of a native job's JSON. ``native_job`` reads it; descriptions of the API are made from these Structs.

The parts of a recipe stand in an output, as ``native`` reads them.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from imgserve.request.encode import Encode
from imgserve.request.faults import Fault, Faults, RequestInvalid
from imgserve.request.instant import EXPECTED, read_instant
from imgserve.request.job import IfExists, OnFailure, Placeholder, PlaceholderStyle, Priority
from imgserve.request.json_text import PLAIN_NAME
from imgserve.request.native_destination import DestinationBody, Url
from imgserve.request.native_source import UPLOAD_SCHEMA, SourceBody
from imgserve.request.native_webhook import WebhookBody
from imgserve.request.recipe import MAX_OPERATIONS, LoadOptions, Operation
from imgserve.request.values import is_text

MAX_OUTPUTS = 50
MAX_METADATA, MAX_METADATA_BYTES = 50, 4_096
_NAME = r"^[A-Za-z0-9_-]{1,64}$"
_WHITE = dict.fromkeys(map(ord, "\n\t"))
_METADATA_SCHEMA = {
    "type": "object", "maxProperties": MAX_METADATA, "additionalProperties": {"type": "string"},
}  # fmt: skip


def read_metadata(value: object) -> Mapping[str, str]:
    """Texts may hold ends of lines and tabs. Raises RequestInvalid."""
    if not isinstance(value, dict):
        raise RequestInvalid(Fault("field_invalid", expected="an object of texts", got=value))
    faults = Faults()
    if len(value) > MAX_METADATA:
        faults.append(Fault("field_invalid", (), f"expected at most {MAX_METADATA} keys, got {len(value)}"))
    for key, text in list(value.items())[:MAX_METADATA]:
        if not is_text(key):
            faults.append(Fault("field_invalid", (), "a key holds control characters"))
        if not isinstance(text, str) or not is_text(text.translate(_WHITE)):
            # A key is the sender's own, and may be a secret.
            path = (key,) if PLAIN_NAME.fullmatch(key) else ()
            faults.append(Fault("field_invalid", path, "", "printable text", text, is_foreign=bool(path)))
    size = sum(len(text.encode(errors="replace")) for pair in value.items() for text in pair if isinstance(text, str))
    if size > MAX_METADATA_BYTES:
        note = f"expected at most {MAX_METADATA_BYTES:,} bytes of keys and texts together, got {size:,}"
        faults.append(Fault("field_invalid", (), note))
    faults.raise_any()
    return value


class PlaceholderBody(Placeholder, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The picture that is shown until the result is there."""

    if_exists: Annotated[
        IfExists,
        Meta(description="keep: a file that lies there and is not imgserve's stays until the result comes"),
    ] = "replace"


class OutputBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One result: a recipe, which is the picture as it is if nothing is asked for, and a destination."""

    name: Annotated[
        str,
        Meta(
            pattern=_NAME, description="unique in the job; the output's index if not given",
            extra={"expected": "1 to 64 letters, digits, - and _"},
        ),
    ] | None = None  # fmt: skip
    preset: (
        Annotated[str, Meta(description="in place of operations", extra={"expected": "the name of a preset"})] | None
    ) = None
    operations: Annotated[
        tuple[Operation, ...], Meta(max_length=MAX_OPERATIONS, description="carried out in this order")
    ] = ()
    load: Annotated[LoadOptions, Meta(description="how the source is read")] = LoadOptions()
    encode: Annotated[Encode, Meta(description="how the result is written")] = Encode()
    destination: Annotated[Url | DestinationBody, Meta(description="where the result belongs")]
    placeholder: Annotated[
        PlaceholderStyle | PlaceholderBody, Meta(description="what is shown until the result is there")
    ] = "text"
    on_failure: Annotated[
        OnFailure,
        Meta(description="what becomes of the placeholder if the output fails; delete not at forms and presigned URLs"),
    ] = "error_image"


class JobBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A job: one source, and from 1 to 50 results of it."""

    source: Annotated[
        Url | SourceBody,
        Meta(
            description="the picture: a URL, a `data:` URL, or in a form the name of the part that is the picture",
            extra_json_schema={
                "oneOf": [{"type": "string"}, {"$ref": "#/components/schemas/SourceBody"}, UPLOAD_SCHEMA],
            },
        ),
    ]
    outputs: Annotated[
        tuple[OutputBody, ...], Meta(min_length=1, max_length=MAX_OUTPUTS, description="the results, from 1 to 50")
    ]
    priority: Annotated[Priority, Meta(description="among your own jobs")] = "normal"
    not_before: Annotated[
        str,
        Meta(
            description="nothing but placeholders is written before; at most 7 days ahead, RFC 3339",
            extra={"read": read_instant, "expected": EXPECTED},
            extra_json_schema={"format": "date-time"},
        ),
    ] | None = None  # fmt: skip
    deadline_s: (
        Annotated[
            float, Meta(ge=60, le=604_800, description="seconds from not_before, else from acceptance; then it fails")
        ]
        | None
    ) = None
    metadata: Annotated[
        Mapping[str, str],
        Meta(
            description="your own, at most 50, and 4 KB with their keys; shown in every answer, and in no log",
            extra={"read": read_metadata, "expected": "an object of texts"},
            extra_json_schema=_METADATA_SCHEMA,
        ),
    ] = {}  # fmt: skip
    webhook: Annotated[Url | WebhookBody | None, Meta(description="is told how the job ends; http or https")] = None


OPTIONS_OF_JOB = ("priority", "not_before", "deadline_s", "metadata")
OPTIONS_OF_OUTPUT = ("name", "on_failure")
BESIDE_RECIPE = (*OPTIONS_OF_OUTPUT, "destination", "placeholder")
