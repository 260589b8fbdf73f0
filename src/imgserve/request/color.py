"""Colours as the request writes them: ``#rgb``, ``#rrggbb`` or one of the 16 basic CSS names, to ``#rrggbb``.

Names and values: CSS Color Module Level 4, section 6.1, the sixteen of HTML 4.
"""

import re

EXPECTED = "a colour as #rgb, #rrggbb or a basic CSS name"

BASIC_NAMES = {
    "aqua": "#00ffff", "black": "#000000", "blue": "#0000ff", "fuchsia": "#ff00ff", "gray": "#808080",
    "green": "#008000", "lime": "#00ff00", "maroon": "#800000", "navy": "#000080", "olive": "#808000",
    "purple": "#800080", "red": "#ff0000", "silver": "#c0c0c0", "teal": "#008080", "white": "#ffffff",
    "yellow": "#ffff00",
}  # fmt: skip

_HEX = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})")


def canonical(text: str) -> str | None:
    """``#rrggbb`` in lower case, or None when the text is no colour."""
    word = text.lower()
    if not _HEX.fullmatch(word):
        return BASIC_NAMES.get(word)
    return word if len(word) == 7 else "#" + "".join(digit * 2 for digit in word[1:])
