"""The original protocol: the body of ``POST /`` in, a ``JobRequest`` or all of its faults out. For ``api/classic.py``.

Nothing is fetched or opened here. ``request.job.resolve`` makes the checks that need the picture.
"""

from collections.abc import Mapping
from typing import TypeVar, get_args
from urllib.parse import unquote

import msgspec

from imgserve.errors import FieldRef, Path, Sentence
from imgserve.request import formats, tags
from imgserve.request.classic.destination import HTTP_ARGS, parse_destination
from imgserve.request.classic.recipe import TYPES, operation_args, read_recipe, recipe_args, whole_arg_of
from imgserve.request.destination import DestinationTemplate
from imgserve.request.encode import Format
from imgserve.request.faults import Code, Fault, Faults, RequestInvalid
from imgserve.request.fields import check_names, fields_of, read_struct
from imgserve.request.job import JobRequest, OnFailure, OutputRequest, Placeholder
from imgserve.request.json_text import read_object
from imgserve.request.native import LATER, NO_PRESETS
from imgserve.request.recipe import Recipe
from imgserve.request.source import parse_source
from imgserve.request.tags import TagValues
from imgserve.request.values import did_you_mean, one_of, words_of

W = TypeVar("W", bound=str)

REQUIRED = ("operationType", "srcURL", "dstURL", "args")
OPTIONAL = ("placeholder", "on_failure")

_FORMATS: tuple[Format, ...] = get_args(Format)
_ON_FAILURES: tuple[OnFailure, ...] = get_args(OnFailure)
# Names that are taken, so that a client can learn that a later version has them.
_LATER: dict[str, Sentence] = dict.fromkeys(
    (*LATER, "if_exists", "pad", "strip", "webhook"), "not available in this version yet"
)

_SOURCE: Path = ("source",)
_OUTPUT: Path = ("outputs", 0)
_OPERATION: Path = (*_OUTPUT, "operations", 0)
_DESTINATION: Path = (*_OUTPUT, "destination")
_FORMAT = FieldRef((*_OUTPUT, "encode", "format"))
_OPERATION_IS = {name: FieldRef((*_OPERATION, "operation"), name) for name in TYPES}
# Args that stand in the wrong place, each with the reason.
_STRAYS = _LATER | {name: ("belongs to ", _OPERATION_IS[owner]) for owner in TYPES for name in operation_args(owner)}
_STRAYS |= dict.fromkeys(OPTIONAL, "stands beside args, not in it")


def is_job(value: Mapping[str, object]) -> bool:
    """Whether an object is meant as a job of this protocol: it has these keys, and one of the native API neither."""
    return "srcURL" in value and "dstURL" in value


def parse(body: bytes, presets: Mapping[str, Recipe] = NO_PRESETS, *, presets_only: bool = False) -> JobRequest:
    """A checked request. Raises ParseError, PresetsOnly, or RequestInvalid with all faults of the text."""
    request = read_object(body)
    faults = Faults()
    _check_keys(request, faults)
    args = _args(request, faults)
    operation_type = source = destination = None
    if "operationType" in request:
        name = request["operationType"]
        operation_type = faults.attempt(_OPERATION, _word, name, TYPES, "operation_unknown", "operation")
    if "srcURL" in request:
        source = faults.attempt(_SOURCE, parse_source, request["srcURL"])
    values = tags.trial_of(source)
    if "dstURL" in request:
        destination = faults.attempt(_DESTINATION, parse_destination, request["dstURL"], args, values)
    recipe = None
    if operation_type is not None and args is not None:
        recipe = faults.attempt(("args",), read_recipe, operation_type, args, presets, presets_only=presets_only)
        check_args(operation_type, args, faults)
    whole_arg = whole_arg_of(args or {})
    if source is not None and operation_type is not None:
        _check_source("" if whole_arg else operation_type, values.source_ext.lower(), faults)
    output_format = None
    if destination is not None:
        sent = args or {}
        named = recipe.encode.format if recipe else sent.get("format")
        place = FieldRef(("args", "preset")) if "preset" in sent and "format" not in sent else _FORMAT
        output_format = _format(destination, values, named, place, faults)
    placeholder = faults.attempt((*_OUTPUT, "placeholder"), _placeholder, request.get("placeholder", {}))
    on_failure = faults.attempt(_OUTPUT, _on_failure, request.get("on_failure", "error_image"), destination)
    if faults or not (source and destination and recipe and placeholder and on_failure):
        raise RequestInvalid(*faults)
    recipe = msgspec.structs.replace(recipe, encode=msgspec.structs.replace(recipe.encode, format=output_format))
    return JobRequest(source, (OutputRequest(recipe, destination, placeholder, on_failure),), whole_arg)


