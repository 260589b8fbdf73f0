"""The stack of open elements (https://html.spec.whatwg.org/multipage/parsing.html#the-stack-of-open-elements).

Used by ``builder``. There is no document: each open element carries the ``Context`` that its children inherit. HTML
often asks whether an element is open above some boundary. Lists of the serial numbers of the open elements, one for
each name and each kind of boundary, answer that without a walk over the stack.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Literal

import msgspec

from imgserve.imaging.worker.html.controls import Control, Option

Boundary = Literal["scope", "list", "button", "table", "special", "item", "root"]

_SCOPE = (
    "applet", "caption", "html", "table", "td", "th", "marquee", "object", "select", "template",
    "math mi", "math mo", "math mn", "math ms", "math mtext", "math annotation-xml", "math annotation-xml html",
    "svg foreignobject", "svg desc", "svg title",
)  # fmt: skip
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
# The elements whose start tag ends a paragraph.
BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "center", "details", "dialog", "dir", "div", "dl", "fieldset",
    "figcaption", "figure", "footer", "header", "hgroup", "listing", "main", "menu", "nav", "ol", "p", "pre", "search",
    "section", "summary", "ul",
})  # fmt: skip
_SPECIAL = (
    *_SCOPE, *(BLOCKS - {"dialog"}), *HEADINGS, "body", "button", "dd", "dt", "form", "li", "noscript", "tbody",
    "tfoot", "thead", "tr",
)  # fmt: skip
_BOUNDARIES: dict[Boundary, tuple[str, ...]] = {
    "scope": _SCOPE,
    "list": (*_SCOPE, "ol", "ul"),
    "button": (*_SCOPE, "button"),
    "table": ("html", "table", "template"),
    "special": _SPECIAL,
    "item": tuple(name for name in _SPECIAL if name not in ("address", "div", "p")),
    "root": ("html",),
}
_MOST_ADOPTIONS = 8
_IMPLIED = frozenset({"dd", "dt", "li", "optgroup", "option", "p", "rb", "rp", "rt", "rtc"})


class Context(msgspec.Struct, frozen=True):
    """The state that all elements inside inherit. ``form`` is the number of the form around them; ``is_errors``: they
    are in a list of errors."""

    form: int | None = None
    is_disabled: bool = False
    is_datalist: bool = False
    is_template: bool = False
    direction: str = "ltr"
    select: Control | None = None
    is_group_disabled: bool = False
    option: Option | None = None
    is_errors: bool = False


class Element(msgspec.Struct, eq=False):
    """``foreign_root``: the serial number of the outermost of the SVG or MathML elements around it, which no HTML
    element parts. ``outer_disabled`` is a fieldset's: whether the controls in its first legend are disabled."""

    name: str
    context: Context
    serial: int
    foreign_root: int
    has_legend: bool = False
    outer_disabled: bool = False


class OpenElements:
    """Names are HTML's; a foreign element's has ``svg`` or ``math`` and a space before it. An element that is removed
    from the middle of the stack stays in it without a name. The root is a boundary of each kind and stays open."""

    def __init__(self) -> None:
        self._serial = 0
        self._stack: list[Element] = []
        self._named: dict[str, list[Element]] = {}
        self._boundaries: dict[Boundary, list[int]] = {boundary: [] for boundary in _BOUNDARIES}
        self._lists = {
            name: tuple(self._boundaries[boundary] for boundary, names in _BOUNDARIES.items() if name in names)
            for name in _SPECIAL
        }
        self.push("html", Context())

    @property
    def top(self) -> Element:
        stack = self._stack
        while not stack[-1].name:
            stack.pop()
        return stack[-1]

    def push(self, name: str, context: Context) -> Element:
        is_inner = " " in name and " " in self.top.name
        element = Element(name, context, self._serial, self.top.foreign_root if is_inner else self._serial)
        self._serial += 1
        self._stack.append(element)
        self._named.setdefault(name, []).append(element)
        for boundary in self._lists.get(name, ()):
            boundary.append(element.serial)
        return element

    def pop(self) -> str:
        element = self.top
        if element.serial == 0:
            return element.name  # the root stays
        self._stack.pop()
        self._named[element.name].pop()
        for boundary in self._lists.get(element.name, ()):
            boundary.pop()
        return element.name

    def last(self, names: Iterable[str]) -> int:
        """The serial number of the innermost open element with one of these names; -1 without one."""
        return max((named[-1].serial for name in names if (named := self._named.get(name))), default=-1)

    def has(self, name: str, boundary: Boundary = "scope") -> bool:
        """Whether the element is open with no boundary of this kind inside it; one itself, it counts."""
        named = self._named.get(name)
        return bool(named and named[-1].serial >= self._boundaries[boundary][-1])

    def pop_to(self, *names: str) -> None:
        """End the innermost of these, which is open, and all in it."""
        while self.pop() not in names:
            if self.top.serial == 0:
                return

    def pop_until(self, *names: str) -> None:
        """End all in the innermost of these, which itself stays open."""
        while self.top.name not in names and self.top.serial:
            self.pop()

    def end(self, name: str, boundary: Boundary = "scope") -> bool:
        """The rule of most end tags: close the element and all inside it. False: no such element is open."""
        if not self.has(name, boundary):
            return False
        self.pop_to(name)
        return True

    def imply_ends(self, but: str = "") -> None:
        while (name := self.top.name) in _IMPLIED and name != but:
            self.pop()

    def end_formatting(self, name: str) -> None:
        """The adoption agency algorithm, as far as it changes the open elements.

        The formatting element is removed from around each block in it; all that is open in the last block ends.
        """
        if not self.has(name):
            return
        element = self._named[name][-1]
        special = self._boundaries["special"]
        blocks = len(special) - bisect_left(special, element.serial)
        if not blocks:
            self.pop_to(name)
            return
        self.remove(element)
        if blocks < _MOST_ADOPTIONS:
            while self.top.serial != special[-1]:
                self.pop()

    def is_innermost(self, element: Element) -> bool:
        """Whether it is open, and no other of its name in it."""
        return self._named[element.name][-1:] == [element]

    def remove(self, element: Element) -> None:
        """End this one and nothing in it; the innermost of its name."""
        self._named[element.name].pop()
        for boundary in self._lists.get(element.name, ()):
            del boundary[bisect_left(boundary, element.serial)]
        element.name = ""

    def end_foreign(self, name: str) -> bool:
        """End an SVG or MathML element; False when none of this name is open since the last HTML element."""
        names = (f"svg {name}", f"math {name}", f"math {name} html")
        if self.last(names) < self.top.foreign_root:
            return False
        self.pop_to(*names)
        return True
