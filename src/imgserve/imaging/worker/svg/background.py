"""The background of an SVG's root, which librsvg leaves out. Called by draw.

CSS Backgrounds Level 3, section 2.11.2: the root's background covers the canvas. librsvg itself finds the rule that
wins: it draws one pixel under the root's start tag and the style sheets, in which ``background`` is renamed ``fill``
and ``fill`` has another name.
"""

import re
from html import escape, unescape

import pyvips

from imgserve.imaging.worker.colour.convert import Rgba
from imgserve.imaging.worker.svg import stylesheet
from imgserve.imaging.worker.svg.markup import Root

_LONGEST_STYLE = 10_000


def _spelled(word: str) -> str:
    """A pattern for a word of CSS with or without escapes (CSS Syntax Level 3, section 4.3.7)."""
    return "".join(rf"(?:{letter}|\\0{{0,4}}(?:{ord(letter):x}|{ord(letter.upper()):x})\s?)" for letter in word)


_COMMENT = r"/\*.*?(?:\*/|\Z)"
_STRING = r"\"[^\"\n]*+\"|'[^'\n]*+'"
_IN_PARENTHESES = rf"\((?:{_STRING}|[^()\"']|\((?:{_STRING}|[^()\"']|\([^()]*+\))*+\))*+(?:\)|\Z)"
_VALUE = rf"(?:{_COMMENT}|{_STRING}|{_IN_PARENTHESES}|[^;{{}}()\"'<>\]])*+"
_DECLARED = re.compile(
    rf"{_COMMENT}|{_STRING}"
    rf"|(?<![\w\\-])(?:(?P<fill>{_spelled('fill')})(?=\s*+:)"
    rf"|{_spelled('background')}(?:-{_spelled('color')})?\s*+:(?P<value>{_VALUE}))",
    re.DOTALL | re.IGNORECASE,
)
_PART = re.compile(rf"(?:\\[0-9a-fA-F]{{1,6}}\s?|[^\s,/()])++(?:{_IN_PARENTHESES})?")
# Values of "background" that are no colour (CSS Backgrounds Level 3, section 2.10).
_NO_COLOUR = re.compile(
    r"none|transparent|inherit|initial|unset|revert(-layer)?|(no-)?repeat(-[xy])?|space|round|scroll|fixed|local|top"
    r"|bottom|left|right|center|cover|contain|auto|((border|padding|content)-box)|text|[+-]?[\d.]{1,20}(%|[a-z]{0,4})"
    r"|(url|[a-z-]{0,30}gradient|image-set|-webkit-image-set|cross-fade|element|image|paint)\(.*",
    re.DOTALL,
)

_SHOWN = (
    b"display:inline !important;visibility:visible !important;opacity:1 !important;transform:none !important;"
    b"filter:none !important;mask:none !important;clip-path:none !important;width:1px !important;height:1px !important"
)
_PIXEL = (
    b'<rect xmlns="http://www.w3.org/2000/svg" style="%s;x:0 !important;y:0 !important;rx:0 !important;'
    b"color:inherit !important;fill:inherit !important;fill-opacity:1 !important;"
    b'stroke:none !important"/>' % _SHOWN
)
_SHEET = b'<style xmlns="http://www.w3.org/2000/svg">%s</style>'
_UNLESS_DECLARED = _SHEET % b"*{fill:none}"  # before all others, but it overrules attributes such as fill="red"


def background(root: Root) -> Rgba | None:
    """The colour that a browser paints behind the whole drawing; None without a visible one."""
    style = unescape(root.attributes.get(b"style", b"").decode(errors="replace"))[:_LONGEST_STYLE]
    sheets = list(stylesheet.texts(root))
    if not any("background" in text.lower() or "\\" in text for text in (style, *sheets)):
        return None
    own = escape(renamed(style)).encode() + b";" + _SHOWN
    body = _UNLESS_DECLARED + b"".join(_SHEET % renamed(text).encode() for text in sheets)
    start = root.start_with({b"style": own, b"viewBox": b"0 0 1 1", b"transform": b"scale(1)"})
    document = b"%s>%s%s</%s>" % (start, body, _PIXEL, root.name)
    try:
        red, green, blue, alpha = (int(value) for value in pyvips.Image.svgload_buffer(document)(0, 0))
    except pyvips.Error:  # a broken drawing fails when it is drawn itself
        return None
    return (red, green, blue, alpha) if alpha else None


def renamed(text: str) -> str:
    """Declarations or a whole style sheet, with ``fill`` renamed and ``background`` renamed ``fill``."""
    return _DECLARED.sub(_renamed, text)


def _renamed(match: "re.Match[str]") -> str:
    if match["fill"] is not None:
        return "x-fill"
    if match["value"] is None:
        return match[0]
    value, mark, importance = re.sub(_COMMENT, " ", match["value"], flags=re.DOTALL).partition("!")
    colour = _colour(value)
    return "" if colour is None else f"fill:{colour}{mark}{importance}"


def _colour(value: str) -> str | None:
    """The one part that may be a colour, by librsvg's judgement; ``none`` without any, None for an invalid value."""
    parts = _PART.findall(value)
    colours = [part for part in parts if not _NO_COLOUR.fullmatch(part.lower())]
    if not parts or len(colours) > 1:
        return None
    return colours[0] if colours else "none"
