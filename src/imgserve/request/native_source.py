"""The source of a native request: a URL, an object with one, or a picture that comes with the request, in; a checked
source out, and back.

Called by ``native_job`` and ``picture``.
"""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from imgserve.errors import FieldRef
from imgserve.request.access import (
    CredentialField,
    HeadersField,
    access_of,
    dump_access,
    misplaced,
)
from imgserve.request.faults import Fault, Faults
from imgserve.request.fields import check_names, fields_of, read_fields
from imgserve.request.native_destination import Url
from imgserve.request.sent import Inline, Upload, is_inline, parse_inline, parse_upload
from imgserve.request.source import Source, parse_source

AnySource = Source | Upload | Inline

UPLOAD_SCHEMA: dict[str, object] = {
    "type": "object", "required": ["upload"], "additionalProperties": False,
    "properties": {"upload": {"type": "string", "minLength": 1, "description": "the part of this form by its name"}},
}  # fmt: skip
_DIGEST = re.compile(r"sha256:([0-9A-Fa-f]{64})")


def _read_digest(value: object) -> str | None:
    digest = _DIGEST.fullmatch(value) if isinstance(value, str) else None
    return digest[1].lower() if digest else None


class SourceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The picture's place."""

    url: Annotated[Url, Meta(description="http, https, ftp, ftps, ftpes, file or s3")]
    headers: HeadersField = {}
    credential: CredentialField | None = None
    digest: (
        Annotated[
            str,
            Meta(
                description="of the picture: with other bytes the job fails",
                extra={"read": _read_digest, "expected": "sha256: and 64 hexadecimal digits"},
                extra_json_schema={"pattern": f"^{_DIGEST.pattern}$"},
            ),
        ]
        | None
    ) = None


_OF_URLS = fields_of(SourceBody)
_TWO_PLACES = ("contradicts ", FieldRef(("upload",)), "; give one of the two")


def parse_any_source(value: object, *, has_parts: bool) -> AnySource:
    """``has_parts``: whether the request has parts, of which one may be the picture.

    Raises RequestInvalid with all faults and paths from the source.
    """
    if not isinstance(value, dict):
        return parse_inline(str(value)) if is_inline(value) else parse_source(value)
    if "upload" not in value:
        return parse_source_body(value)
    faults = Faults(
        Fault("field_unknown", (name,), _TWO_PLACES if name == "url" else "belongs to a url")
        for name in value
        if name in _OF_URLS
    )
    check_names({name: one for name, one in value.items() if name not in _OF_URLS}, ("upload",), (), faults)
    upload = faults.attempt((), parse_upload, value["upload"], has_parts=has_parts)
    faults.raise_any()
    assert upload is not None
    return upload


def parse_source_body(value: dict[str, object]) -> Source:
    """Raises RequestInvalid with all faults and paths from the object."""
    faults = Faults()
    check_names(value, tuple(fields_of(SourceBody)), (), faults)
    options = read_fields({name: one for name, one in value.items() if name != "url"}, SourceBody, faults)
    source = faults.attempt(("url",), parse_source, value["url"]) if "url" in value else None
    if "url" not in value:
        faults.append(Fault("field_missing", ("url",), "this field is missing"))
    if source is not None:
        faults.extend(misplaced(options, source.url, "source"))
    faults.raise_any()
    assert source is not None
    digest = options.get("digest", msgspec.UNSET)
    return msgspec.structs.replace(source, access=access_of(options), digest=digest)


def dump_source(source: Source) -> str | dict[str, object]:
    """As ``parse_source_body`` reads it, or the URL alone. An upload by its part."""
    if source.is_upload:
        return {"upload": source.path}
    digest = {"digest": f"sha256:{source.digest}"} if source.digest else {}
    fields = {**dump_access(source.sends), **digest}
    return {"url": source.url, **fields} if fields else source.url
