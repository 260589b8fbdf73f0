"""The options of ``imgserve render`` that make a recipe: from the command line to args, and fields back to options.

Each flat arg of the classic protocol is an option; that protocol's parser checks the values.
"""

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import inspect

from imgserve.errors import FieldRef, dotted
from imgserve.request.classic.recipe import AFTER, BEFORE, PARTS, TYPES, Arg, Own, operation_args
from imgserve.request.encode import Encode
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.request.fields import fields_of
from imgserve.request.json_text import ParseError, read_object
from imgserve.request.native import OPERATIONS
from imgserve.request.recipe import LoadOptions
from imgserve.request.values import words_of

_OWNERS = {name: OPERATIONS[name] for name in TYPES} | {
    "the source": LoadOptions, "the result": Encode, "a resize": Own,
}  # fmt: skip
_SIZE = re.compile(r"(\d{0,5})x(\d{0,5})", re.ASCII)
_PLAIN = re.compile(r"[#\w-]+", re.ASCII)
_JSON = json.JSONDecoder()
_PAIR = re.compile(r"([a-z_]+)=(.*)", re.DOTALL)


def add(parser: argparse.ArgumentParser) -> None:
    about = "the operation that brings it to its size (default: resize, if a size is given)"
    parser.add_argument("--operation", choices=TYPES, metavar="WORD", help=about)
    parser.add_argument("--resize", type=_size, metavar="WxH", help="width and height: 600x400, 600x or x400")
    for name, kind in _fields().items():
        _add_field(parser, name, kind)
    for name, row in {**BEFORE, **AFTER}.items():
        _add_operation(parser, name, row)
    for name, operation in PARTS.items():
        parser.add_argument(_flag(name), type=_number, metavar="N", help=f"{name} of --{operation}")


def args_of(flags: argparse.Namespace) -> dict[str, object]:
    """The flat args of the options. Raises RequestInvalid."""
    names = (*_fields(), *BEFORE, *AFTER, *PARTS)
    args = {name: value for name in names if (value := getattr(flags, name)) is not None}
    for side, value in (flags.resize or {}).items():
        if side in args:
            note = ("contradicts ", FieldRef(("resize",)), "; give one of the two")
            raise RequestInvalid(Fault("field_invalid", (side,), note))
        args[side] = value
    return args


def type_of(flags: argparse.Namespace, args: Mapping[str, object]) -> str | None:
    """The operation that brings the picture to its size; None if it keeps its own."""
    others = {*BEFORE, *AFTER, *PARTS}
    is_sized = any(name in args for name in operation_args("resize") if name not in others)
    return flags.operation or ("resize" if is_sized else None)


def spelt(field: FieldRef, names: Sequence[str] | None = ("",)) -> str:
    """A field of the job as an option. A value is written as its option takes it.

    ``names``: the flat arg of each operation; None for operations that no options made.
    """
    match field.path:
        case ("source", *_):
            return "SRC"
        case ("outputs", int(), "destination"):
            return "DST"
        case ("outputs", int(), "operations", int() as index, *rest):
            return _of_operation(FieldRef(tuple(rest), field.value), index, names)
        case ("outputs", int(), "encode" | "load" | "destination" | "placeholder", *rest) | ("outputs", int(), *rest):
            return _option(FieldRef(tuple(rest), field.value))
        case ("args", *rest):
            return _option(FieldRef(tuple(rest), field.value))
        case _:
            return _option(field)


def _of_operation(field: FieldRef, index: int, names: Sequence[str] | None) -> str:
    if names is None or index >= len(names):
        return dotted(FieldRef(("operations", index, *field.path), field.value))
    if names[index]:
        return _option(FieldRef((names[index], *field.path), field.value))
    if not field.path:
        return f"{_flag('width')}, {_flag('height')}"
    if (field.path, field.value) == (("if_small",), "enlarge"):
        return _flag("enlarge")
    return _option(field)


def _option(field: FieldRef) -> str:
    """``--blur``, ``--blur sigma`` for a field of its value, ``--no-strict`` for a switch that is to be off."""
    if not field.path:
        return ""
    name, *rest = field.path
    flag = _flag(f"no-{name}" if field.value is False and not rest else str(name))
    inner = dotted(FieldRef(tuple(rest)))
    value = field.value if isinstance(field.value, str) else ""
    return " ".join(filter(None, (flag, f"{inner}={value}" if inner and value else inner or value)))


def _fields() -> dict[str, inspect.Type]:
    """The fields of a recipe. Those that two operations have need the same kind of flag for both."""
    return {name: kind for struct in _OWNERS.values() for name, kind in fields_of(struct).items()}


