"""The query of a request: its fields, each once, before a handler reads their values."""

from collections.abc import Collection, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

from imgserve.api.http.asgi import Scope
from imgserve.request.faults import Fault, Faults, RequestInvalid
from imgserve.request.fields import check_names
from imgserve.request.values import did_you_mean, one_of

T = TypeVar("T", bound=str)

_MOST_FIELDS = 16


def query_of(scope: Scope, names: Mapping[str, str]) -> dict[str, str]:
    """The fields by their names. ``names``: those that exist, each empty or with the reason that it is not taken.

    Raises RequestInvalid with paths such as ``query.preset``.
    """
    faults = Faults()
    try:
        pairs = parse_qsl(
            scope["query_string"].decode("ascii"), keep_blank_values=True, strict_parsing=bool(scope["query_string"]),
            errors="strict", max_num_fields=_MOST_FIELDS,
        )  # fmt: skip
    except ValueError:
        raise RequestInvalid(Fault("field_invalid", ("query",), "expected name=value, percent-encoded UTF-8")) from None
    fields = dict(pairs)
    check_names(fields, tuple(names), ("query",), faults)
    for name in fields:
        if names.get(name):
            faults.append(Fault("field_invalid", ("query", name), names[name]))
    if len(fields) < len(pairs):
        faults.append(Fault("field_invalid", ("query",), "a field is given twice"))
    faults.raise_any()
    return fields


def words_of(text: str, known: Collection[T]) -> tuple[T, ...]:
    """Words between commas, each a known one, in the order of ``known``. Raises RequestInvalid."""
    words = [word for word in text.split(",") if word]
    if unknown := [word for word in words if word not in known]:
        hint = did_you_mean(unknown[0], tuple(known))
        raise RequestInvalid(Fault("field_invalid", (), hint, one_of(tuple(known)), unknown[0]))
    return tuple(word for word in known if word in words)


def number_of(text: str, lowest: int, highest: int) -> int:
    """Raises RequestInvalid."""
    if not (text.isascii() and text.isdecimal() and len(text) < 16 and lowest <= int(text) <= highest):
        expected = f"a whole number from {lowest:,} to {highest:,}"
        raise RequestInvalid(Fault("field_invalid", (), "", expected, text))
    return int(text)


def switch_of(text: str) -> bool:
    """Raises RequestInvalid."""
    if text not in ("true", "false"):
        raise RequestInvalid(Fault("field_invalid", (), "", "true or false", text))
    return text == "true"
