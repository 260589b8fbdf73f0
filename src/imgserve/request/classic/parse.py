"""The original protocol: the body of ``POST /`` in, a ``JobRequest`` or all of its faults out. For ``api/classic.py``.

Nothing is fetched or opened here. ``request.job.resolve`` makes the checks that need the picture.
"""

import codecs
import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeVar, get_args
from urllib.parse import unquote

import msgspec

from imgserve.errors import FieldRef, Path, Sentence
from imgserve.request import formats, tags
from imgserve.request.classic.destination import HTTP_ARGS, parse_destination
from imgserve.request.destination import DestinationTemplate
from imgserve.request.faults import Code, Fault, Faults, RequestInvalid
from imgserve.request.fields import did_you_mean, fields_of, one_of, read_struct, words_of
from imgserve.request.job import JobRequest, OnFailure, OutputRequest, Placeholder
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Format, LoadOptions, OutputOptions, Recipe
from imgserve.request.source import parse_source
from imgserve.request.tags import TagValues

W = TypeVar("W", bound=str)

REQUIRED = ("operationType", "srcURL", "dstURL", "args")
OPTIONAL = ("placeholder", "on_failure")
OPERATIONS: dict[str, type[Resize] | type[Rasterize]] = {"resize": Resize, "rasterize": Rasterize}


class Enlarging(msgspec.Struct, frozen=True):
    """An arg of resize that the native recipe spells ``if_small``."""

    enlarge: bool = False


_FORMATS: tuple[Format, ...] = get_args(Format)
_ON_FAILURES: tuple[OnFailure, ...] = get_args(OnFailure)
_NOT_YET = frozenset({
    "blur", "brightness", "chroma", "contrast", "crop", "dpr", "effort", "extend", "flatten", "flip", "flop", "focal",
    "frames", "gamma", "grayscale", "hue", "if_exists", "kernel", "lossless", "mask", "max_bytes", "metadata",
    "modulate", "orient", "pad", "page", "pixelate", "progressive", "rotate", "round", "saturation", "scale",
    "sharpen", "strip", "text", "tint", "trim", "watermark", "webhook",
})  # fmt: skip

_SOURCE: Path = ("source",)
_OUTPUT: Path = ("outputs", 0)
_OPERATION: Path = (*_OUTPUT, "operations", 0)
_DESTINATION: Path = (*_OUTPUT, "destination")
_FORMAT = FieldRef((*_OUTPUT, "encode", "format"))
_OPERATION_IS = {name: FieldRef((*_OPERATION, "operation"), name) for name in OPERATIONS}
# Args that stand in the wrong place, each with the reason.
_STRAYS: dict[str, Sentence] = {
    name: ("belongs to ", _OPERATION_IS[owner]) for owner, struct in OPERATIONS.items() for name in fields_of(struct)
}
_STRAYS["enlarge"] = ("belongs to ", _OPERATION_IS["resize"])
_STRAYS |= dict.fromkeys(OPTIONAL, "stands beside args, not in it")

# Bounds the time and the reply that a body full of unknown names can cost.
_MOST_NAMED = 10
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")


_KINDS: dict[type, str] = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}


class ParseError(Exception):
    """The body is no JSON object: empty, cut off, not UTF-8, a key twice, NaN, or nested too deeply.

    The message says where, and repeats nothing of the body but plain names.
    """


def parse(body: bytes) -> JobRequest:
    """A checked request. Raises ParseError, or RequestInvalid with all faults of the text."""
    request = _json_object(body)
    faults = Faults()
    _check_keys(request, faults)
    args = _args(request, faults)
    operation_type = source = destination = None
    if "operationType" in request:
        name, words = request["operationType"], tuple(OPERATIONS)
        operation_type = faults.attempt(_OPERATION, _word, name, words, "operation_unknown", "operation")
    if "srcURL" in request:
        source = faults.attempt(_SOURCE, parse_source, request["srcURL"])
    values = tags.trial_of(source)
    if "dstURL" in request:
        destination = faults.attempt(_DESTINATION, parse_destination, request["dstURL"], args, values)
    recipe = _recipe(operation_type, args, faults)
    if source is not None and operation_type is not None:
        _check_source(operation_type, values.ext.lower(), faults)
    output_format = None
    if destination is not None:
        output_format = _format(destination, values, (args or {}).get("format"), faults)
    placeholder = faults.attempt((*_OUTPUT, "placeholder"), _placeholder, request.get("placeholder", {}))
    on_failure = faults.attempt(_OUTPUT, _on_failure, request.get("on_failure", "error_image"), destination)
    if faults or not (source and destination and recipe and placeholder and on_failure):
        raise RequestInvalid(*faults)
    recipe = msgspec.structs.replace(recipe, output=msgspec.structs.replace(recipe.output, format=output_format))
    return JobRequest(source, (OutputRequest(recipe, destination, placeholder, on_failure),))


def _json_object(body: bytes) -> dict[str, object]:
    if not body.strip():
        raise ParseError("the body is empty, expected a JSON object")
    if body.startswith(codecs.BOM_UTF8):
        raise ParseError("the body begins with a byte order mark, expected JSON without one: save it as plain UTF-8")
    try:
        decoded: object = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ParseError(f"the body is not UTF-8 (byte {error.start + 1:,}), expected JSON in UTF-8") from None
    except json.JSONDecodeError as error:
        raise ParseError(f"the body is not JSON: line {error.lineno}, column {error.colno}: {_reason(error)}") from None
    except RecursionError:
        raise ParseError("the body is nested too deeply, expected a job") from None
    except ValueError as error:
        raise ParseError(f"the body is not JSON: {error}") from None
    if not isinstance(decoded, dict):
        raise ParseError(f"the body is {_KINDS.get(type(decoded), 'a number')}, expected a JSON object")
    return decoded


