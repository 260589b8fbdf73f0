"""HTML's tree construction (https://html.spec.whatwg.org/multipage/parsing.html#tree-construction) without a tree:
which element stands in which, and which form a control belongs to, as a browser without scripts sees the page.

In: a page's tokens. Out: ``Found``. Called by ``page``. Left out are the rules that change no
form: the document's modes before and after its body, the reopening of formatting elements, foster parenting.
"""

from collections.abc import Callable

import msgspec

from imgserve.imaging.worker.html import charset, form_tags, references
from imgserve.imaging.worker.html.builder import CELLS, GROUPS, Attributes, Building
from imgserve.imaging.worker.html.controls import Found
from imgserve.imaging.worker.html.open_elements import Context, Element
from imgserve.imaging.worker.html.tokens import Tokens

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_RAW = frozenset({"iframe", "noembed", "noframes", "script", "style", "title", "xmp"})
_VOID = frozenset({
    "area", "basefont", "bgsound", "br", "embed", "frame", "image", "img", "keygen", "link", "param", "source",
    "track", "wbr",
})  # fmt: skip
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "center", "details", "dialog", "dir", "div", "dl", "fieldset",
    "figcaption", "figure", "footer", "header", "hgroup", "listing", "main", "menu", "nav", "ol", "p", "pre", "search",
    "section", "summary", "ul",
})  # fmt: skip
_ENDED_IN_SCOPE = (_BLOCKS - {"p"}) | {"button", "select", "dd", "dt", "applet", "marquee", "object"}
_FORMATTING = frozenset({
    "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u",
})  # fmt: skip
_NOT_PUSHED = frozenset({"head", "frameset", "colgroup", "col"})
_ENDS_FOREIGN = frozenset({
    "b", "big", "blockquote", "body", "br", "center", "code", "dd", "div", "dl", "dt", "em", "embed", "h1", "h2", "h3",
    "h4", "h5", "h6", "head", "hr", "i", "img", "li", "listing", "menu", "meta", "nobr", "ol", "p", "pre", "ruby", "s",
    "small", "span", "strong", "strike", "sub", "sup", "table", "tt", "u", "ul", "var",
})  # fmt: skip
_MATHML_TEXT = frozenset({"math mi", "math mo", "math mn", "math ms", "math mtext"})
_HTML_IN_FOREIGN = frozenset({"svg foreignobject", "svg desc", "svg title", "math annotation-xml html"})
_IN_TEMPLATE = Context(is_template=True)
_WHITE_SPACE = "\t\n\f\r "


class Tree:
    """``on_charset`` is called with each charset of a meta element."""

    def __init__(self, tokens: Tokens, on_charset: Callable[[str], None]) -> None:
        self._building = Building(tokens, on_charset)

    def read(self) -> Found:
        """Raises TooMuchMarkup."""
        tokens, elements = self._building.tokens, self._building.open
        while True:
            top = elements.top
            tag = tokens.next_tag(has_cdata=" " in top.name)
            if tokens.pieces:
                self._hear(top.context)
            if tag is None:
                return self._building.found
            if tag.is_end:
                self._end(tag.name, top)
            else:
                self._start(tag.name, tag.attributes, top, is_self_closing=tag.is_self_closing)

    def _hear(self, context: Context) -> None:
        if context.option is None and not context.is_errors:
            return
        text = self._building.tokens.text
        for start, end in self._building.tokens.pieces:
            piece = text[start:end]
            if context.option is not None:
                context.option.text.append(references.in_text(piece))
            elif piece.strip(_WHITE_SPACE):
                self._building.hear_error(context)

    def _start(self, name: str, attributes: Attributes, top: Element, *, is_self_closing: bool) -> None:
        if " " in top.name and self._start_in_foreign(name, attributes, top, is_self_closing=is_self_closing):
            return
        starter = _STARTERS.get(name)
        if starter is not None:
            starter(self._building, name, attributes)
        elif name in _VOID:
            self._building.note(name, attributes)
        elif name in _RAW:
            if name == "xmp":
                self._building.end_paragraph()
            self._building.note(name, attributes)
            self._building.tokens.raw_text(name)
        elif name in ("svg", "math"):
            self._building.note(name, attributes)
            if not is_self_closing:
                self._building.push(f"{name} {name}", attributes)
        elif name not in _NOT_PUSHED:
            self._building.push(name, attributes)

    def _start_in_foreign(self, name: str, attributes: Attributes, top: Element, *, is_self_closing: bool) -> bool:
        """Whether the tag stood for an SVG or MathML element; if not, it is HTML's."""
        is_text = top.name in _MATHML_TEXT and name not in ("mglyph", "malignmark")
        if is_text or top.name in _HTML_IN_FOREIGN or (top.name == "math annotation-xml" and name == "svg"):
            return False
        if name in _ENDS_FOREIGN or (name == "font" and not attributes.keys().isdisjoint(("color", "face", "size"))):
            self._leave_foreign()
            return False
        kind = top.name.partition(" ")[0]
        is_html = name == "annotation-xml" and attributes.get("encoding", "").lower() in (
            "text/html", "application/xhtml+xml",
        )  # fmt: skip
        if is_self_closing:
            self._building.note(name, attributes)
        else:
            self._building.push(f"{kind} {name} html" if is_html and kind == "math" else f"{kind} {name}", attributes)
        return True

    def _leave_foreign(self) -> None:
        elements = self._building.open
        while " " in (name := elements.top.name) and name not in _HTML_IN_FOREIGN | _MATHML_TEXT:
            elements.pop()

    def _end(self, name: str, top: Element) -> None:
        if " " in top.name:
            if name in ("br", "p"):
                self._leave_foreign()
            elif self._building.open.end_foreign(name):
                return
        ender = _ENDERS.get(name)
        if ender is not None:
            ender(self._building, name)
        elif name in _ENDED_IN_SCOPE:
            self._building.open.end(name)
        elif name in _FORMATTING:
            self._building.open.end_formatting(name)
        else:
            self._building.open.end(name, "special")


