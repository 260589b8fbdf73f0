"""Style that librsvg leaves out: ``@media`` rules, and the root's background. Called by svg and svgsize.

In: the document in UTF-8. A screen of the picture's own size is what a browser would show it on. Media Queries Level 4,
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
_NO_COLOURS = {"none", "inherit", "initial", "unset", "revert", "currentcolor"}
_SIMPLE = re.compile(r"(\*|svg)?((?:[.#][\w-]+|:root)*)")
_SELECTED = re.compile(r"[.#][\w-]+|:root")


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
    value = _declared(root.attributes.get(b"style", b"").decode(errors="replace"))
    if value is None and b"background" in root.data:
        value = _of_sheets(root)
    if value is None:
        return None
    for part in _PART.findall(value.partition("!")[0]):
        if _COLOUR.fullmatch(part) and part.lower() not in _NO_COLOURS and (colour := _read_colour(part)):
            return colour
    return None


def _declared(declarations: str) -> str | None:
    found = _BACKGROUND.findall(declarations[:_LONGEST_DECLARATIONS])
    return found[-1].strip() if found else None


def _of_sheets(root: Root) -> str | None:
    """The value of the strongest rule, the last one of equals, whose selector is of the root alone."""
    text = b"\n".join(root.data[sheet.text_start : sheet.text_end] for sheet in sheets(root.data, root.tag_end))
    plain = _COMMENT.sub("", text[:_LONGEST_SHEETS].decode(errors="replace"))
    strongest, best = (-1, -1), None
    for rule in plain.replace("<![CDATA[", "").replace("]]>", "").split("}"):
        before, _, declarations = rule.rpartition("{")
        value = _declared(declarations)
        weights = [_weight(one.strip(), root) for one in before.rpartition(";")[2].split(",")] if value else []
        weight = max((weight for weight in weights if weight is not None), default=(-1, -1))
        if weight > (-1, -1) and weight >= strongest:
            strongest, best = weight, value
    return best


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
    """librsvg's opinion of a colour; None for a word that is none, and for what cannot be seen."""
    patch = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1">'
        f'<rect width="1" height="1" style="fill:transparent;fill:{text}"/></svg>'
    )
    red, green, blue, alpha = (int(value) for value in pyvips.Image.svgload_buffer(patch.encode())(0, 0))
    return (red, green, blue, alpha) if alpha else None
