"""HTML's tree construction (https://html.spec.whatwg.org/multipage/parsing.html#tree-construction) without a tree:
which element stands in which, and which form a control belongs to, as a browser without scripts sees the page.

In: a page's tokens. Out: ``Contents``. Called by ``page``. The rules that change no form are left out: the document's
modes before and after its body, the reopening of formatting elements, foster parenting.
"""

from collections.abc import Callable

import msgspec

from imgserve.imaging.worker.charsets import WHITE_SPACE, of_label
from imgserve.imaging.worker.html import charset, form_tags, references
from imgserve.imaging.worker.html.builder import CELLS, GROUPS, Attributes, Builder
from imgserve.imaging.worker.html.controls import Contents
from imgserve.imaging.worker.html.open_elements import BLOCKS, HEADINGS, Boundary, Context, Element
from imgserve.imaging.worker.html.tokens import Tag, Tokens
from imgserve.request.page import Charset

_VOID = (
    "area", "basefont", "bgsound", "br", "embed", "frame", "image", "img", "keygen", "link", "param", "source",
    "track", "wbr",
)  # fmt: skip
_FORMATTING = frozenset({
    "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u",
})  # fmt: skip
_NEVER_ENDED = frozenset({"html", "body", "head", "br"})
_ENDS_FOREIGN = frozenset({
    "b", "big", "blockquote", "body", "br", "center", "code", "dd", "div", "dl", "dt", "em", "embed", "h1", "h2", "h3",
    "h4", "h5", "h6", "head", "hr", "i", "img", "li", "listing", "menu", "meta", "nobr", "ol", "p", "pre", "ruby", "s",
    "small", "span", "strong", "strike", "sub", "sup", "table", "tt", "u", "ul", "var",
})  # fmt: skip
_HTML_ENCODINGS = ("text/html", "application/xhtml+xml")
_MATHML_TEXT = frozenset({"math mi", "math mo", "math mn", "math ms", "math mtext"})
_HTML_IN_FOREIGN = frozenset({"svg foreignobject", "svg desc", "svg title", "math annotation-xml html"})
# Where an end tag looks for its element; all other names are searched as "special".
_BOUNDARY_OF: dict[str, Boundary] = {
    **dict.fromkeys((*BLOCKS, "button", "select", "dd", "dt", "applet", "marquee", "object"), "scope"),
    **dict.fromkeys(("table", "caption", "tr", *GROUPS, *CELLS), "table"),
    "li": "list",
    "p": "button",
    "template": "root",
}


def read(tokens: Tokens, guess: Charset | None) -> Contents:
    """``guess``: the charset in which the text was read, if another one may be right. Raises PageUnreadable,
    OtherCharset.
    """
    builder = Builder(tokens, guess)
    while True:
        top = builder.open.top
        tag = tokens.next_tag(has_cdata=" " in top.name)
        if tokens.pieces and (top.context.option is not None or top.context.is_errors):
            _read_text(builder, top.context)
        if tag is None:
            return builder.contents
        if tag.is_end:
            _end(builder, tag.name, top)
        else:
            _start(builder, tag, top)


def _read_text(builder: Builder, context: Context) -> None:
    for start, end in builder.tokens.pieces:
        piece = builder.tokens.text[start:end]
        if context.option is not None:
            context.option.text.append(references.in_text(piece))
        elif piece.strip(WHITE_SPACE):
            builder.add_error(context)


def _start(builder: Builder, tag: Tag, top: Element) -> None:
    if " " in top.name and _start_in_foreign(builder, tag, top):
        return
    if tag.name in ("svg", "math"):
        _start_foreign(builder, f"{tag.name} {tag.name}", tag)
    else:
        _STARTERS.get(tag.name, Builder.push)(builder, tag.name, tag.attributes)


def _start_in_foreign(builder: Builder, tag: Tag, top: Element) -> bool:
    """Whether the tag stood for an SVG or MathML element; if not, it is HTML's."""
    name = tag.name
    is_text = top.name in _MATHML_TEXT and name not in ("mglyph", "malignmark")
    if is_text or top.name in _HTML_IN_FOREIGN or (top.name == "math annotation-xml" and name == "svg"):
        return False
    if name in _ENDS_FOREIGN or (name == "font" and not tag.attributes.keys().isdisjoint(("color", "face", "size"))):
        _leave_foreign(builder)
        return False
    kind = top.name.partition(" ")[0]
    is_html = tag.attributes.get("encoding", "").lower() in _HTML_ENCODINGS and name == "annotation-xml"
    _start_foreign(builder, f"{kind} {name} html" if is_html and kind == "math" else f"{kind} {name}", tag)
    return True


