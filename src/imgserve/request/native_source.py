"""The source of a native request: a URL, or an object with one, in; a checked ``Source`` out, and back.

Called by ``native_job`` and ``picture``.
"""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

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
from imgserve.request.source import Source, parse_source

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
    """As ``parse_source_body`` reads it, or the URL alone."""
    digest = {"digest": f"sha256:{source.digest}"} if source.digest else {}
    fields = {**dump_access(source.sends), **digest}
    return {"url": source.url, **fields} if fields else source.url
