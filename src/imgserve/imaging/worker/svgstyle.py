"""Style that librsvg leaves out: ``@media`` rules, and the root's background. Called by svg and svgsize.

In: the document in UTF-8. Media queries are answered for a screen of the picture's own size. Media Queries Level 4,
sections 2 and 3; CSS Backgrounds Level 3, section 2.11.2 (the root's background covers the canvas).
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker.colour import Rgba
from imgserve.imaging.worker.svgmarkup import Root
from imgserve.spec.facts import Size

_STYLE_OR_QUOTED = re.compile(rb"<!--|<!\[CDATA\[|<(?:[\w.-]{1,99}:)?style(?=[\s/>])[^<>]{0,999}+>")
_STYLE_END = re.compile(rb"</(?:[\w.-]{1,99}:)?style\s{0,99}>")
_QUOTED_UNTIL = {b"<!--": b"-->", b"<![CDATA[": b"]]>"}
_MEDIA_ATTRIBUTE = re.compile(rb"\smedia\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")

_MEDIA = re.compile(rb"@media\b", re.IGNORECASE)
_BRACE = re.compile(rb"/\*.*?(?:\*/|\Z)|\"[^\"\n]*\"|'[^'\n]*'|[{}]", re.DOTALL)
_DEEPEST = 8
_QUERY = re.compile(r"(?:(not|only)\s++)?(?!and\b)([a-z]+)?\s*+((?:(?:and\b\s*+)?\([^()]*+\)\s*+)*+)")
_LONGEST_QUERY = 500
_FEATURE = re.compile(r"\(\s*([a-z-]+)\s*(?::\s*([^()]*?)\s*)?\)")
_LENGTH = re.compile(r"(\d+\.?\d*|\.\d+)(px|em|rem)?")
_EM_PX = 16.0
_TRUE_FEATURES = {("prefers-color-scheme", "light"), ("prefers-reduced-motion", "no-preference"), ("color", "")}

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_BACKGROUND = re.compile(r"(?:^|;)\s*background(?:-color)?\s*:((?:[^;(]|\([^)]{0,200}\))*+)", re.IGNORECASE)
_LONGEST_DECLARATIONS, _LONGEST_SHEETS = 10_000, 250_000
_PART = re.compile(r"(?:[^\s(]+(?:\([^)]*\))?)")
_COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}|[a-zA-Z]{3,30}|(?:rgb|hsl|hwb)a?\([\w\s.,%/+-]{1,80}\)", re.IGNORECASE)
# Other values that "background" may hold (CSS Backgrounds Level 3, section 2.10).
_NO_COLOUR = re.compile(
    r"none|transparent|inherit|initial|unset|revert|(no-)?repeat(-[xy])?|space|round|scroll|fixed|local|top|bottom|left"
    r"|right|center|cover|contain|auto|(border|padding|content)-box|/|[+-]?[\d.]{1,20}(%|[a-z]{0,4})"
    r"|(url|[a-z-]{0,30}gradient|image-set)\([^)]*\)\)*"
)
_MOST_TRIED = 20
_OWN_COLOUR = re.compile(r"(?:^|;)\s*color\s*:([^;!]*+)", re.IGNORECASE)
_SIMPLE = re.compile(r"(\*|svg)?((?:[.#][\w-]+|:root)*)")
_SELECTED = re.compile(r"[.#][\w-]+|:root")


class Declared(NamedTuple):
    """A value of ``background``; compared by importance, place and weight, the later one of equals is the stronger."""

    value: str
    is_important: bool
    is_inline: bool = False
    weight: tuple[int, int] = (0, 0)


class Sheet(NamedTuple):
    """Where a style element and its text lie in the document."""

    start: int
    text_start: int
    text_end: int
    end: int


def sheets(data: bytes, at: int) -> Iterator[Sheet]:
    """The style elements behind ``at``."""
    while (token := _STYLE_OR_QUOTED.search(data, at)) is not None:
        mark = token.group()
        if mark in _QUOTED_UNTIL:
            at = data.find(_QUOTED_UNTIL[mark], token.end())
            if at < 0:
                return
        elif mark.endswith(b"/>"):
            at = token.end()
        else:
            end = _STYLE_END.search(data, token.end())
            if end is None:
                return
            at = end.end()
            yield Sheet(token.start(), token.end(), end.start(), at)


def for_screen(root: Root, size: Size | None) -> Root:
    """The document with its rules for a screen of this size outside of ``@media``, without those for other media."""
    if b"media" not in root.data.lower():
        return root
    parts: list[bytes] = []
    at = read = 0
    for sheet in sheets(root.data, root.tag_end):
        read += sheet.text_end - sheet.text_start
        if read > _LONGEST_SHEETS:
            break
        media = _MEDIA_ATTRIBUTE.search(root.data, sheet.start, sheet.text_start)
        is_shown = media is None or _is_shown((media[1] or media[2] or b"").decode(errors="replace"), size)
        text = unwrapped(root.data[sheet.text_start : sheet.text_end], size) if is_shown else b""
        parts += [root.data[at : sheet.text_start], text]
        at = sheet.text_end
    return root._replace(data=b"".join([*parts, root.data[at:]]))


def unwrapped(text: bytes, size: Size | None, depth: int = 0) -> bytes:
    """A style sheet without its ``@media`` blocks, but with the rules in those that hold."""
    parts: list[bytes] = []
    at = 0
    while depth < _DEEPEST and (found := _MEDIA.search(text, at)) is not None:
        begin, end = _block(text, found.end())
        parts.append(text[at : found.start()])
        if _is_shown(text[found.end() : begin].decode(errors="replace"), size):
            parts.append(unwrapped(text[begin + 1 : end], size, depth + 1))
        at = end + 1
    return b"".join([*parts, text[at:]])


def _block(text: bytes, at: int) -> tuple[int, int]:
    """Where the next braces open and close, strings and comments apart."""
    begin, depth = len(text), 0
    for token in _BRACE.finditer(text, at):
        if token.group() == b"{":
            begin = min(begin, token.start())
            depth += 1
        elif token.group() == b"}":
            depth -= 1
            if depth <= 0:
                return min(begin, token.start()), token.start()
    return begin, len(text)


def _is_shown(queries: str, size: Size | None) -> bool:
    return len(queries) <= _LONGEST_QUERY and any(_holds(query.strip(), size) for query in queries.lower().split(","))


def _holds(query: str, size: Size | None) -> bool:
    found = _QUERY.fullmatch(query)
    if found is None:
        return False
    is_wanted = found[2] in (None, "all", "screen") and all(
        _has(name, value, size) for name, value in _FEATURE.findall(found[3])
    )
    return is_wanted != (found[1] == "not")


def _has(name: str, value: str, size: Size | None) -> bool:
    if (name, value) in _TRUE_FEATURES:
        return True
    if size is None:
        return False
    if name == "orientation":
        return value == ("landscape" if size.width_px > size.height_px else "portrait")
    length = _LENGTH.fullmatch(value)
    side = {"width": size.width_px, "height": size.height_px}.get(name.removeprefix("min-").removeprefix("max-"))
    if length is None or side is None:
        return False
    px = float(length[1]) * (_EM_PX if length[2] in ("em", "rem") else 1.0)
    return side >= px if name.startswith("min-") else side <= px if name.startswith("max-") else side == px


def background(root: Root) -> Rgba | None:
    """The colour that a browser paints behind the whole drawing; None where there is none to be seen."""
    inline = root.attributes.get(b"style", b"").decode(errors="replace")
    declared = [Declared(*found, is_inline=True) for found in _backgrounds(inline)]
    if b"background" in root.data.lower():
        declared += _of_sheets(root)
    current = _current_colour(root, inline)
    for one in sorted(reversed(declared), key=lambda one: one[1:], reverse=True)[:_MOST_TRIED]:
        is_understood, colour = _understood(one.value, current)
        if is_understood:
            return colour
    return None


def _backgrounds(declarations: str) -> Iterator[tuple[str, bool]]:
    """The values of the property, and which are important, in their order."""
    for text in _BACKGROUND.findall(_COMMENT.sub("", declarations[:_LONGEST_DECLARATIONS])):
        value, _, mark = text.partition("!")
        yield value, mark.strip().lower() == "important"


def _understood(value: str, current: str) -> tuple[bool, Rgba | None]:
    """Whether each part is a colour that librsvg knows, or a word or a picture of the property's, and the colour."""
    colour = None
    parts = _PART.findall(value)
    for part in parts:
        if _NO_COLOUR.fullmatch(part.lower()):
            continue
        text = current if part.lower() == "currentcolor" else part
        if not _COLOUR.fullmatch(text):
            return False, None
        rgba = _read_colour(text)
        if rgba is None:
            return False, None
        colour = rgba
    return bool(parts), colour


