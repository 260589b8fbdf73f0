"""References of style sheets and attributes of an SVG: all that lead out of the document are removed.

Called by sanitize. In: CSS, or an attribute's value, decoded. Out: the same without them. Tokens are those of CSS
Syntax Module Level 3, section 4; each is read once.

svg-hush reads the result by rules of its own: it finds ``url(``, ``@import`` and escapes in strings and in longer names
too, and leaves them out with the quotes beside them, which makes code of the string behind. So no string and no name
has them, and nothing is escaped.
"""

import re

# A reference within the document, or a picture that it holds. CSP would let a browser load no other data.
_INNER = re.compile(r"#|data:image/(?:png|jpe?g|gif|webp|avif)[;,]", re.IGNORECASE)
_AT_RULES = frozenset(
    {"media", "supports", "font-face", "keyframes", "-webkit-keyframes", "page", "layer", "container"}
)
# Functions that are nothing but a reference, or a script.
_LOADING = frozenset({"src", "expression"})
_NEWLINE = re.compile(r"\r\n?|\f")  # each ends a string, as a line feed does (section 3.3)
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})[ \t\n]?|([^\n]))")
_STRING = r"\"(?:[^\"\\\n]|\\.)*+\"?|'(?:[^'\\\n]|\\.)*+'?"
_TOKEN = re.compile(
    rf"(?P<comment>/\*(?:[^*]|\*(?!/))*+(?:\*/)?)|(?P<string>{_STRING})"
    r"|(?P<name>@?(?:[\w-]|[^\x00-\x7f]|\\[0-9a-fA-F]{1,6}[ \t\n]?|\\[^\n])++\(?)"
    r"|(?P<bracket>[()\[\]{};])|[^\w\-()\[\]{};\"'@\\/]++|.",
    re.DOTALL,
)
_TARGET = re.compile(rf"\s*+(?:(?P<quoted>{_STRING})|(?P<plain>(?:[^)\\]|\\.)*+))[^)]*+\)?", re.DOTALL)
_MISREAD = re.compile(r"[(@\\\n]")
_PLAIN_NAME = re.compile(r"@?[\w-]+\(?", re.ASCII)
_CLOSED_BY = {"(": ")", "[": "]", "{": "}"}


def is_inner(target: str) -> bool:
    return _INNER.match(target.strip()) is not None


def without_outer(css: str) -> str:
    """Rules, declarations and values stay; a reference becomes ``none``, a string that may be one becomes empty."""
    return _Css(css).result()


class _Css:
    def __init__(self, css: str) -> None:
        self._css = _NEWLINE.sub("\n", css)
        self._at = 0
        self._open: list[str] = []
        self._is_in_unknown = False  # at-rule
        self._custom_in: int | None = None  # brackets around the custom property that is read

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
                return self._string(text)
            case "name":
                return self._name(_plain(text))
            case "bracket":
                self._bracket(text)
        return "" if text == "\\" else text

    def _string(self, text: str) -> str:
        # var() may bring the value of a custom property into any function.
        may_load = self._is_in_unknown or self._custom_in is not None or self._open[-1:] == ["("]
        return '""' if _MISREAD.search(text) or (may_load and not is_inner(text[1:])) else text

    def _name(self, text: str) -> str:
        name = text.lower()
        if name.startswith("@"):
            self._is_in_unknown = name[1:] not in _AT_RULES
            return "@unknown" if self._is_in_unknown else text
        if not text.endswith("("):
            if name.startswith("--") and self._custom_in is None and "(" not in self._open:
                self._custom_in = len(self._open)
            return text
        if name.endswith("url("):
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
        if self._custom_in is not None and len(self._open) < self._custom_in + (text == ";"):
            self._custom_in = None


def _plain(name: str) -> str:
    """Without escapes; another name in place of one that needs them."""
    if "\\" not in name:
        return name
    plain = _unescaped(name)
    return plain if _PLAIN_NAME.fullmatch(plain) else f"none{'(' if name.endswith('(') else ''}"


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda escape: _letter(escape[1]) if escape[1] else escape[2], text) if "\\" in text else text


def _letter(digits: str) -> str:
    number = int(digits, 16)
    return chr(number) if 0 < number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "\ufffd"
