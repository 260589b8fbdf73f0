"""One argument of an option: its text in, the value out, by the rules of Go's strconv, as the original reads it.

All raise InvalidUrl. Texts are measured before they are read, and each number has a range.
"""

import re
from base64 import urlsafe_b64decode
from typing import TypeVar

from imgserve.request.dialects.imgproxy.refused import InvalidUrl

MOST = 2_147_483_647
"""The largest whole number. The original's is 64 bits wide, for sides that no picture has."""
LEAST_FACTOR, MOST_FACTOR = 1e-9, 1e9
"""The range of a factor: products and quotients of a few of them are finite."""

_MOST_CHARACTERS = 40  # of a number: reading it must cost nothing
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_COLOR = re.compile(r"[0-9a-fA-F]{3}|[0-9a-fA-F]{6}")
_BASE64 = re.compile(r"[A-Za-z0-9_-]*")
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})

W = TypeVar("W", bound=str)


def boolean(text: str) -> bool:
    """Any other word than one for true is false."""
    return text in _TRUE


def integer(text: str, least: int = 0, most: int = MOST) -> int:
    value = int(text) if len(text) <= _MOST_CHARACTERS and _INTEGER.fullmatch(text) else None
    if value is None or not least <= value <= most:
        raise InvalidUrl(f"expected an integer from {least} to {most}, got {shown(text)}")
    return value


def number(text: str, least: float = 0.0, most: float = MOST_FACTOR) -> float:
    value = float(text) if len(text) <= _MOST_CHARACTERS and _NUMBER.fullmatch(text) else None
    if value is None or not least <= value <= most:
        raise InvalidUrl(f"expected a number from {least:g} to {most:g}, got {shown(text)}")
    return value


def factor(text: str) -> float:
    """A number above 0."""
    return number(text, LEAST_FACTOR)


def offset(text: str) -> float:
    return number(text, -MOST_FACTOR)


def color(text: str) -> str:
    """Three or six hexadecimal digits as ``#rrggbb``."""
    if not _COLOR.fullmatch(text):
        raise InvalidUrl(f"expected a colour of 3 or 6 hexadecimal digits, got {shown(text)}")
    digits = text.lower()
    return "#" + (digits if len(digits) == 6 else "".join(digit * 2 for digit in digits))


def word(text: str, words: tuple[W, ...]) -> W:
    for one in words:
        if one == text:
            return one
    raise InvalidUrl(f"expected {', '.join(words)}, got {shown(text)}")


def base64_text(text: str) -> str:
    """URL-safe base64 of UTF-8, with or without its padding."""
    plain = text.rstrip("=")
    if not _BASE64.fullmatch(plain) or len(plain) % 4 == 1:
        raise InvalidUrl("expected URL-safe base64")
    try:
        return urlsafe_b64decode(plain + "=" * (-len(plain) % 4)).decode()
    except UnicodeDecodeError:
        raise InvalidUrl("expected base64 of a text in UTF-8") from None


def shown(text: str) -> str:
    """A piece of a URL for the log."""
    return ascii(text[:_MOST_CHARACTERS])
