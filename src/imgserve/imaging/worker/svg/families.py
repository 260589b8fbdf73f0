"""The fonts that the text of an SVG asks for. Called by fontcheck.

In: a document that ``xmlcheck`` has passed, its style sheets without ``@media``. Out: lists of font families, without
those that end in any font anyway: with a generic family (CSS Fonts Level 4, section 2.1.2). Of selectors it knows
names, classes and ids, also of ancestors; a rule with another selector counts for no element.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from html import unescape
from itertools import islice
from typing import NamedTuple
from xml.parsers import expat

from imgserve.imaging.worker.svg import stylesheet
from imgserve.imaging.worker.svg.markup import Root

Families = tuple[str, ...]

MOST_LISTS = 20
_MOST_FAMILIES, _LONGEST_FAMILY = 10, 100
_MOST_LETTERS = 20
# Limits on the work: a longer document is not looked at, and texts or rules beyond these numbers are left out.
_LONGEST_DOCUMENT, _MOST_ELEMENTS, _MOST_TEXTS, _MOST_RULES, _DEEPEST = 1_000_000, 50_000, 500, 50, 100
_MOST_WORK = 500_000  # elements compared with a rule, each less than a microsecond
_LONGEST_VALUE = 500
_GENERIC = frozenset((
    "serif", "sans-serif", "monospace", "cursive", "fantasy", "system-ui", "ui-serif", "ui-sans-serif", "ui-monospace",
    "ui-rounded", "math", "emoji", "fangsong", "sans", "mono",
))  # fmt: skip
_OTHER_WORDS = frozenset(("initial", "unset", "revert", "revert-layer"))
_INHERIT = "inherit"

# Most drawings need no closer look, because each of their lists has a generic family.
_MAY_ASK = re.compile(rb"font(?:-family)?\s*[:=]([^;<>{}=]{0,500})", re.IGNORECASE)
_HAS_GENERIC = re.compile(
    rb"(?:^|[,\"'])\s*(?:%s)\s*(?:[,\"'!]|\Z)" % "|".join(sorted(_GENERIC)).encode(), re.IGNORECASE
)

_DRAWN = frozenset(("text", "tspan", "a"))
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)|<!\[CDATA\[|\]\]>|<!--|-->", re.DOTALL)
_DECLARED = re.compile(r"(?<![\w-])font(-family)?\s*:((?:\"[^\"]*\"|'[^']*'|[^;{}\"'])*)", re.IGNORECASE)
_IMPORTANT = re.compile(r"!\s*important", re.IGNORECASE)
# In the shorthand, the families stand behind the size and the height of a line (CSS Fonts Level 4, section 2.7).
_BEHIND_SIZE = re.compile(
    r"(?:^|\s)(?:[\d.]{1,20}(?:[a-z]{1,4}|%)|(?:xx?-)?(?:small|large)|medium|smaller|larger)(?:\s*/\s*\S+)?\s+(.+)",
    re.DOTALL | re.IGNORECASE,
)
_NAME = re.compile(r"\"([^\"]*)\"|'([^']*)'|([^,\"']+)")
_COMPOUND = re.compile(r"(\*|[A-Za-z][\w-]*)?((?:[.#][\w-]+)*)")
_PART = re.compile(r"([.#])([\w-]+)")


class _Element(NamedTuple):
    name: str
    attributes: dict[str, str]


class _Compound(NamedTuple):
    """A selector of one element. ``name`` empty: any."""

    name: str
    ids: frozenset[str]
    classes: frozenset[str]

    def matches(self, element: _Element) -> bool:
        return (
            self.name in ("", element.name)
            and (not self.ids or self.ids == {element.attributes.get("id")})
            and (not self.classes or self.classes <= set(element.attributes.get("class", "").split()))
        )


class _Rule(NamedTuple):
    """``compounds``: of some ancestors and of the element, in this order."""

    compounds: tuple[_Compound, ...]
    value: str

    @property
    def weight(self) -> tuple[int, int, int]:
        """The specificity (Selectors Level 4, section 17)."""
        return (
            sum(len(part.ids) for part in self.compounds),
            sum(len(part.classes) for part in self.compounds),
            sum(bool(part.name) for part in self.compounds),
        )

    def matches(self, opened: Sequence[_Element]) -> bool:
        *rest, own = self.compounds
        if not own.matches(opened[-1]):
            return False
        ancestors = reversed(opened[:-1])
        return all(any(part.matches(element) for element in ancestors) for part in reversed(rest))


def asked(root: Root) -> dict[Families, str]:
    """Each list that a text asks for, with some letters beyond ASCII of that text."""
    if len(root.data) > _LONGEST_DOCUMENT or all(map(_HAS_GENERIC.search, set(_MAY_ASK.findall(root.data)))):
        return {}
    reader = _Reader(_rules(root))
    with suppress(expat.ExpatError, _Enough):
        reader.parser.Parse(root.data, True)
    return reader.found


class _Enough(Exception):
    """The limits are reached."""


class _Reader:
    """One run of expat over one document."""

    def __init__(self, rules: list[_Rule]) -> None:
        self.found: dict[Families, str] = {}
        self._rules = rules
        self._opened: list[_Element] = []
        self._is_drawn = False  # letters here: a title's, for one, are not
        self._elements = self._texts = self._work = 0
        self.parser = expat.ParserCreate("utf-8")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > _MOST_ELEMENTS or len(self._opened) >= _DEEPEST:
            raise _Enough
        element = _Element(name.rpartition(":")[2], attributes)
        self._opened.append(element)
        self._listen(is_drawn=element.name in _DRAWN)

    def _end(self, _name: str) -> None:
        self._opened.pop()
        self._listen(is_drawn=bool(self._opened) and self._opened[-1].name in _DRAWN)

    def _listen(self, *, is_drawn: bool) -> None:
        if is_drawn != self._is_drawn:
            self._is_drawn = is_drawn
            self.parser.CharacterDataHandler = self._text if is_drawn else None

    def _text(self, text: str) -> None:
        if text.isspace() or not any(element.name == "text" for element in self._opened):
            return
        self._texts += 1
        if self._texts > _MOST_TEXTS:
            raise _Enough
        families = self._families()
        if not families or (families not in self.found and len(self.found) >= MOST_LISTS):
            return
        letters = self.found.get(families, "")
        new = (letter for letter in dict.fromkeys(text) if letter > "\x7f" and letter not in letters)
        self.found[families] = letters + "".join(islice(new, _MOST_LETTERS - len(letters)))

    def _families(self) -> Families:
        """Of the innermost element: its own, or those that it inherits."""
        for depth in range(len(self._opened), 0, -1):
            value = self._declared(self._opened[:depth])
            if value is not None and value.strip().lower() != _INHERIT:
                return _list_of(value)
        return ()

    def _declared(self, opened: list[_Element]) -> str | None:
        self._work += len(self._rules) * len(opened)
        if self._work > _MOST_WORK:
            raise _Enough
        attributes = opened[-1].attributes
        value = _declared_in(attributes["style"]) if "style" in attributes else None
        if value is None:
            value = next((rule.value for rule in self._rules if rule.matches(opened)), None)
        return attributes.get("font-family") if value is None else value


def _rules(root: Root) -> list[_Rule]:
    """Those that declare a font, the strongest first."""
    rules: list[_Rule] = []
    for text in stylesheet.texts(root):
        if "font" not in text.lower():
            continue
        for block in _COMMENT.sub(" ", unescape(text)).split("}"):
            selectors, _, body = block.partition("{")
            value = _declared_in(body)
            if value is not None:
                chains = map(_compounds, selectors.rpartition(";")[2].split(","))
                rules += [_Rule(chain, value) for chain in chains if chain]
            if len(rules) > _MOST_RULES:
                break
    return sorted(reversed(rules[:_MOST_RULES]), key=lambda rule: rule.weight, reverse=True)


def _compounds(selector: str) -> tuple[_Compound, ...]:
    """Empty for a selector of another kind."""
    compounds = []
    for part in selector.replace(">", " ").split():
        match = _COMPOUND.fullmatch(part)
        if match is None:
            return ()
        names = _PART.findall(match[2])
        ids = frozenset(name for sign, name in names if sign == "#")
        classes = frozenset(name for sign, name in names if sign == ".")
        compounds.append(_Compound("" if match[1] in (None, "*") else match[1], ids, classes))
    return tuple(compounds)


def _declared_in(style: str) -> str | None:
    """The last list of families among these declarations."""
    value = None
    for is_family, text in _DECLARED.findall(_COMMENT.sub(" ", style)):
        plain = _IMPORTANT.sub("", text).strip()[:_LONGEST_VALUE]
        behind = None if is_family else _BEHIND_SIZE.search(plain)
        if is_family or plain.lower() == _INHERIT:
            value = plain
        elif behind is not None:
            value = behind[1]
    return value


def _list_of(value: str) -> Families:
    """The families of a list; none if one is generic, or if the list cannot be read for sure."""
    if len(value) > _LONGEST_VALUE or "\\" in value or "(" in value or value.strip().lower() in _OTHER_WORDS:
        return ()
    names = tuple(" ".join("".join(parts).split()) for parts in _NAME.findall(value))
    names = tuple(name for name in names if name)
    is_plain = all(name.isprintable() and len(name) <= _LONGEST_FAMILY for name in names)
    if not is_plain or len(names) > _MOST_FAMILIES or any(name.lower() in _GENERIC for name in names):
        return ()
    return names
