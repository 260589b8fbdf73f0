"""The text of a JSON object in, the object out: for the bodies of the APIs and for recipes of the command line.

Refuses a key that is given twice, NaN and infinity, which readers of JSON treat differently.
"""

import codecs
import json
import re
from collections import Counter

# A name that may be repeated in a message: of any other no piece is shown, since it may be secret.
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")

_KINDS: dict[type, str] = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}


# The largest recipe, 32 lists of 100 regions, has 16,000. More would hold the interpreter for too long at once.
MOST_VALUES = 20_000
_STRING = re.compile(rb'"(?>(?:[^"\\]+|\\.)*)"?', re.DOTALL)
_MOST_DIGITS = 1_000  # the time to read a number grows with their square
_SEPARATORS = (b",", b"[", b"{")


class ParseError(Exception):
    """The text is no JSON object: empty, cut off, not UTF-8, a key twice, NaN, nested too deeply, too many values.

    The message says where, and repeats nothing of the text but plain names.
    """


def read_object(text: bytes, thing: str = "the body") -> dict[str, object]:
    """Raises ParseError. ``thing`` is what the message calls the text."""
    if not text.strip():
        raise ParseError(f"{thing} is empty, expected a JSON object")
    if text.startswith(codecs.BOM_UTF8):
        raise ParseError(f"{thing} begins with a byte order mark, expected JSON without one: save it as plain UTF-8")
    if len(text) > MOST_VALUES and _has_too_many(text):
        raise ParseError(f"{thing} has too many values, expected at most {MOST_VALUES:,}")
    try:
        value: object = _DECODER.decode(text.decode())
    except UnicodeDecodeError as error:
        raise ParseError(f"{thing} is not UTF-8 (byte {error.start + 1:,}), expected JSON in UTF-8") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ParseError(f"{thing} is not JSON: {place}: {_reason(error, thing)}") from None
    except RecursionError:
        raise ParseError(f"{thing} is nested too deeply, expected a JSON object") from None
    except ValueError as error:
        raise ParseError(f"{thing} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ParseError(f"{thing} is {_KINDS.get(type(value), 'a number')}, expected a JSON object")
    return value


def _has_too_many(text: bytes) -> bool:
    """Whether more than MOST_VALUES stand in it. Text may stop being JSON anywhere: then the parser tells."""
    # Strings included, which is enough for nearly all.
    if len(text) <= MOST_VALUES or _separators(text, 0, len(text)) <= MOST_VALUES:
        return False
    number = start = 0
    for index, string in enumerate(_STRING.finditer(text)):
        number += _separators(text, start, string.start())
        if number > MOST_VALUES or index > 2 * MOST_VALUES:  # a value has one text, and a key before it
            return True
        start = string.end()
    return number + _separators(text, start, len(text)) > MOST_VALUES


def _separators(text: bytes, start: int, end: int) -> int:
    return sum(text.count(separator, start, end) for separator in _SEPARATORS)


def _reason(error: json.JSONDecodeError, thing: str) -> str:
    """The JSON parser's reason, without the text at that place, and whether it ends there."""
    reason = error.msg[:1].lower() + error.msg[1:]
    reason = reason.removesuffix(" at") if reason.endswith(" at") else reason
    return f"{reason}, but {thing} ends" if error.pos >= len(error.doc.rstrip()) else reason


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Readers differ in which value of a doubled key they take; the checked value must be the one that is used.
    decoded = dict(pairs)
    if len(decoded) != len(pairs):
        name = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f'the key "{name}" appears twice' if PLAIN_NAME.fullmatch(name) else "a key appears twice")
    return decoded


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_whole, parse_constant=_refuse_constant)
