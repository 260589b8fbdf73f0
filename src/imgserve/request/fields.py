"""One field of a request: a JSON value in, the checked value or a sentence out.

Ranges and words are read from the Structs themselves (``msgspec.inspect``), so that they stand in one place only.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import TypeVar

import msgspec
from msgspec import inspect

from imgserve.errors import Path
from imgserve.request import color
from imgserve.request.faults import Fault, Faults, RequestInvalid

S = TypeVar("S", bound=msgspec.Struct)
FieldValue = int | float | bool | str
NOT_YET_VALUES = frozenset({"contain", "cover", "fill", "inside", "outside"})

_COLORS = frozenset({"background", "color"})
_LONGEST_GUESSED = 40
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
_QUOTED = {inspect.IntType: _NUMBER, inspect.FloatType: _NUMBER, inspect.BoolType: re.compile("true|false")}
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@cache
def fields_of(struct: type[msgspec.Struct]) -> dict[str, inspect.Type]:
    """The fields of a Struct and their types. ``X | None`` counts as X: a missing field is never written as null."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return {field.encode_name: _without_none(field.type) for field in info.fields}


def read_field(struct: type[msgspec.Struct], name: str, value: object) -> FieldValue:
    """``value``, if the field may hold it; a colour as ``#rrggbb``. Raises RequestInvalid."""
    checked = _checked(struct, name, value)
    if checked is None:
        kind = fields_of(struct)[name]
        raise RequestInvalid(Fault("field_invalid", (name,), _hint(value, kind), _expected(name, kind), value))
    return checked


def read_struct(fields: Mapping[str, object], struct: type[S], path: Path, faults: Faults) -> S | None:
    """The ``fields`` that ``struct`` has; None once there are ``faults``."""
    names = [name for name in fields_of(struct) if name in fields]
    values = {name: faults.attempt(path, read_field, struct, name, fields[name]) for name in names}
    return None if None in values.values() else struct(**values)


def is_text(value: object) -> bool:
    """Whether it is a string without control characters and halves of surrogate pairs."""
    return isinstance(value, str) and not _NO_TEXT.search(value)


def did_you_mean(word: object, expected: tuple[str, ...]) -> str:
    """``, did you mean "width"?`` or nothing."""
    if not isinstance(word, str) or len(word) > _LONGEST_GUESSED:
        return ""
    words = {name.lower(): name for name in expected}
    close = get_close_matches(word.lower(), words, n=1)
    return f', did you mean "{words[close[0]]}"?' if close else ""


def one_of(words: tuple[str, ...]) -> str:
    quoted = [f'"{word}"' for word in words]
    return " or ".join(part for part in (", ".join(quoted[:-1]), quoted[-1]) if part)


def words_of(kind: inspect.Type) -> tuple[str, ...]:
    return tuple(str(word) for word in kind.values) if isinstance(kind, inspect.LiteralType) else ()


def _without_none(kind: inspect.Type) -> inspect.Type:
    if isinstance(kind, inspect.UnionType):
        (kind,) = (part for part in kind.types if not isinstance(part, inspect.NoneType))
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _checked(struct: type[msgspec.Struct], name: str, value: object) -> FieldValue | None:
    if isinstance(value, str) and name in _COLORS:
        return color.canonical(value)
    if isinstance(value, str) and not is_text(value.replace("\n", "")):
        return None
    try:
        checked: FieldValue | None = getattr(msgspec.convert({name: value}, struct), name)
    except msgspec.ValidationError:
        return None
    return checked


def _expected(name: str, kind: inspect.Type) -> str:
    if name in _COLORS:
        return color.EXPECTED
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        noun = "an integer" if isinstance(kind, inspect.IntType) else "a number"
        return f"{noun} from {kind.ge:g} to {kind.le}" if kind.ge is not None else noun
    if isinstance(kind, inspect.StrType):
        return f"printable text of at most {kind.max_length} characters"
    return "true or false" if isinstance(kind, inspect.BoolType) else one_of(words_of(kind))


def _hint(value: object, kind: inspect.Type) -> str:
    words = words_of(kind)
    if isinstance(value, str) and value in NOT_YET_VALUES and NOT_YET_VALUES.intersection(words):
        return ", which is not available in this version yet"
    quoted = _QUOTED.get(type(kind))
    if isinstance(value, str) and quoted is not None and quoted.fullmatch(value):
        return f"; write it without quotes: {value}"
    return did_you_mean(value, words)
