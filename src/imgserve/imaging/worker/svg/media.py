"""Whether a media query holds for a screen of the picture's own size. Called by stylesheet.

Media Queries Level 4, sections 2 and 3: what is unknown is neither true nor false, so that ``not`` of it does not hold.
"""

import operator
import re
from collections.abc import Callable
from html import unescape

from imgserve.request.imageinfo import Size

Truth = bool | None  # None: unknown

_LONGEST = 500
_DEEPEST = 20
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_TOKEN = re.compile(r"[(),]|[^\s(),]+")
_LENGTH = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(px|em|rem|in|cm|mm|q|pt|pc)?")
_PX = {"px": 1.0, "em": 16.0, "rem": 16.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4, "q": 96 / 101.6,
       "pt": 96 / 72, "pc": 16.0}  # fmt: skip
_RATIO = re.compile(r"(\d{1,9})\s*/\s*(\d{1,9})")
_DENSITY = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)(x|dppx|dpi)?")
_PLAIN = re.compile(r"(min-|max-)?([a-z-]+)\s*:\s*(\S.*)")
_RANGE = re.compile(r"(?:([^<>=]+?)\s*(<=?|>=?|=)\s*)?([a-z-]+)(?:\s*(<=?|>=?|=)\s*([^<>=]+))?")
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
}  # fmt: skip
_WORDS = {
    "prefers-color-scheme": "light", "prefers-reduced-motion": "no-preference", "prefers-contrast": "no-preference",
    "prefers-reduced-transparency": "no-preference", "prefers-reduced-data": "no-preference", "forced-colors": "none",
    "inverted-colors": "none", "scripting": "none", "hover": "hover", "any-hover": "hover", "pointer": "fine",
    "any-pointer": "fine", "color-gamut": "srgb", "dynamic-range": "standard", "update": "none", "scan": "progressive",
}  # fmt: skip
_FALSE_WORDS = {"none", "no-preference"}  # where a feature stands without a value
_NUMBERS = {"color": 8.0, "monochrome": 0.0, "color-index": 0.0, "grid": 0.0}
_DENSITIES = {"resolution", "-webkit-device-pixel-ratio"}


def holds(queries: str, size: Size | None) -> bool:
    """Whether one of them does. Without a ``size`` nothing is known that depends on it."""
    if len(queries) > _LONGEST:
        return False
    text = _COMMENT.sub(" ", unescape(queries)).lower().strip()
    return not text or any(_Query(query, size).holds() for query in _divided(text))


def _divided(text: str) -> list[str]:
    """At the commas outside of parentheses."""
    depth, begin, parts = 0, 0, []
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(text[begin:at])
            begin = at + 1
    return [*parts, text[begin:]]


class _Malformed(Exception):
    """No query by the grammar: it never holds."""


class _Query:
    """One query, read from left to right."""

    def __init__(self, text: str, size: Size | None) -> None:
        self._text = text
        self._size = size
        self._tokens = [(token.group(), token.start(), token.end()) for token in _TOKEN.finditer(text)]
        self._at = 0

    def holds(self) -> bool:
        try:
            result = self._query()
            return result is True and self._at == len(self._tokens)
        except _Malformed:
            return False

    def _next(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._next()
        self._at += 1
        return token

    def _query(self) -> Truth:
        words = [token for token, _, _ in self._tokens[:2]]
        if words[:1] == ["("] or words == ["not", "("]:
            return self._condition(0)
        prefix = self._take() if self._next() in ("not", "only") else ""
        is_shown: Truth = self._take() in ("all", "screen")
        if self._next() == "and":
            self._at += 1
            is_shown = _and(is_shown, self._condition(0, has_or=False))
        return _not(is_shown) if prefix == "not" else is_shown

    def _condition(self, depth: int, *, has_or: bool = True) -> Truth:
        if self._next() == "not":
            self._at += 1
            return _not(self._in_parentheses(depth))
        result = self._in_parentheses(depth)
        word = self._next()
        while word and self._next() == word and word in ("and", "or"):
            if word == "or" and not has_or:
                raise _Malformed
            self._at += 1
            other = self._in_parentheses(depth)
            result = _and(result, other) if word == "and" else _not(_and(_not(result), _not(other)))
        return result

    def _in_parentheses(self, depth: int) -> Truth:
        if self._take() != "(" or depth > _DEEPEST:
            raise _Malformed
        if self._next() in ("(", "not"):
            result = self._condition(depth + 1)
            if self._take() != ")":
                raise _Malformed
            return result
        begin, open_ones = self._tokens[self._at - 1][2], 1
        while open_ones:
            mark = self._take()
            if not mark:
                raise _Malformed
            open_ones += (mark == "(") - (mark == ")")
        return _feature(self._text[begin : self._tokens[self._at - 1][1]].strip(), self._size)


def _and(one: Truth, other: Truth) -> Truth:
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def _not(one: Truth) -> Truth:
    return None if one is None else not one


def _feature(text: str, size: Size | None) -> Truth:
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        if not plain[1] and plain[2] in _WORDS:
            return plain[3] == _WORDS[plain[2]]
        if not plain[1] and plain[2] == "orientation":
            return None if size is None else plain[3] == _orientation(size)
        return _compared(plain[2], {"min-": ">=", "max-": "<=", None: "="}[plain[1]], plain[3], size)
    found = _RANGE.fullmatch(text)
    if found is None:
        return None
    left, left_sign, name, right_sign, right = found.groups()
    if left is None and right is None:
        return _without_value(name, size)
    result: Truth = True
    if left is not None:
        result = _compared(name, _MIRRORED[left_sign], left, size)
    return result if right is None else _and(result, _compared(name, right_sign, right, size))


def _without_value(name: str, size: Size | None) -> Truth:
    if name in _WORDS:
        return _WORDS[name] not in _FALSE_WORDS
    if name == "orientation":
        return True
    value = _own(name, size)
    return None if value is None else value > 0


def _orientation(size: Size) -> str:
    return "landscape" if size.width_px > size.height_px else "portrait"


def _own(name: str, size: Size | None) -> float | None:
    """What this screen has of a feature that is counted."""
    if name in _DENSITIES:
        return 1.0
    if name in _NUMBERS or size is None:
        return _NUMBERS.get(name)
    sides = {"width": size.width_px, "height": size.height_px, "aspect-ratio": size.width_px / size.height_px}
    return sides.get(name.removeprefix("device-"))


def _compared(name: str, sign: str, value: str, size: Size | None) -> Truth:
    own, other = _own(name, size), _number(name, value.strip())
    return None if own is None or other is None else _COMPARE[sign](own, other)


def _number(name: str, value: str) -> float | None:
    if name in _DENSITIES:
        density = _DENSITY.fullmatch(value)
        return None if density is None else float(density[1]) / (96 if density[2] == "dpi" else 1)
    if ratio := _RATIO.fullmatch(value):
        return float(ratio[1]) / float(ratio[2]) if float(ratio[2]) else None
    length = _LENGTH.fullmatch(value)
    return None if length is None else float(length[1]) * _PX[length[2] or "px"]
