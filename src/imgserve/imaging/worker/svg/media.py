"""Whether a media query holds for a screen of the picture's own size. Called by stylesheet.

Media Queries Level 4, sections 2 and 3. Truth has three values there: of an unknown feature ``not`` does not hold
either. They are numbers here, so that ``and`` is the minimum, ``or`` the maximum and ``not`` the rest to 1.
"""

import operator
import re
from collections.abc import Callable
from html import unescape

from imgserve.request.imageinfo import Size

_FALSE, _UNKNOWN, _TRUE = 0.0, 0.5, 1.0

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
_SIGN_OF_PREFIX = {"min-": ">=", "max-": "<=", None: "="}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq,
}  # fmt: skip
_COMBINE: dict[str, Callable[[float, float], float]] = {"and": min, "or": max}
_WORDS = {
    "prefers-color-scheme": "light", "prefers-reduced-motion": "no-preference", "prefers-contrast": "no-preference",
    "prefers-reduced-transparency": "no-preference", "prefers-reduced-data": "no-preference", "forced-colors": "none",
    "inverted-colors": "none", "scripting": "none", "hover": "hover", "any-hover": "hover", "pointer": "fine",
    "any-pointer": "fine", "color-gamut": "srgb", "dynamic-range": "standard", "update": "none", "scan": "progressive",
}  # fmt: skip
_FALSE_WORDS = {"none", "no-preference"}  # where a feature stands without a value
_DENSITIES = ("resolution", "-webkit-device-pixel-ratio")
_NUMBERS = {"color": 8.0, "monochrome": 0.0, "color-index": 0.0, "grid": 0.0, **dict.fromkeys(_DENSITIES, 1.0)}


def holds(queries: str, size: Size | None) -> bool:
    """Whether one of them does. Without a ``size`` everything that depends on it is unknown."""
    if len(queries) > _LONGEST:
        return False
    tokens = _TOKEN.findall(_COMMENT.sub(" ", unescape(queries)).lower())
    return not tokens or any(_Query(query, size).holds() for query in _divided(tokens))


def _divided(tokens: list[str]) -> list[list[str]]:
    """The parts between the commas outside of parentheses."""
    depth = 0
    parts: list[list[str]] = [[]]
    for word in tokens:
        depth += (word == "(") - (word == ")")
        if word == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


class _Malformed(Exception):
    """The query does not follow the grammar, so it never holds."""


class _Query:
    """One query, read from left to right."""

    def __init__(self, tokens: list[str], size: Size | None) -> None:
        self._tokens = tokens
        self._size = size

    def holds(self) -> bool:
        try:
            return self._query() == _TRUE and not self._tokens
        except _Malformed:
            return False

    def _next(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _take(self) -> str:
        if not self._tokens:
            raise _Malformed
        return self._tokens.pop(0)

    def _query(self) -> float:
        if self._next() == "(" or self._tokens[:2] == ["not", "("]:
            return self._condition(0)
        prefix = self._take() if self._next() in ("not", "only") else ""
        result = _TRUE if self._take() in ("all", "screen") else _FALSE
        if self._next() == "and":
            self._take()
            result = min(result, self._condition(0, has_or=False))
        return 1 - result if prefix == "not" else result

    def _condition(self, depth: int, *, has_or: bool = True) -> float:
        if self._next() == "not":
            self._take()
            return 1 - self._in_parentheses(depth)
        result = self._in_parentheses(depth)
        word = self._next()
        combine = _COMBINE.get(word) if has_or or word == "and" else None
        while combine is not None and self._next() == word:
            self._take()
            result = combine(result, self._in_parentheses(depth))
        return result

    def _in_parentheses(self, depth: int) -> float:
        if self._take() != "(" or depth > _DEEPEST:
            raise _Malformed
        if self._next() in ("(", "not"):
            result = self._condition(depth + 1)
            if self._take() != ")":
                raise _Malformed
            return result
        words: list[str] = []
        unclosed = 1
        while unclosed:
            words.append(self._take())
            unclosed += (words[-1] == "(") - (words[-1] == ")")
        return _feature(" ".join(words[:-1]), self._size)


def _feature(text: str, size: Size | None) -> float:
    if plain := _PLAIN.fullmatch(text):
        prefix, name, value = plain.groups()
        word = _orientation(size) if name == "orientation" and size else _WORDS.get(name)
        if word and not prefix:
            return float(value == word)
        return _compared(name, _SIGN_OF_PREFIX[prefix], value, size)
    between = _RANGE.fullmatch(text)
    if between is None:
        return _UNKNOWN
    left, left_sign, name, right_sign, right = between.groups()
    if left is None and right is None:
        return _without_value(name, size)
    low = _TRUE if left is None else _compared(name, _MIRRORED[left_sign], left, size)
    return low if right is None else min(low, _compared(name, right_sign, right, size))


def _without_value(name: str, size: Size | None) -> float:
    if name in _WORDS or name == "orientation":
        return float(_WORDS.get(name) not in _FALSE_WORDS)
    value = _own(name, size)
    return _UNKNOWN if value is None else float(value > 0)


def _orientation(size: Size) -> str:
    return "landscape" if size.width_px > size.height_px else "portrait"


def _own(name: str, size: Size | None) -> float | None:
    """This screen's value of a feature that is a number."""
    if name in _NUMBERS or size is None:
        return _NUMBERS.get(name)
    sides = {"width": size.width_px, "height": size.height_px, "aspect-ratio": size.width_px / size.height_px}
    return sides.get(name.removeprefix("device-"))


def _compared(name: str, sign: str, value: str, size: Size | None) -> float:
    own, other = _own(name, size), _number(name, value.strip())
    return _UNKNOWN if own is None or other is None else float(_COMPARE[sign](own, other))


def _number(name: str, value: str) -> float | None:
    if name in _DENSITIES:
        density = _DENSITY.fullmatch(value)
        return None if density is None else float(density[1]) / (96 if density[2] == "dpi" else 1)
    if ratio := _RATIO.fullmatch(value):
        return float(ratio[1]) / float(ratio[2]) if float(ratio[2]) else None
    length = _LENGTH.fullmatch(value)
    return None if length is None else float(length[1]) * _PX[length[2] or "px"]
