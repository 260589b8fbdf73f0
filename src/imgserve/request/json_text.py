"""The text of a JSON object in, the object out: for the bodies of the APIs and for recipes of the command line.

Refuses a key that is given twice, NaN and infinity, which readers of JSON treat differently.
"""

import codecs
import json
import re

# A name that may be repeated in a message: of any other no piece is shown, since it may be secret.
PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")

_KINDS: dict[type, str] = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}


class ParseError(Exception):
    """The text is no JSON object: empty, cut off, not UTF-8, a key twice, NaN, or nested too deeply.

    The message says where, and repeats nothing of the text but plain names.
    """


def read_object(text: bytes, thing: str = "the body") -> dict[str, object]:
    """Raises ParseError. ``thing`` is what the message calls the text."""
    if not text.strip():
        raise ParseError(f"{thing} is empty, expected a JSON object")
    if text.startswith(codecs.BOM_UTF8):
        raise ParseError(f"{thing} begins with a byte order mark, expected JSON without one: save it as plain UTF-8")
    try:
        value: object = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
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


def _reason(error: json.JSONDecodeError, thing: str) -> str:
    """The JSON parser's reason, without the text at that place, and whether it ends there."""
    reason = error.msg[:1].lower() + error.msg[1:]
    reason = reason.removesuffix(" at") if reason.endswith(" at") else reason
    return f"{reason}, but {thing} ends" if error.pos >= len(error.doc.rstrip()) else reason


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Readers differ in which value of a doubled key they take; the checked value must be the one that is used.
    decoded = dict(pairs)
    if len(decoded) != len(pairs):
        names = [key for key, _ in pairs]
        name = next(key for key in names if names.count(key) > 1)
        raise ValueError(f'the key "{name}" appears twice' if PLAIN_NAME.fullmatch(name) else "a key appears twice")
    return decoded


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