def _start_root(building: Building, name: str, attributes: Attributes) -> None:
    """Html and body: their attributes go to elements that are open from the beginning."""
    root = building.open.top
    direction = attributes.get("dir", "").lower()
    if root.serial == 0 and direction in ("ltr", "rtl"):
        root.context = msgspec.structs.replace(root.context, direction=direction)
    building.note(name, attributes)


def _start_base(building: Building, name: str, attributes: Attributes) -> None:
    building.note(name, attributes)
    if not building.open.top.context.is_template:
        building.found.base = building.found.base or references.in_attribute(attributes.get("href", ""))


def _start_meta(building: Building, name: str, attributes: Attributes) -> None:
    building.note(name, attributes)
    label = charset.of_meta(attributes)
    if label:
        building.on_charset(label)


def _start_block(building: Building, name: str, attributes: Attributes) -> None:
    building.end_paragraph()
    building.push(name, attributes)


def _start_rule(building: Building, name: str, attributes: Attributes) -> None:
    building.end_paragraph()
    form_tags.end_option(building)
    building.note(name, attributes)


def _start_heading(building: Building, name: str, attributes: Attributes) -> None:
    building.end_paragraph()
    if building.open.top.name in _HEADINGS:
        building.open.pop()
    building.push(name, attributes)


def _start_item(building: Building, name: str, attributes: Attributes) -> None:
    names = ("li",) if name == "li" else ("dd", "dt")
    for other in names:
        if building.open.has(other, "item"):
            building.open.pop_to(other)
            break
    building.end_paragraph()
    building.push(name, attributes)


def _start_formatting(building: Building, name: str, attributes: Attributes) -> None:
    if name in ("a", "nobr"):
        building.open.end_formatting(name)
    building.push(name, attributes)


def _start_plaintext(building: Building, _name: str, _attributes: Attributes) -> None:
    building.tokens.end()


def _start_ruby(building: Building, name: str, attributes: Attributes) -> None:
    if building.open.has("ruby"):
        building.open.imply_ends("rtc" if name in ("rp", "rt") else "")
    building.push(name, attributes)


def _start_template(building: Building, name: str, attributes: Attributes) -> None:
    building.push(name, attributes)
    building.open.top.context = _IN_TEMPLATE


def _start_table(building: Building, name: str, attributes: Attributes) -> None:
    if building.is_between_cells():
        building.open.end("table", "table")
    building.end_paragraph()
    building.push(name, attributes)


def _start_in_table(building: Building, name: str, attributes: Attributes) -> None:
    """Rows, cells, sections and captions; ignored outside of a table."""
    elements = building.open
    if not elements.has("table", "table"):
        return
    if name in ("caption", *GROUPS):
        elements.pop_until("table", "template")
    else:
        elements.pop_until("tr" if name in CELLS else "table", *GROUPS, "table", "template")
        if elements.top.name == "table":
            elements.push("tbody", elements.top.context)
        if name in CELLS and elements.top.name != "tr":
            elements.push("tr", elements.top.context)
    building.push(name, attributes)


def _end_nothing(building: Building, _name: str) -> None:
    pass


def _end_p(building: Building, _name: str) -> None:
    building.end_paragraph()


def _end_li(building: Building, name: str) -> None:
    building.open.end(name, "list")


def _end_heading(building: Building, _name: str) -> None:
    if any(building.open.has(heading) for heading in _HEADINGS):
        building.open.pop_to(*_HEADINGS)


def _end_template(building: Building, name: str) -> None:
    if building.open.last((name,)) >= 0:
        building.open.pop_to(name)


def _end_in_table(building: Building, name: str) -> None:
    building.open.end(name, "table")


_Starter = Callable[[Building, str, Attributes], None]
_STARTERS: dict[str, _Starter] = {
    **dict.fromkeys(_BLOCKS, _start_block),
    **dict.fromkeys(_HEADINGS, _start_heading),
    **dict.fromkeys(_FORMATTING, _start_formatting),
    **dict.fromkeys(("li", "dd", "dt"), _start_item),
    **dict.fromkeys(("rb", "rtc", "rp", "rt"), _start_ruby),
    **dict.fromkeys(("caption", "tr", *GROUPS, *CELLS), _start_in_table),
    **dict.fromkeys(("html", "body"), _start_root),
    "base": _start_base,
    "hr": _start_rule,
    "meta": _start_meta,
    "plaintext": _start_plaintext,
    "template": _start_template,
    "table": _start_table,
    **form_tags.STARTERS,
}
_ENDERS: dict[str, Callable[[Building, str], None]] = {
    **dict.fromkeys(_HEADINGS, _end_heading),
    **dict.fromkeys(("table", "caption", "tr", *GROUPS, *CELLS), _end_in_table),
    **dict.fromkeys(("html", "body", "head", "br"), _end_nothing),
    "p": _end_p,
    "li": _end_li,
    "form": form_tags.end_form,
    "template": _end_template,
}
