"""References of style sheets and attributes of an SVG: all that lead out of the document are removed.

Called by sanitize. In: CSS, or an attribute's value, decoded. Out: the same without them. Tokens are those of CSS
Syntax Module Level 3, section 4; each is read once.
"""

import re

# A reference within the document, or a picture that it holds. CSP would let a browser load no other data.
_INNER = re.compile(r"#|data:image/(?:png|jpe?g|gif|webp|avif)[;,]", re.IGNORECASE)
_AT_RULES = frozenset(
    {"media", "supports", "font-face", "keyframes", "-webkit-keyframes", "page", "layer", "container"}
)
# Functions that are nothing but a reference, or a script.
_LOADING = frozenset({"src", "expression"})
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})(?:\r\n|[ \t\r\n\f])?|([^\n]))")
_STRING = r"\"(?:[^\"\\\n]|\\.)*+\"?|'(?:[^'\\\n]|\\.)*+'?"
_TOKEN = re.compile(
    rf"(?P<comment>/\*(?:[^*]|\*(?!/))*+(?:\*/)?)|(?P<string>{_STRING})"
    r"|(?P<name>@?(?:[\w-]|[^\x00-\x7f]|\\[^\n])++\(?)|(?P<bracket>[()\[\]{};])|[^\w\-()\[\]{};\"'@\\/]++|.",
    re.DOTALL,
)
_TARGET = re.compile(rf"\s*+(?:(?P<quoted>{_STRING})|(?P<plain>(?:[^)\\]|\\.)*+))[^)]*+\)?", re.DOTALL)
_CLOSED_BY = {"(": ")", "[": "]", "{": "}"}


def is_inner(target: str) -> bool:
    return _INNER.match(target.strip()) is not None


def without_outer(css: str) -> str:
    """Rules, declarations and values stay; a reference becomes ``none``, a string that may be one becomes empty."""
    return _Css(css).result()


class _Css:
    def __init__(self, css: str) -> None:
        self._css = css
        self._at = 0
        self._open: list[str] = []
        self._is_in_unknown = False  # at-rule

    def result(self) -> str:
        parts: list[str] = []
        while self._at < len(self._css):
            token = _TOKEN.match(self._css, self._at)
            assert token is not None, "the last alternative takes anything"
            self._at = token.end()
            parts.append(self._written(token))
        return "".join(parts)

    def _written(self, token: re.Match[str]) -> str:
        text = token[0]
        match token.lastgroup:
            case "comment":
                return "/**/"
            case "string":
                may_load = self._is_in_unknown or self._open[-1:] == ["("]
                return '""' if may_load and not is_inner(_unescaped(text[1:])) else text
            case "name":
                return self._name(text, _unescaped(text).lower())
            case "bracket":
                self._bracket(text)
        return text

    def _name(self, text: str, name: str) -> str:
        if name.startswith("@"):
            self._is_in_unknown = name[1:] not in _AT_RULES
            return "@unknown" if self._is_in_unknown else text
        if not text.endswith("("):
            return text
        if name == "url(":
            return self._url()
        self._open.append("(")
        return "none(" if name[:-1] in _LOADING else text

    def _url(self) -> str:
        target = _TARGET.match(self._css, self._at)
        assert target is not None, "all of it may be empty"
        self._at = target.end()
        quoted, plain = target["quoted"], target["plain"]
        place = _unescaped(quoted.strip("\"'") if quoted is not None else plain).strip()
        return f'url("{place}")' if is_inner(place) and not set(place) & set("\"'()\\\n") else "none"

    def _bracket(self, text: str) -> None:
        if text in _CLOSED_BY:
            self._open.append(text)
        elif self._open and _CLOSED_BY[self._open[-1]] == text:
            self._open.pop()
        if text in "{;":
            self._is_in_unknown = False


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda escape: _letter(escape[1]) if escape[1] else escape[2], text) if "\\" in text else text


def _letter(digits: str) -> str:
    number = int(digits, 16)
    return chr(number) if 0 < number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "\ufffd"
