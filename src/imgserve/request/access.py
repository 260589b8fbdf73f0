"""What goes along with a request to another host: headers of the job's own, and a credential by its name.

The fields ``headers`` and ``credential`` of a source, a destination or a webhook in, an ``Access`` out, and back.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from imgserve.errors import Sentence
from imgserve.request import url
from imgserve.request.faults import Fault, Faults, RequestInvalid
from imgserve.request.json_text import PLAIN_NAME

MAX_HEADERS, MAX_HEADERS_BYTES = 20, 4_096
# What a bucket keeps with an object, and the prefix of metadata that mean nothing to the store.
OF_OBJECTS = frozenset({"cache-control", "content-disposition", "content-language"})
METADATA = "x-amz-meta-"
MAX_METADATA_BYTES = 1_900  # S3 takes 2,048, imgserve's marks among them

# Name and value, in the order given.
Headers = tuple[tuple[str, str], ...]

VALUE = re.compile(r"[!-~](?:[ !-~]*[!-~])?")  # of a header: visible ASCII, with spaces between

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
# Fields that frame the message, that imgserve sets, that forge where it comes from, or that log in.
_REFUSED = frozenset({
    "host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect",
    "cookie", "authorization", "forwarded",
})  # fmt: skip
_REFUSED_PREFIXES = ("proxy-", "x-forwarded-", "x-imgserve-", "webhook-")
_LOGINS = frozenset({"authorization", "cookie"})
_SCHEMA = {
    "type": "object", "maxProperties": MAX_HEADERS, "additionalProperties": {"type": "string", "minLength": 1},
}  # fmt: skip


class Access(msgspec.Struct, frozen=True, omit_defaults=True):
    """``credential`` is the name of one in the settings; empty for none. Header values are never logged or shown."""

    headers: Headers = ()
    credential: str = ""

    def __repr__(self) -> str:
        return "Access()"


NOTHING = Access()


def read_headers(value: object) -> Headers:
    """The headers of an object. No fault shows a value. Raises RequestInvalid."""
    if not isinstance(value, dict):
        raise RequestInvalid(Fault("field_invalid", note="expected an object of texts"))
    faults, names = Faults(), set[str]()
    if len(value) > MAX_HEADERS:
        faults.append(Fault("field_invalid", note=f"expected at most {MAX_HEADERS} headers, got {len(value)}"))
    for name, text in list(value.items())[:MAX_HEADERS]:
        path = (name,) if PLAIN_NAME.fullmatch(name) else ()  # a name is the sender's own, and may be a secret
        faults.extend(Fault("field_invalid", path, note, is_foreign=bool(path)) for note in _wrong(name, text, names))
        names.add(name.lower())
    size = sum(len(part.encode(errors="replace")) for pair in value.items() for part in pair if isinstance(part, str))
    if size > MAX_HEADERS_BYTES:
        note = f"expected at most {MAX_HEADERS_BYTES:,} bytes of names and values together, got {size:,}"
        faults.append(Fault("field_invalid", note=note))
    faults.raise_any()
    return tuple(value.items())


def _wrong(name: str, text: object, others: set[str]) -> Iterator[Sentence]:
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        yield "a header's name is no token: expected letters, digits, - and _"
    elif lower in _REFUSED or lower.startswith(_REFUSED_PREFIXES):
        yield "use a credential of the settings" if lower in _LOGINS else "imgserve alone sets this header"
    elif lower in others:
        yield "this header is given twice, in another case"
    if not isinstance(text, str) or not VALUE.fullmatch(text):
        yield "expected visible ASCII characters, with spaces between them"


def may_log_in(name: str) -> bool:
    """Whether a credential of the settings may go in the header of this name."""
    lower = name.lower()
    is_refused = lower in _REFUSED - {"authorization"} or lower.startswith(_REFUSED_PREFIXES)
    return _TOKEN.fullmatch(name) is not None and not is_refused


HeadersField = Annotated[
    Mapping[str, str],
    Meta(
        description=(
            "sent along, and shown nowhere: at most 20, and 4 KB. A redirect to another origin goes without them. None "
            "that frames the message, logs in, or forges where it comes from, as Host and Authorization"
        ),
        extra={"read": read_headers, "expected": "an object of texts"},
        extra_json_schema=_SCHEMA,
    ),
]
CredentialField = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,32}$",
        description="the name of one in the server's settings",
        extra={"expected": "the name of a credential: 1 to 32 letters, digits, - and _"},
    ),
]
FIELDS = ("headers", "credential")


def access_of(options: Mapping[str, Any]) -> Access | msgspec.UnsetType:
    """Of checked fields; UNSET if they ask for nothing."""
    access = Access(options.get("headers", ()), options.get("credential", ""))
    return msgspec.UNSET if access == NOTHING else access


def dump_access(access: Access) -> dict[str, object]:
    """The fields, without those that have their default."""
    fields = {"headers": dict(access.headers), "credential": access.credential}
    return {name: value for name, value in fields.items() if value}


def misplaced(options: Mapping[str, Any], text: str, noun: str) -> Iterator[Fault]:
    """The fields that a URL does not have, or that contradict its user name. ``noun``: source or destination."""
    protocol = url.protocol_of(text)
    if "headers" in options and not protocol.takes_headers:
        yield Fault("field_invalid", ("headers",), f"belongs to an http(s) {noun}")
    elif "headers" in options and protocol.has_bucket:
        yield from (Fault("field_invalid", ("headers",), note) for note in _not_kept(options["headers"], noun))
    if "credential" not in options:
        return
    if not protocol.takes_credential:
        yield Fault("field_invalid", ("credential",), f"belongs to an http(s) or s3 {noun}")
    elif _has_user(text):
        yield Fault("field_invalid", ("credential",), "the URL has a user name; leave one of the two out")


def _not_kept(headers: Headers, noun: str) -> Iterator[Sentence]:
    if noun == "source":
        yield "belongs to an http(s) source"
    elif not all(_is_kept(name.lower()) for name, _ in headers):
        yield "an object in a bucket takes Cache-Control, Content-Disposition, Content-Language and X-Amz-Meta-… alone"
    elif sum(len(name) + len(text) for name, text in headers if name.lower().startswith(METADATA)) > MAX_METADATA_BYTES:
        yield f"expected at most {MAX_METADATA_BYTES:,} bytes of X-Amz-Meta-…"


def _is_kept(name: str) -> bool:
    return name in OF_OBJECTS or (name.startswith(METADATA) and not name.startswith(f"{METADATA}imgserve-"))


def _has_user(text: str) -> bool:
    try:
        return bool(url.user_of(text))
    except url.UrlInvalid:  # which is a fault of its own
        return False