def _is_number(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.LiteralType):
        return all(isinstance(value, int) for value in kind.values)
    return isinstance(kind, inspect.IntType | inspect.FloatType)


def _add_field(parser: argparse.ArgumentParser, name: str, kind: inspect.Type) -> None:
    about = "for " + " and ".join(owner for owner, struct in _OWNERS.items() if name in fields_of(struct))
    if isinstance(kind, inspect.BoolType):
        parser.add_argument(_flag(name), action=argparse.BooleanOptionalAction, help=about)
    elif _is_number(kind):
        parser.add_argument(_flag(name), type=_number, metavar="N", help=about)
    elif isinstance(kind, inspect.LiteralType):
        parser.add_argument(_flag(name), metavar="WORD" if words_of(kind) else "VALUE", help=about)
    else:
        parser.add_argument(_flag(name), type=_value, metavar="VALUE", help=about)


def _add_operation(parser: argparse.ArgumentParser, name: str, row: Arg) -> None:
    struct = OPERATIONS[row.operation]
    about = re.split(r"[.;]\s", " ".join((struct.__doc__ or "").split()))[0].removesuffix(".")
    about = about.replace("``", "`").replace("%", "%%")
    fields = fields_of(struct)
    words = [row.value[0] if len(row.value) == 1 else "each side"] if row.value else []
    words += [f"{', '.join(fields)} as FIELD=VALUE,…"] if len(fields) > len(words) else []
    about += f"; {', or '.join(words)}" if words else ""
    if not fields:
        parser.add_argument(_flag(name), action=argparse.BooleanOptionalAction, help=about)
    elif row.is_switch:
        parser.add_argument(_flag(name), nargs="?", const=True, type=_value_of_switch, metavar="VALUE", help=about)
    else:
        parser.add_argument(_flag(name), type=_value, metavar="VALUE", help=about)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _size(text: str) -> dict[str, int]:
    match = _SIZE.fullmatch(text)
    if match is None or not any(match.groups()):
        raise argparse.ArgumentTypeError(f"expected a size such as 600x400, 600x or x400, got {text!r}")
    return {name: int(side) for name, side in zip(("width", "height"), match.groups(), strict=True) if side}


def _number(text: str) -> int | float:
    try:
        return msgspec.json.decode(text, type=int | float)
    except msgspec.DecodeError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None


def _value(text: str) -> object:
    """A number, true, false, a text, fields as JSON, or fields as FIELD=VALUE with commas between.

    A VALUE may be JSON too: a list or an object.
    """
    if text.startswith("{"):
        try:
            return read_object(text.encode(), "the value")
        except ParseError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    if _PAIR.match(text):
        return dict(_pairs(text))
    return _plain(text)


def _value_of_switch(text: str) -> object:
    """As ``_value``. The next word on the line may be meant as SRC: no value of a switch looks like a path."""
    value = _value(text)
    if isinstance(value, str) and not _PLAIN.fullmatch(text):
        hint = "to use it without a value, write it behind SRC and DST"
        raise argparse.ArgumentTypeError(f"expected a value or FIELD=VALUE, got {text!r} ({hint})")
    return value


def _pairs(text: str) -> Iterator[tuple[str, object]]:
    names: set[str] = set()
    rest: str | None = text
    while rest is not None:
        match = _PAIR.fullmatch(rest)
        if match is None or match[1] in names:
            part = rest.partition(",")[0]
            raise argparse.ArgumentTypeError(f"expected FIELD=VALUE, each field once, got {part!r}")
        names.add(match[1])
        value, rest = _next(match[2])
        yield match[1], value


def _next(text: str) -> tuple[object, str | None]:
    """The value that the text begins with, and the text behind its comma; None if there is no comma.

    A list or an object is JSON, with commas of its own.
    """
    if not text.startswith(("[", "{")):
        plain, comma, rest = text.partition(",")
        return _plain(plain), rest if comma else None
    try:
        _, end = _JSON.raw_decode(text)
        value = read_object(f'{{"value": {text[:end]}}}'.encode(), "the value")["value"]
    except (ValueError, RecursionError, ParseError):
        raise argparse.ArgumentTypeError(f"expected a list or an object as JSON, got {text!r}") from None
    if text[end : end + 1] not in ("", ","):
        raise argparse.ArgumentTypeError(f"expected a comma behind {text[:end]!r}")
    return value, text[end + 1 :] if text[end:] else None


def _plain(text: str) -> Any:
    try:
        return msgspec.json.decode(text, type=bool | int | float)
    except (msgspec.DecodeError, UnicodeError):
        return text
