"""Random recipes as JSON has them, made from the Structs' own types: every field that an operation has is met."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from imgserve.request.encode import Encode, faults_of
from imgserve.request.fields import fields_of
from imgserve.request.native import OPERATIONS
from imgserve.request.recipe import LoadOptions

Values = st.SearchStrategy[Any]
READABLE = ["#abcdef", "red", "transparent", "corner", "mean", "http://a.test/b.png", {"name": "logo"}]


def values_of(kind: inspect.Type) -> Values:
    """Valid values of a field."""
    return _VALUES[type(kind)](kind)


def objects(struct: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, object]]:
    kinds = {name: values_of(kind) for name, kind in fields_of(struct).items()}
    required = {field.name: kinds.pop(field.name) for field in msgspec.structs.fields(struct) if field.required}
    return st.fixed_dictionaries(required, optional=kinds)


def operations() -> st.SearchStrategy[dict[str, object]]:
    def named(name: str) -> st.SearchStrategy[dict[str, object]]:
        return objects(OPERATIONS[name]).map(lambda fields: {"operation": name, **fields})

    return st.sampled_from(list(OPERATIONS)).flatmap(named)


def without_faults(fields: dict[str, Any]) -> dict[str, object]:
    """The fields that the format has, and that go together."""
    faulty = {fault.path[0] for fault in faults_of(Encode(**fields))}
    return {name: value for name, value in fields.items() if name not in faulty}


def recipes() -> st.SearchStrategy[dict[str, object]]:
    parts = {
        "operations": st.lists(operations(), max_size=4),
        "load": objects(LoadOptions),
        "encode": objects(Encode).map(without_faults),
    }
    return st.fixed_dictionaries({}, optional=parts)


def _described(kind: Any) -> Values:
    read = (kind.extra or {}).get("read")
    return st.sampled_from([word for word in READABLE if read(word)]) if read else values_of(kind.type)


def _integers(kind: Any) -> Values:
    return st.integers(-100 if kind.ge is None else kind.ge, 100 if kind.le is None else kind.le)


def _numbers(kind: Any) -> Values:
    low, high = (kind.gt if kind.ge is None else kind.ge), (kind.lt if kind.le is None else kind.le)
    return st.floats(
        -100 if low is None else low, 100 if high is None else high, exclude_min=kind.gt is not None,
        exclude_max=kind.lt is not None,
    )  # fmt: skip


def _texts(kind: Any) -> Values:
    return st.from_regex(kind.pattern, fullmatch=True) if kind.pattern else st.text("aü ", max_size=9)


def _lists(kind: Any) -> Values:
    most = (kind.min_length or 0) + 3 if kind.max_length is None else kind.max_length
    return st.lists(values_of(kind.item_type), min_size=kind.min_length or 0, max_size=most)


_VALUES: Mapping[type[inspect.Type], Callable[[Any], Values]] = {
    inspect.UnionType: lambda kind: st.one_of(*map(values_of, kind.types)),
    inspect.Metadata: _described,
    inspect.LiteralType: lambda kind: st.sampled_from(list(kind.values)),
    inspect.BoolType: lambda _kind: st.booleans(),
    inspect.IntType: _integers,
    inspect.FloatType: _numbers,
    inspect.StrType: _texts,
    inspect.StructType: lambda kind: objects(kind.cls),
    inspect.VarTupleType: _lists,
}
