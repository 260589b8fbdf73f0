"""Style that librsvg leaves out: ``@media`` rules, and which style sheets are CSS at all. Called by draw and sizing.

In: the document in UTF-8. Out: the same, its style sheets rewritten for librsvg.
"""

import re
from collections.abc import Iterator
from html import escape, unescape
from itertools import islice
from typing import NamedTuple

from imgserve.imaging.faults import SvgInvalid
from imgserve.imaging.worker.svg import media
from imgserve.imaging.worker.svg.markup import Root
from imgserve.request.imageinfo import Size

_STYLE_OR_QUOTED = re.compile(rb"<!--|<!\[CDATA\[|<(?:[\w.-]{1,99}:)?style(?=[\s/>])[^<>]{0,999}+>")
_STYLE_END = re.compile(rb"</(?:[\w.-]{1,99}:)?style\s{0,99}>")
_QUOTED_UNTIL = {b"<!--": b"-->", b"<![CDATA[": b"]]>"}
_ATTRIBUTE = re.compile(rb"\s(media|type)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_CSS = ("", "text/css")

_MEDIA = re.compile(rb"@media\b", re.IGNORECASE)
_BRACE = re.compile(rb"/\*.*?(?:\*/|\Z)|\"[^\"\n]*\"|'[^'\n]*'|[{}]", re.DOTALL)
_DEEPEST = 8
# librsvg knows :not() with a list, but not :is(), which is :not(:not()) with the same weight.
_IS = re.compile(
    rb":(?:is|matches|-webkit-any|-moz-any)\(((?:[^(){}]|\((?:[^(){}]|\([^(){}]*+\))*+\))*+)\)", re.IGNORECASE
)
_MOST_IS_IN_IS = 3
_MOST_PARENTHESES = 200  # within each other; some thousands overflow the stack of librsvg's parser
_NO_PARENTHESES = bytes(byte for byte in range(256) if byte not in b"()")
_LONGEST_SHEETS, _MOST_SHEETS = 250_000, 1000  # the rest goes to librsvg unchanged


class Sheet(NamedTuple):
    """Where a style element and its text lie in the document."""

    start: int
    text_start: int
    text_end: int
    end: int


def sheets(data: bytes, at: int) -> Iterator[Sheet]:
    """The style elements behind ``at``."""
    if data.find(b"<style", at) < 0 and data.find(b":style", at) < 0:
        return
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


def texts(root: Root) -> Iterator[str]:
    """The text of each style element within the limits, as markup."""
    for sheet in _first_sheets(root):
        text = root.data[sheet.text_start : sheet.text_end].decode(errors="replace")
        yield escape(unescape(text), quote=False) if "&" in text and "<" not in text else text


def _first_sheets(root: Root) -> Iterator[Sheet]:
    read = 0
    for sheet in islice(sheets(root.data, root.tag_end), _MOST_SHEETS):
        read += sheet.text_end - sheet.text_start
        if read > _LONGEST_SHEETS:
            return
        yield sheet


def for_screen(root: Root, size: Size | None) -> Root:
    """The document with its ``@media`` rules for a screen of this size as plain rules, without those for other media.

    Raises SvgInvalid.
    """
    for sheet in sheets(root.data, root.tag_end):
        _check_depth(root.data[sheet.text_start : sheet.text_end])
    parts: list[bytes] = []
    at = 0
    for sheet in _first_sheets(root):
        is_used = _is_used(root.data[sheet.start : sheet.text_start], size)
        text = _without_is(unwrapped(root.data[sheet.text_start : sheet.text_end], size)) if is_used else b""
        parts += [root.data[at : sheet.text_start], text]
        at = sheet.text_end
    return root._replace(data=b"".join([*parts, root.data[at:]])) if parts else root


def _is_used(tag: bytes, size: Size | None) -> bool:
    """By its attributes ``type`` and ``media``, which librsvg does not read."""
    pairs = _ATTRIBUTE.findall(tag)
    attributes = {name: (one or other).decode(errors="replace") for name, one, other in pairs}
    kind = attributes.get(b"type", "").partition(";")[0].strip().lower()
    return kind in _CSS and media.holds(attributes.get(b"media", ""), size)


def _check_depth(text: bytes) -> None:
    """Raises SvgInvalid."""
    if text.count(b"(") <= _MOST_PARENTHESES:
        return
    marks, before = text.translate(None, _NO_PARENTHESES), b""
    for _ in range(_MOST_PARENTHESES):
        marks, before = marks.replace(b"()", b""), marks
        if marks == before:
            break
    if marks.count(b"(") > _MOST_PARENTHESES or marks != before:
        raise SvgInvalid(
            f"a style sheet of the SVG has more than {_MOST_PARENTHESES} parentheses within each other", "simplify it"
        )


def _without_is(text: bytes) -> bytes:
    for _ in range(_MOST_IS_IN_IS):
        text = _IS.sub(rb":not(:not(\1))", text)
    return text


def unwrapped(text: bytes, size: Size | None, depth: int = 0) -> bytes:
    """A style sheet without its ``@media`` blocks, but with the rules of those that hold."""
    parts: list[bytes] = []
    at = 0
    while depth < _DEEPEST and (rule := _MEDIA.search(text, at)) is not None:
        begin, end = _block(text, rule.end())
        parts.append(text[at : rule.start()])
        if media.holds(text[rule.end() : begin].decode(errors="replace"), size):
            parts.append(unwrapped(text[begin + 1 : end], size, depth + 1))
        at = end + 1
    return b"".join([*parts, text[at:]])


def _block(text: bytes, at: int) -> tuple[int, int]:
    """The positions of the next opening brace and its closing one, outside of strings and comments."""
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
