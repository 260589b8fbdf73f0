"""The destination of the original protocol: dstURL, and the args that choose between an upload form and a PUT.

Called by ``parse``. Paths of faults begin at the destination: () is dstURL, an arg's name is that arg.
"""

from collections.abc import Iterator, Mapping

import msgspec

from imgserve.errors import FieldRef, Sentence
from imgserve.request import tags, url
from imgserve.request.destination import DestinationTemplate, check_text
from imgserve.request.faults import Fault, Faults, RequestInvalid
from imgserve.request.source import check_scheme
from imgserve.request.tags import TagValues
from imgserve.request.values import is_text

HTTP_ARGS = ("field_name", "field_file", "method", "form_success", "content_type")


def parse_destination(
    value: object, args: Mapping[str, object] | None, values: TagValues = tags.EXAMPLE
) -> DestinationTemplate:
    """A template that is a place with these ``values``, which are known before the source is read.

    Raises RequestInvalid.
    """
    text = check_scheme(value, invalid="destination_invalid", unknown="destination_scheme_unknown")
    faults = Faults()
    kind = url.protocol_of(text).destination
    template = DestinationTemplate(kind, text) if kind else faults.attempt((), _http_template, text, args)
    faults.attempt((), check_text, text)
    if template is not None:
        faults.attempt((), template.fill, values)
    faults.raise_any()
    assert template is not None
    return template


def _http_template(text: str, posted: Mapping[str, object] | None) -> DestinationTemplate:
    faults, args = Faults(), posted or {}
    names = [name for name in ("field_name", "field_file") if name in args]
    fields = [field for name in names if (field := faults.attempt((name,), _field, args[name])) is not None]
    for name, note in _wrong_args(names, fields, args):
        faults.append(Fault("destination_field_invalid", (name,), note))
    if posted is not None and not names and "method" not in args:
        note = ("expected for an http(s) destination; or ", FieldRef(("method",), "PUT"), " for a plain upload")
        faults.append(Fault("destination_field_missing", ("field_name",), note))
    faults.raise_any()
    if not fields:
        return DestinationTemplate("put", text, has_no_type=True if "content_type" in args else msgspec.UNSET)
    return DestinationTemplate("form", text, fields[0], "redirect" if "form_success" in args else msgspec.UNSET)


def _wrong_args(names: list[str], fields: list[str], args: Mapping[str, object]) -> Iterator[tuple[str, Sentence]]:
    """The names of args that are wrong or contradict another, each with the reason."""
    if "method" in args and args["method"] != "PUT":
        yield "method", ('expected "PUT"; for an upload form leave it out and give ', FieldRef(("field_name",)))
    if len(set(fields)) > 1:
        yield "field_name", ("contradicts ", FieldRef(("field_file",)), "; give one of the two")
    if names and "method" in args:
        yield "method", ("contradicts ", FieldRef((names[0],)), "; PUT and an upload form exclude each other")
    if "form_success" in args and args["form_success"] != "redirect":
        yield "form_success", 'expected "redirect"; without it any 2xx, 301, 302 and 303 count as taken'
    if "form_success" in args and "method" in args:
        yield "form_success", "belongs to an upload form, which PUT is not"
    if "content_type" in args and (args["content_type"] != "none" or names):
        yield "content_type", 'expected "none", which a PUT knows, or nothing'


def _field(value: object) -> str:
    if not isinstance(value, str) or not value or not is_text(value):
        note = "expected the name of the form's file field as text"
        raise RequestInvalid(Fault("destination_field_invalid", note=note))
    return value
