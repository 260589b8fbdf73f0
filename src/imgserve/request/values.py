"""One value of a request: JSON and the type of its field in, the checked value or a fault out. For ``fields``.

Types come from ``msgspec.inspect``, so that ranges and words stand in the Structs only. A type with a ``Meta`` may
carry ``extra``: ``read``, a function that makes the value or returns None, and ``expected``, the words for a fault.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from imgserve.request.faults import Fault, Faults, RequestInvalid
from imgserve.request.guesses import nearest

ReadStruct = Callable[[object, inspect.StructType], msgspec.Struct]

Read = Callable[[object], object]
"""A value of JSON in, the checked value out. Raises RequestInvalid with paths from the value."""

# Of a list. Bounds the time and the reply that a list full of faults can cost.
MOST_FAULTS = 40

T = TypeVar("T")
V = TypeVar("V")

_NUMBER = re.compile(r"-?\d{1,9}(\.\d{1,9})?", re.ASCII)
_QUOTED = {int: _NUMBER, float: _NUMBER, bool: re.compile("true|false")}
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOUN: dict[type, str] = {list: "a list", dict: "an object"}


class _Invalid(Exception):
    """The value is not of the type."""


def reader_of(kind: inspect.Type, read_struct: ReadStruct) -> Read:
    """How values of a type are read. ``read_struct`` reads objects.

    Made once for each field: a list of a thousand numbers must not look at its types a thousand times.
    """
    checked = _reader(kind, read_struct)

    def read(value: object) -> object:
        try:
            return checked(value)
        except _Invalid:
            fault = Fault("field_invalid", (), _hint(value, kind), expected(kind), value)
            raise RequestInvalid(fault) from None

    return read


def expected(kind: inspect.Type) -> str:
    """The words for the values of a type: ``an integer from 1 to 16384``, ``"cover" or "fill"``."""
    if isinstance(kind, inspect.Metadata):
        return str((kind.extra or {}).get("expected", "")) or expected(kind.type)
    if isinstance(kind, inspect.UnionType):
        words = [_quoted(word) for word in words_of(kind)]
        return _either([*words, *(expected(part) for part in kind.types if not isinstance(part, inspect.LiteralType))])
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return ("an integer" if isinstance(kind, inspect.IntType) else "a number") + _range(kind)
    if isinstance(kind, inspect.LiteralType):
        return _either([_quoted(word) for word in kind.values])
    if isinstance(kind, inspect.StrType):
        return (
            "printable text" if kind.max_length is None else f"printable text of at most {kind.max_length} characters"
        )
    return "true or false" if isinstance(kind, inspect.BoolType) else _NOUN[_json_types(kind)[0]]


def is_text(value: object) -> bool:
    """Whether it is a string without control characters and halves of surrogate pairs."""
    return isinstance(value, str) and not _NO_TEXT.search(value)


def did_you_mean(word: object, expected: tuple[str, ...]) -> str:
    """``, did you mean "width"?`` or nothing."""
    near = nearest(word, expected) if isinstance(word, str) else ""
    return f', did you mean "{near}"?' if near else ""


def one_of(words: tuple[str, ...]) -> str:
    return _either([_quoted(word) for word in words])


def words_of(kind: inspect.Type) -> tuple[str, ...]:
    """The words that a field takes; of a union, those beside its other values."""
    parts = (words_of(part) for part in kind.types) if isinstance(kind, inspect.UnionType) else ()
    own = kind.values if isinstance(kind, inspect.LiteralType) else (word for part in parts for word in part)
    return tuple(str(word) for word in own)


def plain(kind: inspect.Type) -> inspect.Type:
    """The type without its None, since a missing field is never written as null, and without mere descriptions."""
    if isinstance(kind, inspect.Metadata) and not kind.extra:
        return plain(kind.type)
    if not isinstance(kind, inspect.UnionType):
        return kind
    some = tuple(plain(part) for part in kind.types if not isinstance(part, inspect.NoneType))
    return some[0] if len(some) == 1 else inspect.UnionType(some)


def _reader(kind: inspect.Type, read_struct: ReadStruct) -> Read:
    """As ``reader_of``, but raises _Invalid for a value that is not of the type itself."""
    if isinstance(kind, inspect.UnionType):
        return _one_of_types({one: _reader(part, read_struct) for part in kind.types for one in _json_types(part)})
    if isinstance(kind, inspect.Metadata):
        own = (kind.extra or {}).get("read")
        return _reader(kind.type, read_struct) if own is None else _by_its_own(own)
    return _one_of_types(dict.fromkeys(_json_types(kind), _of_one_type(kind, read_struct)))


def _one_of_types(readers: Mapping[type, Read]) -> Read:
    def read(value: object) -> object:
        own = readers.get(type(value))
        if own is None:
            raise _Invalid
        return own(value)

    return read


def _by_its_own(own: Callable[[object], object]) -> Read:
    def read(value: object) -> object:
        made = own(value)
        if made is None:
            raise _Invalid
        return made

    return read


def _of_one_type(kind: inspect.Type, read_struct: ReadStruct) -> Read:
    if isinstance(kind, inspect.StructType):
        return lambda value: read_struct(value, kind)
    if isinstance(kind, inspect.VarTupleType | inspect.ListType):
        return _items_of(kind, reader_of(kind.item_type, read_struct))
    is_good = _CHECKS[type(kind)]

    def read(value: object) -> object:
        if not is_good(value, kind):
            raise _Invalid
        return value

    # A number that JSON writes without a point is one of a field with fractions too.
    return (lambda value: float(read(value))) if isinstance(kind, inspect.FloatType) else read  # type: ignore[arg-type]


def _json_types(kind: inspect.Type) -> tuple[type, ...]:
    if isinstance(kind, inspect.Metadata):
        return _json_types(kind.type)
    if isinstance(kind, inspect.UnionType):
        return tuple(one for part in kind.types for one in _json_types(part))
    if isinstance(kind, inspect.LiteralType):
        return tuple({type(word) for word in kind.values})
    return _TYPES[type(kind)]


def _items_of(kind: inspect.VarTupleType | inspect.ListType, read_item: Read) -> Read:
    low, high = kind.min_length or 0, kind.max_length
    collect = tuple if isinstance(kind, inspect.VarTupleType) else list

    def read(values: Any) -> object:
        if len(values) < low or (high is not None and len(values) > high):
            raise RequestInvalid(Fault("field_invalid", (), f"expected {_count(low, high)}, got {len(values)}"))
        return collect(read_list(values, read_item))

    return read


def read_list(values: Iterable[V], read_item: Callable[[V], T]) -> list[T]:
    """Each item by ``read_item``. Raises RequestInvalid with paths from the list."""
    items: list[T] = []
    faults = Faults()
    for index, value in enumerate(values):
        try:
            items.append(read_item(value))
        except RequestInvalid as invalid:
            faults.extend(invalid.beneath((index,)).faults)
            if len(faults) >= MOST_FAULTS:
                faults.append(Fault("field_invalid", (), "the rest is not checked: mend these first"))
                break
    faults.raise_any()
    return items


def _count(low: int, high: int | None) -> str:
    if high is None:
        return f"at least {low} in the list"
    return f"from {low} to {high} in the list" if low else f"at most {high} in the list"


def _is_number(value: Any, kind: Any) -> bool:
    try:
        is_finite = math.isfinite(value)
    except OverflowError:  # an integer beyond all fractions
        return False
    return is_finite and not (
        (kind.ge is not None and value < kind.ge)
        or (kind.gt is not None and value <= kind.gt)
        or (kind.le is not None and value > kind.le)
        or (kind.lt is not None and value >= kind.lt)
    )


def _is_good_text(value: Any, kind: Any) -> bool:
    low, high = kind.min_length or 0, kind.max_length
    return (
        # In a pattern "$" would let a line end through.
        is_text(value if kind.pattern else value.replace("\n", ""))
        and low <= len(value)
        and (high is None or len(value) <= high)
        and (kind.pattern is None or re.search(kind.pattern, value) is not None)
    )


_TYPES: Mapping[type[inspect.Type], tuple[type, ...]] = {
    inspect.IntType: (int,), inspect.FloatType: (float, int), inspect.BoolType: (bool,), inspect.StrType: (str,),
    inspect.VarTupleType: (list,), inspect.ListType: (list,), inspect.StructType: (dict,),
}  # fmt: skip
_CHECKS: Mapping[type[inspect.Type], Callable[[Any, Any], bool]] = {
    inspect.IntType: _is_number, inspect.FloatType: _is_number, inspect.StrType: _is_good_text,
    inspect.BoolType: lambda _value, _kind: True, inspect.LiteralType: lambda value, kind: value in kind.values,
}  # fmt: skip


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    # Not 1e+08.
    low = f"from {kind.ge:.15g}" if kind.ge is not None else f"above {kind.gt:.15g}" if kind.gt is not None else ""
    high = f"to {kind.le}" if kind.le is not None else f"below {kind.lt}" if kind.lt is not None else ""
    return "".join(f" {word}" for word in (low, high if low or not high.startswith("to") else f"up {high}") if word)


def _hint(value: object, kind: inspect.Type) -> str:
    words = words_of(kind)
    if not isinstance(value, str):
        return ""
    parts = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    types = {one for part in parts for one in _json_types(part)}
    if any(one in _QUOTED and _QUOTED[one].fullmatch(value) for one in types):
        return f"; write it without quotes: {value}"
    return did_you_mean(value, words)


def _quoted(word: object) -> str:
    return f'"{word}"' if isinstance(word, str) else str(word)


def _either(parts: list[str]) -> str:
    return " or ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)
