"""The arguments of filters: text in, values out, and back. Called by ``filters``. Linear in the length of the text.

thumbor reads the arguments of a filter by one regular expression (``thumbor/filters/__init__.py``): values parted by
commas, with spaces around them; those at the end may be missing. Here each value has a small expression of its own,
and the text is read once from left to right.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar, get_type_hints
from urllib.parse import quote, unquote

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

# Beyond all pictures. The digits of a longer number are not read.
MOST = 999_999_999
_DIGITS = len(str(MOST))
_PLACES = 20
_SPACE = re.compile(r"\s*+")


class Kind(msgspec.Struct, frozen=True):
    """One kind of value: its expression, its reading (None: it does not match after all) and its canonical text."""

    pattern: re.Pattern[str]
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str


def whole(text: str) -> int:
    """An integer in ASCII digits, with an optional sign; one of more than nine digits is the largest of nine."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    digits = digits.lstrip("0")
    return sign * (int(digits or "0") if len(digits) <= _DIGITS else MOST)


def decimal(text: str) -> float:
    """A number with an optional fraction, whole digits as in ``whole``."""
    above, _, below = text.removeprefix("-").partition(".")
    number = float(f"{whole(above)}.{below[:_PLACES]}0")
    return -number if text.startswith("-") and number else number


def decimal_text(number: float) -> str:
    """Without an exponent, which the grammar does not have."""
    return f"{Decimal(repr(number)):f}".removesuffix(".0")


def _string(text: str) -> str:
    is_quoted = len(text) > 2 and text[0] == text[-1] == "'"
    return text[1:-1] if is_quoted else text


def _string_text(text: str) -> str:
    needs_quotes = set(text) & set(",)") or text != text.strip() or text != _string(text)
    return f"'{text}'" if needs_quotes else text


def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


POSITIVE = Kind(_expression(r"\d++"), whole)
NONZERO = Kind(_expression(r"\d++"), lambda text: whole(text) or None)
NUMBER = Kind(_expression(r"-?\d++"), whole)
DECIMAL = Kind(_expression(r"-?(?:\d++\.?\d*+|\.\d++)"), decimal, decimal_text)
BOOLEAN = Kind(
    _expression("[Tt]rue|[Ff]alse|[01]"), lambda text: text in ("true", "True", "1"), lambda value: str(value).lower()
)
STRING = Kind(_expression(r"'[^']++'(?=\s*+,)|[^,]++"), lambda text: _string(text.rstrip()), _string_text)
"""With more arguments behind it."""
LAST_STRING = Kind(_expression(r"'[^']++'(?=\s*+\))|[^,)]++"), lambda text: _string(text.rstrip()), _string_text)
TEXT = Kind(_expression(r"[^\x00-\x1f]++"), str)
WORD = Kind(_expression(r"\w++"), str)
HEX = Kind(_expression(r"[0-9A-Fa-f]{6}"), str.lower)


def read(struct: type[S], text: str) -> S | None:
    """``text`` begins behind the opening parenthesis. None: the arguments do not match, so the filter is ignored.

    What stands behind the closing one does not count.
    """
    values: list[Any] = []
    at = 0
    for number, kind in enumerate(kinds_of(struct)):
        if number:
            if not text.startswith(",", at):
                break
            at += 1
        match = kind.pattern.match(text, _behind_space(text, at))
        if match is None and not number:
            break
        value = None if match is None else kind.read(match[0])
        if match is None or value is None:
            return None
        values.append(value)
        at = _behind_space(text, match.end())
    if not text.startswith(")", at) or len(values) < len(struct.__struct_fields__) - len(struct.__struct_defaults__):
        return None
    return struct(*values)


def read_parts(struct: type[S], parts: Sequence[str]) -> S | None:
    """imagor's: texts that were parted by commas, percent-encoded. Empty ones at the end, and too many, do not count.

    None: they do not match.
    """
    kinds = kinds_of(struct)
    parts = [unquote(part).strip() for part in parts[: len(kinds)]]
    while parts and not parts[-1]:
        parts.pop()
    if len(parts) < len(kinds) - len(struct.__struct_defaults__):
        return None
    values = []
    for kind, part in zip(kinds, parts, strict=False):
        match = kind.pattern.fullmatch(part)
        value = None if match is None else kind.read(part)
        if value is None:
            return None
        values.append(value)
    return struct(*values)


def write_parts(struct: msgspec.Struct) -> str:
    """The arguments that ``read_parts`` reads."""
    return ",".join(quote(text, safe="/:") for text in _texts(struct))


def write(struct: msgspec.Struct) -> str:
    """The arguments that ``read`` reads; those at the end that have their default are left out."""
    return ",".join(_texts(struct))


def _texts(struct: msgspec.Struct) -> list[str]:
    names, defaults = struct.__struct_fields__, struct.__struct_defaults__
    values = [getattr(struct, name) for name in names]
    needed = len(values) - len(defaults)
    while len(values) > needed and values[-1] == defaults[len(values) - 1 - needed]:
        values.pop()
    kinds = kinds_of(type(struct))
    return [kind.write(value) for kind, value in zip(kinds, values, strict=False)]


_KINDS: dict[type[msgspec.Struct], tuple[Kind, ...]] = {}


def kinds_of(struct: type[msgspec.Struct]) -> tuple[Kind, ...]:
    """Of its fields, in their order. Read once: to evaluate annotations takes longer than a whole URL."""
    kinds = _KINDS.get(struct)
    if kinds is None:
        hints = get_type_hints(struct, include_extras=True)
        kinds = _KINDS[struct] = tuple(hints[name].__metadata__[0] for name in struct.__struct_fields__)
    return kinds


def _behind_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
