"""CSS as browsers read it: a tokenizer of its own, and the references that a browser would load. For the tests of SVGs.

CSS Syntax Module Level 3, section 4.3; of a style sheet or of declarations.
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

Kind = Literal["string", "url", "function", "at", "name", "mark"]
LOADING = frozenset({"url", "src", "image-set", "-webkit-image-set", "image", "cross-fade"})
_CLOSED_BY = {"(": ")", "[": "]", "{": "}"}
_INNER = re.compile(r"\s*(?:#|data:image/(?:png|jpe?g|gif|webp|avif)[;,]|\Z)", re.IGNORECASE)
_ESCAPE = r"\\(?:[0-9a-fA-F]{1,6}[ \t\n]?|[^\n0-9a-fA-F])"
_NAME = re.compile(rf"(?:--|-?(?:[A-Za-z_]|[^\x00-\x7f]|{_ESCAPE}))(?:[\w-]|[^\x00-\x7f]|{_ESCAPE})*", re.ASCII)
_REST_OF_NAME = re.compile(rf"(?:[\w-]|[^\x00-\x7f]|{_ESCAPE})+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_STRING = re.compile(r"\"((?:[^\"\\\n]|\\.)*)(\"|\Z)?|'((?:[^'\\\n]|\\.)*)('|\Z)?", re.DOTALL)
_BARE_URL = re.compile(rf"[ \t\n]*((?:[^\"'()\\ \t\n]|{_ESCAPE})*)[ \t\n]*(?:\)|\Z)")
_BAD_URL = re.compile(rf"(?:[^)\\]|{_ESCAPE}|\\)*\)?", re.DOTALL)
_MARK = re.compile(r"<!--|-->|.", re.DOTALL)


class Token(NamedTuple):
    """``value``: what stands in a string or a URL, a name in lower case, or the mark itself."""

    kind: Kind
    value: str


def tokens(css: str) -> Iterator[Token]:
    css, at = re.sub("\r\n?|\f", "\n", css), 0
    while at < len(css):
        token, at = _token(css, at)
        if token is not None:
            yield token


def _token(css: str, at: int) -> tuple[Token | None, int]:
    """The token that begins there, None for one that brings nothing, and the position behind it."""
    if comment := _COMMENT.match(css, at):
        return None, comment.end()
    if string := _STRING.match(css, at):
        return Token("string", _unescaped(string[1] or string[3] or "")), string.end()
    if css[at] in "#@" and (name := (_NAME if css[at] == "@" else _REST_OF_NAME).match(css, at + 1)):
        return (Token("at", _unescaped(name[0]).lower()) if css[at] == "@" else None), name.end()
    if number := _NUMBER.match(css, at):
        unit = _NAME.match(css, number.end())
        return None, unit.end() if unit else number.end()
    if name := _NAME.match(css, at):
        word = _unescaped(name[0]).lower()
        if css[name.end() : name.end() + 1] != "(":
            return Token("name", word), name.end()
        return _function(css, word, name.end() + 1)
    mark = _MARK.match(css, at)
    assert mark is not None
    return Token("mark", mark[0]), mark.end()


def _function(css: str, word: str, at: int) -> tuple[Token | None, int]:
    if word != "url" or re.compile(r"[ \t\n]*[\"']").match(css, at):
        return Token("function", word), at
    if url := _BARE_URL.match(css, at):
        return Token("url", _unescaped(url[1])), url.end()
    bad = _BAD_URL.match(css, at)
    assert bad is not None
    return None, bad.end()


def _unescaped(text: str) -> str:
    return re.sub(r"\\(?:([0-9a-fA-F]{1,6})[ \t\n]?|\n|(.))", _letter, text, flags=re.DOTALL)


def _letter(escape: re.Match[str]) -> str:
    if escape[1] is None:
        return escape[2] or ""
    number = int(escape[1], 16)
    return chr(number) if 0 < number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "\ufffd"


def outer_references(css: str) -> list[str]:
    """All that a browser would load, or may load where a custom property brings it, but pictures in the document."""
    opened: list[str] = []
    rule, custom_in, found = "", None, []
    for kind, value in tokens(css):
        is_loaded = rule in ("import", "namespace") or custom_in is not None or bool(opened and opened[-1] in LOADING)
        if (kind == "url" or (kind == "string" and is_loaded)) and not _INNER.match(value):
            found.append(value)
        elif kind == "at":
            rule = value
        elif kind == "function":
            opened.append(value)
        elif kind == "name" and value.startswith("--") and all(one in ("{", "[") for one in opened):
            custom_in = len(opened) if custom_in is None else custom_in
        elif kind == "mark" and value in _CLOSED_BY:
            opened.append(value)
            rule = "" if value == "{" else rule
        elif kind == "mark":
            if opened and value == _CLOSED_BY.get(opened[-1], ")"):
                opened.pop()
            rule = "" if value == ";" else rule
            custom_in = None if custom_in is not None and len(opened) < custom_in + (value == ";") else custom_in
    return found
