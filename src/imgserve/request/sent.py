"""Pictures that come with their request: a part of a form by its name, or the bytes of a ``data:`` URL. No I/O.

Called by ``picture`` and ``native_job``.
"""

import base64
import binascii
import re

import msgspec

from imgserve.request.faults import Fault, RequestInvalid

# Bytes that mean something else in quoted-printable; and a % that begins no escape, which stands for itself.
_ESCAPES = ((b"=", b"%3D"), (b"\n", b"%0A"), (b"\r", b"%0D"))
_STRAY = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Upload(msgspec.Struct, frozen=True):
    """A part of the same request, by its name."""

    part: str


class Inline(msgspec.Struct, frozen=True):
    """The bytes of a ``data:`` URL."""

    data: bytes


def is_inline(value: object) -> bool:
    return isinstance(value, str) and value[:5].lower() == "data:"


def parse_upload(part: object, *, has_parts: bool) -> Upload:
    """``has_parts``: whether the request has any. Raises RequestInvalid with a path from the source."""
    if not isinstance(part, str) or not part:
        raise RequestInvalid(Fault("source_invalid", ("upload",), "expected the name of a part"))
    if not has_parts:
        note = "this request has no parts; send it as multipart/form-data, with this JSON in the part job"
        raise RequestInvalid(Fault("source_invalid", ("upload",), note))
    return Upload(part)


def parse_inline(text: str) -> Inline:
    """RFC 2397. The media type does not count: the bytes decide. Raises RequestInvalid."""
    head, comma, escaped = text.partition(",")
    if not comma:
        raise RequestInvalid(Fault("source_invalid", note="expected data:image/png;base64,…"))
    try:
        data = _unescaped(escaped.encode())
    except UnicodeEncodeError:
        raise RequestInvalid(Fault("source_invalid", note="half of a surrogate pair is no text")) from None
    if not head.lower().endswith(";base64"):
        return Inline(data)
    try:
        return Inline(base64.b64decode(data, validate=True))
    except binascii.Error:
        raise RequestInvalid(Fault("source_invalid", note="expected base64 behind the comma")) from None


def dump_inline(data: bytes) -> str:
    return f"data:;base64,{base64.b64encode(data).decode()}"


def _unescaped(text: bytes) -> bytes:
    """Percent-decoded. Quoted-printable has the same escapes, but with ``=``, and its decoder is written in C."""
    for byte, escape in _ESCAPES:
        text = text.replace(byte, escape)
    return binascii.a2b_qp(_STRAY.sub(b"%25", text).replace(b"%", b"="))