def _reason(error: json.JSONDecodeError) -> str:
    """The JSON parser's reason, without the text at that place, and whether the body ends there."""
    reason = error.msg[:1].lower() + error.msg[1:]
    reason = reason.removesuffix(" at") if reason.endswith(" at") else reason
    return f"{reason}, but the body ends" if error.pos >= len(error.doc.rstrip()) else reason


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Readers differ in which value of a doubled key they take; the checked value must be the one that is used.
    decoded = dict(pairs)
    if len(decoded) != len(pairs):
        names = [key for key, _ in pairs]
        name = next(key for key in names if names.count(key) > 1)
        raise ValueError(f'the key "{name}" appears twice' if _PLAIN_NAME.fullmatch(name) else "a key appears twice")
    return decoded


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _check_keys(request: Mapping[str, object], faults: Faults) -> None:
    for key in REQUIRED:
        if key not in request:
            faults.append(Fault("key_missing", (key,), "this key is missing"))
    _check_names("key", request, REQUIRED + OPTIONAL, (), faults)


def _check_names(
    noun: Literal["key", "field"],
    fields: Mapping[str, object],
    expected: tuple[str, ...],
    path: Path,
    faults: Faults,
    strays: Mapping[str, Sentence] = MappingProxyType({}),
) -> None:
    """Names that are unknown, or among ``strays``, each of which has its reason."""
    code: Code = "key_unknown" if noun == "key" else "field_unknown"
    whole = ("args",) if path else path
    names = [name for name in fields if name not in expected]
    for name in names[:_MOST_NAMED]:
        near = did_you_mean(name, expected)
        if not _PLAIN_NAME.fullmatch(name):
            faults.append(Fault(code, whole, f"a {noun}'s name is unknown"))
        elif name in strays:
            faults.append(Fault(code, (*path, name), strays[name]))
        elif name in _NOT_YET:
            faults.append(Fault(code, (*path, name), "not available in this version yet"))
        else:
            faults.append(Fault(code, (*path, name), f"unknown{near}", is_foreign=not near))
    if len(names) > _MOST_NAMED:
        faults.append(Fault(code, whole, f"{len(names) - _MOST_NAMED} more {noun}s are unknown"))


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


def _recipe(name: str | None, args: dict[str, object] | None, faults: Faults) -> Recipe | None:
    if name is None or args is None:
        return None
    operation = read_struct(args, OPERATIONS[name], _OPERATION, faults)
    if isinstance(operation, Resize):
        operation = _with_enlarge(operation, args, faults)
    output = read_struct(args, OutputOptions, (*_OUTPUT, "encode"), faults)
    load = read_struct(args, LoadOptions, (*_OUTPUT, "load"), faults)
    if "width" not in args and "height" not in args:
        width, height = (FieldRef((*_OPERATION, side)) for side in ("width", "height"))
        faults.append(Fault("size_missing", width.path, (f"{name} needs ", width, ", ", height, " or both")))
    own = fields_of(Enlarging) if name == "resize" else {}
    names = (*fields_of(OPERATIONS[name]), *own, *fields_of(OutputOptions), *fields_of(LoadOptions), *HTTP_ARGS)
    _check_names("field", args, names, _OPERATION, faults, _STRAYS)
    return Recipe((operation,), output, load) if operation and output and load else None


def _with_enlarge(operation: Resize, args: Mapping[str, object], faults: Faults) -> Resize | None:
    """``enlarge`` is the protocol's word of before ``if_small``; without either a small source is refused."""
    enlarging = read_struct(args, Enlarging, _OPERATION, faults)
    if enlarging is None or "if_small" in args:
        if "enlarge" in args and enlarging is not None:
            note = ("contradicts ", FieldRef((*_OPERATION, "if_small")), "; give one of the two")
            faults.append(Fault("field_invalid", (*_OPERATION, "enlarge"), note))
        return operation
    return msgspec.structs.replace(operation, if_small="enlarge" if enlarging.enlarge else "refuse")


def _check_source(operation_type: str, extension: str, faults: Faults) -> None:
    if extension in formats.OTHER_KINDS:
        note = "the extension is no picture's; give the picture's own URL, or one without an extension"
        faults.append(Fault("source_extension", _SOURCE, note))
    elif operation_type == "rasterize" and extension in formats.RASTER:
        instead = ("rasterize expects an SVG; for other pictures use ", _OPERATION_IS["resize"])
        faults.append(Fault("source_extension", _SOURCE, instead))


def _format(destination: DestinationTemplate, values: TagValues, value: object, faults: Faults) -> Format | None:
    """The extension's format, else that of args, else None: the source's."""
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
        faults.append(Fault("field_invalid", _FORMAT.path, note))
    return output_format


def _unwritable(destination: DestinationTemplate, values: TagValues, extension: str) -> str:
    """An extension that came by a tag is the source's: then the destination is not at fault."""
    is_the_sources = unquote(extension).lower() == unquote(values.ext).lower()
    if not is_the_sources or tags.used_in(destination.shown).isdisjoint(tags.EXTENSIONS):
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
    faults = Faults()
    placeholder = read_struct(fields, Placeholder, (), faults)
    _check_names("field", fields, tuple(fields_of(Placeholder)), (), faults)
    faults.raise_any()
    assert placeholder is not None
    return placeholder


def _on_failure(value: object, destination: DestinationTemplate | None) -> OnFailure:
    word = _word(value, _ON_FAILURES, "field_invalid", "on_failure")
    if word == "delete" and destination is not None and not destination.can_delete:
        note = "a form or presigned URL cannot delete; use error_image"
        raise RequestInvalid(Fault("field_invalid", ("on_failure",), note))
    return word