def _current_colour(root: Root, inline: str) -> str:
    own = _OWN_COLOUR.findall(_COMMENT.sub("", inline[:_LONGEST_DECLARATIONS]))
    text = own[-1] if own else root.attributes.get(b"color", b"").decode(errors="replace")
    return str(text).strip() or "black"


def _of_sheets(root: Root) -> Iterator[Declared]:
    """The declarations of the rules whose selector matches the root alone."""
    text = b"\n".join(root.data[sheet.text_start : sheet.text_end] for sheet in sheets(root.data, root.tag_end))
    plain = _COMMENT.sub("", text[:_LONGEST_SHEETS].decode(errors="replace"))
    for rule in plain.replace("<![CDATA[", "").replace("]]>", "").split("}"):
        before, _, declarations = rule.rpartition("{")
        found = list(_backgrounds(declarations))
        weights = [_weight(one.strip(), root) for one in before.rpartition(";")[2].split(",")] if found else []
        weight = max((weight for weight in weights if weight is not None), default=None)
        if weight is not None:
            yield from (Declared(value, is_important, weight=weight) for value, is_important in found)


def _weight(selector: str, root: Root) -> tuple[int, int] | None:
    """Its specificity (ids; classes and pseudo-classes before names), or None for another element's."""
    found = _SIMPLE.fullmatch(selector)
    if found is None or not selector:
        return None
    ids = {b"#" + root.attributes.get(b"id", b"")}
    names = {b"." + name for name in root.attributes.get(b"class", b"").split()} | {b":root"}
    parts = [part.encode() for part in _SELECTED.findall(found[2])]
    if any(part not in ids | names for part in parts):
        return None
    return sum(part in ids for part in parts), 2 * sum(part in names for part in parts) + (found[1] == "svg")


def _read_colour(text: str) -> Rgba | None:
    """librsvg's opinion of a colour; None for a word that is none."""
    patch = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1">'
        f'<rect width="1" height="1" style="fill:transparent;fill:{text}"/></svg>'
    )
    red, green, blue, alpha = (int(value) for value in pyvips.Image.svgload_buffer(patch.encode())(0, 0))
    return (red, green, blue, alpha) if alpha else None
