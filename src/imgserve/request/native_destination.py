"""The destination of an output of a native job: a URL, or an object with one, and back. Called by ``native_job``.

An http(s) destination is written by PUT. With ``method`` POST, or a ``field_name``, it is an upload form: the URL of
its page, a colon, and the name of the file.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from imgserve.errors import FieldRef, Path, Sentence
from imgserve.request import tags, url
from imgserve.request.access import (
    FIELDS,
    CredentialField,
    HeadersField,
    access_of,
    dump_access,
    misplaced,
)
from imgserve.request.destination import DestinationTemplate, check_text
from imgserve.request.faults import Fault, Faults, beneath
from imgserve.request.fields import check_names, fields_of, read_fields
from imgserve.request.protocols import WRITING, DestinationKind
from imgserve.request.source import check_scheme
from imgserve.request.tags import TagValues
from imgserve.request.values import is_text

Url = Annotated[str, Meta(extra={"expected": "a URL"})]
DEFAULT_FIELD = "file"
_LONGEST_FIELD = 200
_FORM = FieldRef(("method",), "POST")


def _read_field(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_FIELD and is_text(value) else None


class DestinationBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A destination that needs more than its URL."""

    url: Annotated[Url, Meta(description="may hold tags behind the host; of a form: page, colon, file name")]
    method: Annotated[
        Literal["PUT", "POST"] | None,
        Meta(description="of an http(s) URL; POST: an upload form. PUT if neither it nor `field_name` is given"),
    ] = None
    field_name: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=_LONGEST_FIELD,
                description="the form's file field, `file` if not given",
                extra={"read": _read_field, "expected": "the name of the form's file field"},
            ),
        ]
        | None
    ) = None
    form_success: Annotated[
        Literal["redirect"] | None, Meta(description="of a form: 301, 302 and 303 alone count as taken")
    ] = None
    content_type: Annotated[Literal["none"] | None, Meta(description="of a PUT: it goes without Content-Type")] = None
    headers: HeadersField = {}
    credential: CredentialField | None = None


def parse_destination(value: object, values: TagValues) -> DestinationTemplate:
    """A template that is a place with these ``values``, which are known before the source is read.

    Raises RequestInvalid with paths from the destination.
    """
    if not isinstance(value, dict):
        return _template(value, (), {}, values)
    faults = Faults()
    check_names(value, tuple(fields_of(DestinationBody)), (), faults)
    options = read_fields({name: one for name, one in value.items() if name != "url"}, DestinationBody, faults)
    if "field_name" in value:
        options.setdefault("field_name", DEFAULT_FIELD)  # a form, though its field is at fault
    template = None
    if "url" in value:
        template = faults.attempt((), _template, value["url"], ("url",), options, values)
    else:
        faults.append(Fault("field_missing", ("url",), "this field is missing"))
    faults.raise_any()
    assert template is not None
    return template


def dump_destination(template: DestinationTemplate) -> str | dict[str, object]:
    """As ``parse_destination`` reads it."""
    is_form = WRITING[template.kind].is_page
    body = DestinationBody(
        template.shown,
        "POST" if is_form else None,
        template.field or None,
        template.form_success or None,
        "none" if template.has_no_type else None,
    )
    fields: dict[str, object] = msgspec.to_builtins(body) | dump_access(template.sends)
    return template.shown if len(fields) == 1 else fields


def _template(value: object, at: Path, options: Mapping[str, Any], values: TagValues) -> DestinationTemplate:
    """``at`` is the path of the URL."""
    with beneath(*at):
        text = check_scheme(value, invalid="destination_invalid", unknown="destination_scheme_unknown")
    kind = url.protocol_of(text).destination
    is_form = kind is None and (options.get("method") == "POST" or "field_name" in options)
    own = {name: value for name, value in options.items() if name not in FIELDS}
    faults = Faults(Fault("field_invalid", (name,), note) for name, note in _wrong(kind, own, is_form=is_form))
    faults.extend(misplaced(options, text, "destination"))
    template = DestinationTemplate(
        kind or ("form" if is_form else "put"),
        text,
        options.get("field_name", DEFAULT_FIELD) if is_form else "",
        options.get("form_success", msgspec.UNSET),
        True if "content_type" in options else msgspec.UNSET,
        "v1",
        access_of(options),
    )
    faults.attempt(at, check_text, text, tags.NATIVE)
    faults.attempt(at, template.fill, values)
    faults.raise_any()
    return template


def _wrong(
    kind: DestinationKind | None, options: Mapping[str, object], *, is_form: bool
) -> Iterator[tuple[str, Sentence]]:
    """The fields that the URL does not have, or that contradict another, each with the reason."""
    if kind is not None:
        yield from ((name, "belongs to an http(s) destination") for name in options)
    elif not is_form and "form_success" in options:
        yield "form_success", ("belongs to an upload form; set ", _FORM)
    elif is_form:
        if options.get("method") == "PUT":
            yield "field_name", ("belongs to an upload form; set ", _FORM, ", or leave it out")
        if "content_type" in options:
            yield "content_type", "belongs to a PUT, which an upload form is not"