def _start_foreign(builder: Builder, name: str, tag: Tag) -> None:
    if tag.is_self_closing:
        builder.note(name, tag.attributes)
    else:
        builder.push(name, tag.attributes)


def _leave_foreign(builder: Builder) -> None:
    while " " in (name := builder.open.top.name) and name not in _HTML_IN_FOREIGN | _MATHML_TEXT:
        builder.open.pop()


def _end(builder: Builder, name: str, top: Element) -> None:
    if " " in top.name:
        if name in ("br", "p"):
            _leave_foreign(builder)
        elif builder.open.end_foreign(name):
            return
    if name in HEADINGS:
        if any(builder.open.has(heading) for heading in HEADINGS):
            builder.open.pop_to(*HEADINGS)
    elif name == "form":
        form_tags.end_form(builder, name)
    elif name in _FORMATTING:
        builder.open.end_formatting(name)
    elif name not in _NEVER_ENDED:
        builder.open.end(name, _BOUNDARY_OF.get(name, "special"))


def _start_root(builder: Builder, name: str, attributes: Attributes) -> None:
    """Html and body: their attributes go to elements that are open from the beginning."""
    root = builder.open.top
    direction = attributes.get("dir", "").lower()
    if root.serial == 0 and direction in ("ltr", "rtl"):
        root.context = msgspec.structs.replace(root.context, direction=direction)
    builder.note(name, attributes)


def _start_base(builder: Builder, name: str, attributes: Attributes) -> None:
    builder.note(name, attributes)
    if not builder.open.top.context.is_template:
        builder.contents.base = builder.contents.base or attributes.get("href", "")


def _start_meta(builder: Builder, name: str, attributes: Attributes) -> None:
    builder.note(name, attributes)
    builder.check_charset(of_label(charset.of_meta(attributes)))


def _start_raw(builder: Builder, name: str, attributes: Attributes) -> None:
    if name == "xmp":
        builder.end_paragraph()
    builder.note(name, attributes)
    builder.tokens.raw_text(name)


def _start_block(builder: Builder, name: str, attributes: Attributes) -> None:
    builder.end_paragraph()
    builder.push(name, attributes)


def _start_rule(builder: Builder, name: str, attributes: Attributes) -> None:
    builder.end_paragraph()
    form_tags.end_option(builder)
    builder.note(name, attributes)


def _start_heading(builder: Builder, name: str, attributes: Attributes) -> None:
    builder.end_paragraph()
    if builder.open.top.name in HEADINGS:
        builder.open.pop()
    builder.push(name, attributes)


def _start_item(builder: Builder, name: str, attributes: Attributes) -> None:
    for other in ("li",) if name == "li" else ("dd", "dt"):
        if builder.open.end(other, "item"):
            break
    _start_block(builder, name, attributes)


def _start_formatting(builder: Builder, name: str, attributes: Attributes) -> None:
    if name in ("a", "nobr"):
        builder.open.end_formatting(name)
    builder.push(name, attributes)


def _start_ruby(builder: Builder, name: str, attributes: Attributes) -> None:
    if builder.open.has("ruby"):
        builder.open.imply_ends("rtc" if name in ("rp", "rt") else "")
    builder.push(name, attributes)


def _start_table(builder: Builder, name: str, attributes: Attributes) -> None:
    if builder.is_between_cells():
        builder.open.end("table", "table")
    _start_block(builder, name, attributes)


def _start_in_table(builder: Builder, name: str, attributes: Attributes) -> None:
    """Rows, cells, sections and captions; ignored outside of a table."""
    elements = builder.open
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
    builder.push(name, attributes)


_STARTERS: dict[str, Callable[[Builder, str, Attributes], object]] = {
    **dict.fromkeys(BLOCKS, _start_block),
    **dict.fromkeys(HEADINGS, _start_heading),
    **dict.fromkeys(_FORMATTING, _start_formatting),
    **dict.fromkeys(("li", "dd", "dt"), _start_item),
    **dict.fromkeys(("rb", "rtc", "rp", "rt"), _start_ruby),
    **dict.fromkeys(("caption", "tr", *GROUPS, *CELLS), _start_in_table),
    **dict.fromkeys(("html", "body"), _start_root),
    **dict.fromkeys(("iframe", "noembed", "noframes", "script", "style", "title", "xmp"), _start_raw),
    **dict.fromkeys(("head", "frameset", "colgroup", "col"), lambda *_: None),
    **dict.fromkeys(_VOID, Builder.note),
    "base": _start_base,
    "hr": _start_rule,
    "meta": _start_meta,
    "plaintext": lambda builder, *_: builder.tokens.end(),
    "table": _start_table,
    **form_tags.STARTERS,
}
