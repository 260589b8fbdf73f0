"""The fields of a request's Structs: JSON objects in, checked Structs or all of their faults out.

Names and types are read from the Structs themselves (``msgspec.inspect``), so that they stand in one place only.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import inspect

from imgserve.errors import Path, Sentence
from imgserve.request.faults import Code, Fault, Faults, RequestInvalid, beneath
from imgserve.request.json_text import PLAIN_NAME
from imgserve.request.values import Read, did_you_mean, plain, reader_of

S = TypeVar("S", bound=msgspec.Struct)

NO_STRAYS: Mapping[str, Sentence] = MappingProxyType({})

# Bounds the time and the reply that an object full of unknown names can cost.
_MOST_NAMED = 10


@cache
def fields_of(struct: type[msgspec.Struct]) -> dict[str, inspect.Type]:
    """The fields of a Struct and their types. ``X | None`` counts as X: a missing field is never written as null.

    Rows of the queue may have other names for them, so these are the Struct's own.
    """
    return {field.name: plain(field.type) for field in _info(struct).fields}


@cache
def required_in(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    """The fields without a default."""
    return tuple(field.name for field in _info(struct).fields if field.required)


def read_field(struct: type[msgspec.Struct], name: str, value: object) -> object:
    """``value``, if the field may hold it. Raises RequestInvalid with paths from the Struct."""
    with beneath(name):
        return _readers(struct)[name](value)


def read_fields(fields: Mapping[str, object], struct: type[msgspec.Struct], faults: Faults) -> dict[str, Any]:
    """The valid ones of the ``fields`` that ``struct`` has; the others are ``faults``."""
    values: dict[str, Any] = {}
    readers = _readers(struct)
    for name, value in fields.items():
        if name in readers:
            try:
                values[name] = readers[name](value)
            except RequestInvalid as invalid:
                faults.extend(invalid.beneath((name,)).faults)
    return values


def read_struct(value: object, struct: type[S], strays: Mapping[str, Sentence] = NO_STRAYS) -> S:
    """The object as this Struct, which must have all its fields. Raises RequestInvalid with paths from the object."""
    faults = Faults()
    made = read_some(as_object(value), struct, faults, strays)
    faults.raise_any()
    assert made is not None
    return made


def read_some(
    fields: Mapping[str, object], struct: type[S], faults: Faults, strays: Mapping[str, Sentence] = NO_STRAYS
) -> S | None:
    """The Struct of the valid ``fields``; None if one is missing that it needs. The others are ``faults``."""
    checked = read_fields(fields, struct, faults)
    if len(checked) != len(fields):
        tag = _info(struct).tag_field
        check_names(fields, (*((tag,) if tag else ()), *fields_of(struct)), (), faults, strays)
    for name in required_in(struct):
        if name not in fields:
            faults.append(Fault("field_missing", (name,), "this field is missing"))
    return struct(**checked) if checked.keys() >= set(required_in(struct)) else None


def as_object(value: object) -> dict[str, object]:
    """Raises RequestInvalid."""
    if not isinstance(value, dict):
        raise RequestInvalid(Fault("field_invalid", expected="an object", got=value))
    return value


def check_names(
    fields: Iterable[str],
    expected: tuple[str, ...],
    path: Path,
    faults: Faults,
    strays: Mapping[str, Sentence] = NO_STRAYS,
    *,
    noun: Literal["key", "field"] = "field",
    whole: Path | None = None,
) -> None:
    """Names that are unknown, or among ``strays``, each of which has its reason.

    ``whole``: the path of the object itself, where it is not ``path``.
    """
    code: Code = "key_unknown" if noun == "key" else "field_unknown"
    whole = path if whole is None else whole
    names = [name for name in fields if name not in expected]
    for name in names[:_MOST_NAMED]:
        if not PLAIN_NAME.fullmatch(name):
            faults.append(Fault(code, whole, f"a {noun}'s name is unknown"))
        elif name in strays:
            faults.append(Fault(code, (*path, name), strays[name]))
        else:
            near = did_you_mean(name, expected)
            faults.append(Fault(code, (*path, name), f"unknown{near}", is_foreign=not near))
    if len(names) > _MOST_NAMED:
        faults.append(Fault(code, whole, f"{len(names) - _MOST_NAMED} more {noun}s are unknown"))


@cache
def _info(struct: type[msgspec.Struct]) -> inspect.StructType:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return info


@cache
def _readers(struct: type[msgspec.Struct]) -> dict[str, Read]:
    return {name: reader_of(kind, _nested) for name, kind in fields_of(struct).items()}


def _nested(value: object, kind: inspect.StructType) -> msgspec.Struct:
    return read_struct(value, kind.cls)
