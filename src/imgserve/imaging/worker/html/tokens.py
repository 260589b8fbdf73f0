"""HTML's tokenizer (https://html.spec.whatwg.org/multipage/parsing.html#tokenization), as far as forms need it.

In: a page's text. Out: tags one by one, and the places of the text between them; ``tree`` asks for the next tag and
for raw text. Each character is read a bounded number of times: a construct without an end ends the page, so nothing is
searched for twice. Tags, attributes and comments count against ``MOST_MARKUP``.
"""

import re
from typing import NamedTuple

from imgserve.imaging.faults import SMALLER_PAGE, PageUnreadable
from imgserve.imaging.worker.html.references import in_attribute

# Real pages of a megabyte have some ten thousand. This many cost less than half a second, in whatever order they come.
MOST_MARKUP = 100_000

_MARKUP = re.compile(r"<(?:(/?)([A-Za-z][^\t\n\f />]*)|([!?/]))")
_ATTRIBUTE = re.compile(
    r"[\t\n\f /]*(?:(>)|([^\t\n\f />][^\t\n\f />=]*)"
    r"(?:[\t\n\f ]*=[\t\n\f ]*(?:\"([^\"]*)\"|'([^']*)'|([^\t\n\f >\"'][^\t\n\f >]*)?))?)"
)
_COMMENT_END = re.compile("--!?>")
_SCRIPT = re.compile(r"<!--|-->|<(/?)script(?=[\t\n\f />])", re.IGNORECASE)


class Tag(NamedTuple):
    """Names are in lower case."""

    name: str
    is_end: bool
    attributes: dict[str, str]
    is_self_closing: bool


class Tokens:
    """``next_tag`` leaves the text before the tag in ``pieces``: one piece, or several with comments between them.

    ``seen`` is the markup counted so far, with that of an earlier reading of the same page.
    """

    def __init__(self, text: str, seen: int = 0) -> None:
        self.text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
        self.pieces: list[tuple[int, int]] = []
        self._position = 0
        self.seen = seen

    def next_tag(self, *, has_cdata: bool = False) -> Tag | None:
        """The next tag; None at the end. ``has_cdata``: the open element is SVG or MathML. Raises PageUnreadable."""
        self.pieces.clear()
        text = self.text
        while (markup := _MARKUP.search(text, self._position)) is not None:
            if markup.start() > self._position:
                self.pieces.append((self._position, markup.start()))
            self._count(1)
            if markup[2] is not None:
                return self._tag(markup[2].lower(), markup[1] == "/", markup.end())
            self._skip(markup[3], markup.end(), has_cdata=has_cdata)
        if self._position < len(text):
            self.pieces.append((self._position, len(text)))
        self._position = len(text)
        return None

    def raw_text(self, name: str) -> str:
        """The text before the end tag of a ``textarea``, ``title``, ``style`` …; skips the end tag."""
        start = self._position
        end_tag = re.compile(rf"</{name}(?=[\t\n\f />])", re.IGNORECASE)
        end = self._script_end() if name == "script" else end_tag.search(self.text, start)
        if end is None:
            self._position = len(self.text)
            return self.text[start:]
        self._tag(name, is_end=True, position=end.end())
        return self.text[start : end.start()]

    def end(self) -> None:
        """All that is left is text."""
        self._position = len(self.text)

    def _tag(self, name: str, is_end: bool, position: int) -> Tag | None:
        attributes: dict[str, str] = {}
        text = self.text
        while (match := _ATTRIBUTE.match(text, position)) is not None:
            position = match.end()
            kind = match.lastindex
            if kind == 1:
                self._position = position
                self._count(len(attributes))
                is_self_closing = text[position - 2] == "/" and match.end() - match.start() > 1
                return Tag(name, is_end, attributes, is_self_closing)
            if kind == 2 and text[position : position + 1] in ('"', "'"):
                break  # a quoted value that does not end
            attribute = match[2].lower()
            if attribute in attributes:
                self._count(1)
            else:
                attributes[attribute] = "" if kind == 2 else in_attribute(match[kind or 0])
        self._position = len(text)
        return None

    def _skip(self, what: str, position: int, *, has_cdata: bool) -> None:
        text = self.text
        if what != "!" or not text.startswith(("--", "[CDATA["), position):
            end = text.find(">", position) + 1
        elif text[position] == "[":
            end = text.find("]]>", position) + 3 if has_cdata else text.find(">", position) + 1
            end = 0 if end == 2 else end
        elif text.startswith((">", "->"), position + 2):
            end = text.index(">", position) + 1
        else:
            match = _COMMENT_END.search(text, position + 2)
            end = match.end() if match else 0
        self._position = end or len(text)

    def _script_end(self) -> "re.Match[str] | None":
        """A script may hold ``<!-- <script> </script> -->``: that end tag is not its own."""
        depth, position = 0, self._position
        while (match := _SCRIPT.search(self.text, position)) is not None:
            position = match.end()
            if match[0] == "<!--":
                depth = max(depth, 1)
                position -= 2  # its dashes may be those of -->
            elif match[0] == "-->":
                depth = 0
            elif not match[1]:
                depth = 2 if depth else 0
            elif depth < 2:
                return match
            else:
                depth = 1
        return None

    def _count(self, number: int) -> None:
        self.seen += number
        if self.seen > MOST_MARKUP:
            raise PageUnreadable(f"The upload page has more than {MOST_MARKUP:,} tags and attributes", SMALLER_PAGE)