def check_args(operation_type: str | None, args: Mapping[str, object], faults: Faults) -> None:
    """Args that are unknown, that belong to the other operationType, or that a later version has."""
    strays = _STRAYS
    if whole := whole_arg_of(args):
        note = ("expected ", FieldRef(("args", whole)), " or it, not both; an operation of a list has such fields")
        strays = _STRAYS | {name: note for owner in TYPES for name in operation_args(owner)}
    check_names(args, (*recipe_args(operation_type), *HTTP_ARGS), ("args",), faults, strays)


def _check_keys(request: Mapping[str, object], faults: Faults) -> None:
    for key in REQUIRED:
        if key not in request:
            faults.append(Fault("key_missing", (key,), "this key is missing"))
    check_names(request, REQUIRED + OPTIONAL, (), faults, _LATER, noun="key")


def _args(request: Mapping[str, object], faults: Faults) -> dict[str, object] | None:
    args = request.get("args", {})
    if isinstance(args, dict):
        return args if "args" in request else None
    faults.append(Fault("args_invalid", ("args",), expected="an object", got=args))
    return None


def _word(value: object, words: tuple[W, ...], code: Code, name: str) -> W:
    if value not in words:
        raise RequestInvalid(Fault(code, (name,), did_you_mean(value, words), one_of(words), value))
    return value


def _check_source(operation_type: str, extension: str, faults: Faults) -> None:
    if extension in formats.OTHER_KINDS:
        note = "the extension is no picture's; give the picture's own URL, or one without an extension"
        faults.append(Fault("source_extension", _SOURCE, note))
    elif operation_type == "rasterize" and extension in formats.RASTER:
        instead = ("rasterize expects an SVG; for other pictures use ", _OPERATION_IS["resize"])
        faults.append(Fault("source_extension", _SOURCE, instead))


def _format(
    destination: DestinationTemplate, values: TagValues, value: object, place: FieldRef, faults: Faults
) -> Format | None:
    """The extension's format, else ``value``, that of args at this place, else None: the source's."""
    arg = value if value in _FORMATS else None
    extension = destination.fill(values).extension
    if not extension:
        return arg
    output_format = formats.FORMAT_OF_EXTENSION.get(extension.lower())
    if output_format is None:
        note: Sentence = _unwritable(destination, values, extension), "; give .jpg, or no extension and ", _FORMAT
        faults.append(Fault("format_not_writable", _DESTINATION, note))
    elif arg not in (None, output_format):
        note = f"{arg} contradicts the extension of ", FieldRef(_DESTINATION), f", which means {output_format}"
        faults.append(Fault("field_invalid", place.path, note))
    return output_format


def _unwritable(destination: DestinationTemplate, values: TagValues, extension: str) -> str:
    """An extension that came by a tag is the source's: then the destination is not at fault."""
    is_the_sources = unquote(extension).lower() == unquote(values.source_ext).lower()
    if not is_the_sources or "source_ext" not in destination.uses:
        listed = ", ".join(formats.FORMAT_OF_EXTENSION)
        return f"the extension is not a format that can be written; expected one of {listed}"
    if extension.lower() in formats.WELL_KNOWN:
        return f"the source's extension is {extension}, and {extension.upper()} cannot be written"
    return "the source's extension is not a format that can be written"


def _placeholder(value: object) -> Placeholder:
    fields = {"style": value} if isinstance(value, str) else value
    if not isinstance(fields, dict):
        styles = one_of(words_of(fields_of(Placeholder)["style"]))
        raise RequestInvalid(Fault("field_invalid", expected=f"an object or {styles}", got=value))
    return read_struct(fields, Placeholder, _LATER)


def _on_failure(value: object, destination: DestinationTemplate | None) -> OnFailure:
    word = _word(value, _ON_FAILURES, "field_invalid", "on_failure")
    if word == "delete" and destination is not None and not destination.can_delete:
        note = "a form or presigned URL cannot delete; use error_image"
        raise RequestInvalid(Fault("field_invalid", ("on_failure",), note))
    return word
