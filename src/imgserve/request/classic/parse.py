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
from imgserve.request.destination import DestinationTemplate
from imgserve.request.faults import Code, Fault, Faults, RequestInvalid
from imgserve.request.fields import check_names, fields_of, read_fields, read_struct
from imgserve.request.job import JobRequest, OnFailure, OutputRequest, Placeholder
from imgserve.request.json_text import read_object
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Format, LoadOptions, OutputOptions, Recipe
from imgserve.request.source import parse_source
from imgserve.request.tags import TagValues
from imgserve.request.values import did_you_mean, one_of, words_of

S = TypeVar("S", bound=msgspec.Struct)
W = TypeVar("W", bound=str)

REQUIRED = ("operationType", "srcURL", "dstURL", "args")
OPTIONAL = ("placeholder", "on_failure")
OPERATIONS: dict[str, type[Resize] | type[Rasterize]] = {"resize": Resize, "rasterize": Rasterize}


class Enlarging(msgspec.Struct, frozen=True):
    """An arg of resize that the native recipe spells ``if_small``."""

    enlarge: bool = False


_FORMATS: tuple[Format, ...] = get_args(Format)
_ON_FAILURES: tuple[OnFailure, ...] = get_args(OnFailure)
_LATER: dict[str, Sentence] = dict.fromkeys((
    "blur", "brightness", "chroma", "contrast", "crop", "dpr", "effort", "extend", "flatten", "flip", "flop", "focal",
    "frames", "gamma", "grayscale", "hue", "if_exists", "kernel", "lossless", "mask", "max_bytes", "metadata",
    "modulate", "orient", "pad", "page", "pixelate", "progressive", "rotate", "round", "saturation", "scale",
    "sharpen", "strip", "text", "tint", "trim", "watermark", "webhook",
), "not available in this version yet")  # fmt: skip

_SOURCE: Path = ("source",)
_OUTPUT: Path = ("outputs", 0)
_OPERATION: Path = (*_OUTPUT, "operations", 0)
_DESTINATION: Path = (*_OUTPUT, "destination")
_FORMAT = FieldRef((*_OUTPUT, "encode", "format"))
_OPERATION_IS = {name: FieldRef((*_OPERATION, "operation"), name) for name in OPERATIONS}
# Args that stand in the wrong place, each with the reason.
_STRAYS = _LATER | {
    name: ("belongs to ", _OPERATION_IS[owner]) for owner, struct in OPERATIONS.items() for name in fields_of(struct)
}
_STRAYS["enlarge"] = ("belongs to ", _OPERATION_IS["resize"])
_STRAYS |= dict.fromkeys(OPTIONAL, "stands beside args, not in it")


def parse(body: bytes) -> JobRequest:
    """A checked request. Raises ParseError, or RequestInvalid with all faults of the text."""
    request = read_object(body)
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


def _recipe(name: str | None, args: dict[str, object] | None, faults: Faults) -> Recipe | None:
    if name is None or args is None:
        return None
    operation = faults.attempt(_OPERATION, _some, args, OPERATIONS[name])
    if isinstance(operation, Resize):
        operation = _with_enlarge(operation, args, faults)
    output = faults.attempt((*_OUTPUT, "encode"), _some, args, OutputOptions)
    load = faults.attempt((*_OUTPUT, "load"), _some, args, LoadOptions)
    if "width" not in args and "height" not in args:
        width, height = (FieldRef((*_OPERATION, side)) for side in ("width", "height"))
        faults.append(Fault("size_missing", width.path, (f"{name} needs ", width, ", ", height, " or both")))
    own = fields_of(Enlarging) if name == "resize" else {}
    names = (*fields_of(OPERATIONS[name]), *own, *fields_of(OutputOptions), *fields_of(LoadOptions), *HTTP_ARGS)
    check_names(args, names, _OPERATION, faults, _STRAYS, whole=("args",))
    return Recipe((operation,), output, load) if operation and output and load else None


def _with_enlarge(operation: Resize, args: Mapping[str, object], faults: Faults) -> Resize | None:
    """``enlarge`` is the protocol's word of before ``if_small``; without either a small source is refused."""
    enlarging = faults.attempt(_OPERATION, _some, args, Enlarging)
    if enlarging is None or "if_small" in args:
        if "enlarge" in args and enlarging is not None:
            note = ("contradicts ", FieldRef((*_OPERATION, "if_small")), "; give one of the two")
            faults.append(Fault("field_invalid", (*_OPERATION, "enlarge"), note))
        return operation
    return msgspec.structs.replace(operation, if_small="enlarge" if enlarging.enlarge else "refuse")


def _some(args: Mapping[str, object], struct: type[S]) -> S:
    """The Struct of those args that are its fields. Raises RequestInvalid."""
    faults = Faults()
    fields = read_fields(args, struct, faults)
    faults.raise_any()
    return struct(**fields)


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
    return read_struct(fields, Placeholder, _LATER)


def _on_failure(value: object, destination: DestinationTemplate | None) -> OnFailure:
    word = _word(value, _ON_FAILURES, "field_invalid", "on_failure")
    if word == "delete" and destination is not None and not destination.can_delete:
        note = "a form or presigned URL cannot delete; use error_image"
        raise RequestInvalid(Fault("field_invalid", ("on_failure",), note))
    return word
