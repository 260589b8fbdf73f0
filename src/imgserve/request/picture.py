"""A request for one picture: the JSON of ``/v1/render`` or ``/v1/info`` in, checked source and recipe out. No I/O."""

import base64
import binascii
import re
from collections.abc import Mapping

import msgspec

from imgserve.request.faults import Fault, Faults, RequestInvalid, beneath
from imgserve.request.fields import as_object, check_names
from imgserve.request.native import NO_PRESETS, parse_recipe
from imgserve.request.native_source import parse_source_body
from imgserve.request.recipe import Recipe
from imgserve.request.source import Source, parse_source

# Bytes that mean something else in quoted-printable; and a % that begins no escape, which stands for itself.
_ESCAPES = ((b"=", b"%3D"), (b"\n", b"%0A"), (b"\r", b"%0D"))
_STRAY = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Upload(msgspec.Struct, frozen=True):
    """A part of the same request, by its name."""

    part: str


class Inline(msgspec.Struct, frozen=True):
    """The bytes of a ``data:`` URL."""

    data: bytes


AnySource = Source | Upload | Inline


class PictureRequest(msgspec.Struct, frozen=True):
    source: AnySource
    recipe: Recipe


def parse_render(
    value: object, presets: Mapping[str, Recipe] = NO_PRESETS, *, presets_only: bool = False, has_parts: bool = False
) -> PictureRequest:
    """A source beside a recipe. ``has_parts``: the source may be a part of the request.

    Raises RequestInvalid with all faults, PresetsOnly.
    """
    fields, faults = as_object(value), Faults()
    source = faults.attempt((), _source_in, fields, has_parts=has_parts)
    recipe = faults.attempt((), parse_recipe, fields, presets, presets_only=presets_only, beside=("source",))
    faults.raise_any()
    assert source is not None
    assert recipe is not None
    return PictureRequest(source, recipe)


def parse_info(value: object, *, has_parts: bool = False) -> AnySource:
    """A source alone. Raises RequestInvalid."""
    fields, faults = as_object(value), Faults()
    check_names(fields, ("source",), (), faults)
    source = faults.attempt((), _source_in, fields, has_parts=has_parts)
    faults.raise_any()
    assert source is not None
    return source


def _source_in(fields: Mapping[str, object], *, has_parts: bool) -> AnySource:
    if "source" not in fields:
        raise RequestInvalid(Fault("field_missing", ("source",), "this field is missing"))
    with beneath("source"):
        return _source(fields["source"], has_parts=has_parts)


def _source(value: object, *, has_parts: bool) -> AnySource:
    if isinstance(value, str):
        return _inline(value) if value[:5].lower() == "data:" else parse_source(value)
    if not isinstance(value, dict):
        raise RequestInvalid(Fault("source_invalid", expected="a URL or an object", got=value))
    if "upload" not in value:
        return parse_source_body(value)
    faults = Faults()
    check_names(value, ("upload",), (), faults)
    faults.raise_any()
    return _upload(value["upload"], has_parts=has_parts)


def _upload(part: object, *, has_parts: bool) -> Upload:
    if not isinstance(part, str) or not part:
        raise RequestInvalid(Fault("source_invalid", ("upload",), "expected the name of a part, or a url beside it"))
    if not has_parts:
        note = "this request has no parts; send it as multipart/form-data, with this JSON in the part job"
        raise RequestInvalid(Fault("source_invalid", ("upload",), note))
    return Upload(part)


def _inline(text: str) -> Inline:
    """RFC 2397. The media type does not count: the bytes decide."""
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


def _unescaped(text: bytes) -> bytes:
    """Percent-decoded. Quoted-printable has the same escapes, but with ``=``, and its decoder is written in C."""
    for byte, escape in _ESCAPES:
        text = text.replace(byte, escape)
    return binascii.a2b_qp(_STRAY.sub(b"%25", text).replace(b"%", b"="))
