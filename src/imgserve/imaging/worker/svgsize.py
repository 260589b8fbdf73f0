"""How large an SVG says it is. Called by probe and svg; librsvg gives every answer.

librsvg may need seconds for a whole document, and an intake that waits for it keeps everybody waiting. So it is shown
the root's start tag and those style sheets that could size the root, and nothing of the drawing; whether the rest is
XML at all expat tells. Only what a drawing without any size of its own covers must be measured from all of it.
"""

import re
from xml.parsers import expat

import pyvips

from imgserve.imaging.faults import SvgInvalid
from imgserve.imaging.worker.svgmarkup import Root, find_root
from imgserve.imaging.worker.watch import Watch, unwatched

NEUTRAL_DPI = 72.0
_LARGEST_SIDE_PX = 10_000_000  # libvips cannot count further and would answer 1
_LEADING_NUMBER = re.compile(rb"\s*(\+?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")

_STYLE_OR_QUOTED = re.compile(rb"<!--|<!\[CDATA\[|<(?:[\w.-]{1,99}:)?style(?=[\s/>])[^>]{0,999}>")
_STYLE_END = re.compile(rb"</(?:[\w.-]{1,99}:)?style\s{0,99}>")
_QUOTED_UNTIL = {b"<!--": b"-->", b"<![CDATA[": b"]]>"}
_MAY_SIZE = re.compile(rb"width|height|font|[\\@&]", re.IGNORECASE)  # or an escape, an import, an entity
_MOST_STYLE_BYTES = 250_000

_codes = expat.errors.codes
_NO_XML = frozenset(
    _codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
        expat.errors.XML_ERROR_TAG_MISMATCH,
        expat.errors.XML_ERROR_DUPLICATE_ATTRIBUTE,
        expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT,
        expat.errors.XML_ERROR_UNBOUND_PREFIX,
        expat.errors.XML_ERROR_UNDEFINED_ENTITY,
    )
)
_BAD_TOKEN = _codes[expat.errors.XML_ERROR_INVALID_TOKEN]
_FIRST_BEYOND_ASCII = 0x80


def natural_size(data: bytes, dpi: float = NEUTRAL_DPI, watched: Watch = unwatched) -> tuple[float, float]:
    """Width and height in CSS pixels as librsvg sees them, to a hundredth or better. Raises SvgInvalid.

    ``watched`` is over the one case that may take long, with the fault that it then is.
    """
    root = find_root(data)
    if root is None:
        raise not_svg()
    if max(_leading_number(root.attributes.get(side, b"")) for side in (b"width", b"height")) > _LARGEST_SIDE_PX:
        raise SvgInvalid(f"the SVG is wider or higher than {_LARGEST_SIDE_PX} pixels", "give it a sensible size")
    _check_xml(root.data)
    try:
        return _size_of(_without_drawing(root), dpi, is_precise=True)
    except SvgInvalid:
        with watched(_unmeasured()):
            return _size_of(root.data, dpi, is_precise=False)


def load(data: bytes, dpi: float, scale: float = 1.0) -> pyvips.Image:
    """The drawing, lazy; ``dpi`` is for absolute units only. Raises SvgInvalid."""
    try:
        # libvips' dpi sets librsvg's and scales the whole drawing by dpi / 72 besides: undo the second
        return pyvips.Image.svgload_buffer(data, dpi=dpi, scale=scale * NEUTRAL_DPI / dpi, access="sequential")
    except pyvips.Error as error:
        raise _unreadable() from error


def not_svg() -> SvgInvalid:
    return SvgInvalid("the source is no SVG", "send a file whose root element is <svg>, or use resize")


def _unreadable() -> SvgInvalid:
    return SvgInvalid("the SVG cannot be read: it is broken or empty", "open it in a browser to see why")


def _unmeasured() -> SvgInvalid:
    return SvgInvalid(
        "the SVG has no size of its own, and to measure what it draws costs too much",
        "give its root element a viewBox, or a width and a height",
    )


def _check_xml(data: bytes) -> None:
    """Raises SvgInvalid for what no XML parser takes. Of all else librsvg is the judge, when it draws."""
    parser = expat.ParserCreate(namespace_separator=" ")
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        # expat does not know the letters that XML's fifth edition allows in names
        is_bad = error.code == _BAD_TOKEN and data[parser.ErrorByteIndex] < _FIRST_BEYOND_ASCII
        if is_bad or error.code in _NO_XML:
            raise _unreadable() from error


def _without_drawing(root: Root) -> bytes:
    start = root.data[: root.tag_end]
    name = start[start.rindex(b"<", 0, root.names_end) + 1 : root.names_end]
    return b"%s>%s</%s>" % (start, _style_sheets(root), name)


def _style_sheets(root: Root) -> bytes:
    """The style elements that could size the root; none where they are too long to be read quickly."""
    data, at = root.data, root.tag_end
    found: list[bytes] = []
    while (token := _STYLE_OR_QUOTED.search(data, at)) is not None:
        mark = token.group()
        if mark in _QUOTED_UNTIL:
            at = data.find(_QUOTED_UNTIL[mark], token.end())
            if at < 0:
                break
        elif mark.endswith(b"/>"):
            at = token.end()
        else:
            end = _STYLE_END.search(data, token.end())
            if end is None:
                break
            at = end.end()
            if _MAY_SIZE.search(data, token.end(), end.start()) is not None:
                found.append(data[token.start() : at])
    sheets = b"".join(found)
    return sheets if len(sheets) <= _MOST_STYLE_BYTES else b""


def _size_of(data: bytes, dpi: float, *, is_precise: bool) -> tuple[float, float]:
    scale = 100.0
    width, height = _measured(data, dpi, scale)
    if 1 in (width, height):
        scale = 1.0
        width, height = _measured(data, dpi, scale)
    elif is_precise and max(width, height) < 100_000:
        scale = 10_000.0
        width, height = _measured(data, dpi, scale)
    return width / scale, height / scale


def _measured(data: bytes, dpi: float, scale: float) -> tuple[int, int]:
    image = load(data, dpi=dpi, scale=scale)
    return image.width, image.height


def _leading_number(value: bytes) -> float:
    number = _LEADING_NUMBER.match(value)
    return float(number[1]) if number else 0.0
