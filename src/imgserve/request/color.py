"""Colours as requests write them, CSS's ``#rgb[a]``, ``#rrggbb[aa]`` and basic names, in one spelling.

That is ``#rrggbb``, or ``#rrggbbaa`` for one that is not opaque. Names and values: CSS Color Module Level 4, sections
6.1 (the sixteen of HTML 4) and 6.3 (transparent). The Structs of recipes use the types of the end of this file.
"""

import re
from typing import Annotated

from msgspec import Meta

EXPECTED = "a colour as #rgb[a], #rrggbb[aa] or a basic CSS name"
EXPECTED_OPAQUE = "a colour as #rgb, #rrggbb or a basic CSS name"

BASIC_NAMES = {
    "aqua": "#00ffff", "black": "#000000", "blue": "#0000ff", "fuchsia": "#ff00ff", "gray": "#808080",
    "green": "#008000", "lime": "#00ff00", "maroon": "#800000", "navy": "#000080", "olive": "#808000",
    "purple": "#800080", "red": "#ff0000", "silver": "#c0c0c0", "teal": "#008080", "white": "#ffffff",
    "yellow": "#ffff00",
}  # fmt: skip
TRANSPARENT = "#00000000"

_NAMES = BASIC_NAMES | {"transparent": TRANSPARENT}
_HEX = re.compile(r"#(?:[0-9a-f]{3,4}|(?:[0-9a-f]{2}){3,4})")
_LONG = 7  # characters of #rrggbb


def canonical(value: object) -> str | None:
    """``#rrggbb`` or ``#rrggbbaa`` in lower case; None for a value that is no colour."""
    word = value.lower() if isinstance(value, str) else ""
    if not _HEX.fullmatch(word):
        return _NAMES.get(word)
    if len(word) < _LONG:
        word = "#" + "".join(digit * 2 for digit in word[1:])
    return word[:_LONG] if word.endswith("ff") else word


def opaque(value: object) -> str | None:
    """``#rrggbb``; None for a value that is no colour, or a colour with transparency."""
    color = canonical(value)
    return color if color is not None and len(color) == _LONG else None


def meta(*words: str) -> Meta:
    """The meaning of a text field that is a colour or one of these ``words``, for ``request.values``."""

    def read(value: object) -> str | None:
        return value if isinstance(value, str) and value in words else canonical(value)

    pattern = "|".join((*words, "#[0-9a-f]{6}([0-9a-f]{2})?"))
    expected = ", ".join((*(f'"{word}"' for word in words), "")).replace(", ", " or ") + EXPECTED
    return Meta(pattern=rf"^({pattern})$", extra={"read": read, "expected": expected})


Color = Annotated[str, meta()]
OpaqueColor = Annotated[str, Meta(pattern=r"^#[0-9a-f]{6}$", extra={"read": opaque, "expected": EXPECTED_OPAQUE})]
