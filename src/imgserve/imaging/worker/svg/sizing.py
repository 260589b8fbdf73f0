"""The size of an SVG, measured by librsvg. Called by probe and draw.

librsvg may need seconds for a whole document, and all callers would wait for it. So it gets the root's start tag and
the style sheets that could size the root, without the drawing; ``xmlcheck`` checks that the rest is XML. Only a drawing
without a size of its own is measured as a whole, and a root that says its size in pixels is not measured at all.
"""

import contextlib
import re

import pyvips

from imgserve.errors import FieldRef
from imgserve.imaging.faults import SvgInvalid
from imgserve.imaging.worker.svg import plainsize, stylesheet, xmlcheck, xmltext
from imgserve.imaging.worker.svg.markup import Root, find_root
from imgserve.imaging.worker.svg.watch import Watch, unwatched

NEUTRAL_DPI = 72.0
_LARGEST_SIDE_PX = 10_000_000  # libvips cannot count further and would answer 1
_LEADING_NUMBER = re.compile(rb"\s*(\+?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")
_MOST_STYLE_BYTES = 250_000


def natural_size(data: bytes, dpi: float = NEUTRAL_DPI, watched: Watch = unwatched) -> tuple[float, float]:
    """Width and height in CSS pixels as librsvg sees them, to a hundredth or better. Raises SvgInvalid.

    ``watched`` limits each reading, with the fault to raise for one that takes too long.
    """
    encoding = xmltext.unknown_encoding(data)
    if encoding is not None:
        raise SvgInvalid(f"the SVG is in the encoding {encoding}, which is not known here", "save it in UTF-8")
    root = find_root(data)
    if root is None:
        raise not_svg()
    if max(_leading_number(root.attributes.get(side, b"")) for side in (b"width", b"height")) > _LARGEST_SIDE_PX:
        raise SvgInvalid(f"the SVG is wider or higher than {_LARGEST_SIDE_PX} pixels", "give it a sensible size")
    with watched(SvgInvalid("reading the SVG costs too much", "simplify it, or save it anew with a drawing program")):
        is_read = xmlcheck.check(root.data)
        root = stylesheet.for_screen(root, None)
        size = _size_of_root(root, dpi, may_be_plain=is_read)
    if size is not None:
        return size
    what = "the SVG has no size of its own, and to measure what it draws costs too much"
    with watched(SvgInvalid(what, "give its root element a viewBox, or a width and a height")):
        return _size_of(root.data, dpi, is_precise=False)


def size_of_measured(root: Root, dpi: float) -> tuple[float, float]:
    """As ``natural_size``, of one whose document it has passed; the style sheets may be for another screen.

    Raises SvgInvalid.
    """
    size = _size_of_root(root, dpi, may_be_plain=True)
    return _size_of(root.data, dpi, is_precise=False) if size is None else size


def load(data: bytes, dpi: float, scale: float = 1.0) -> pyvips.Image:
    """The drawing, lazy; ``dpi`` is for absolute units only. Raises SvgInvalid."""
    try:
        # libvips' dpi sets librsvg's and scales the whole drawing by dpi / 72 besides: undo the second
        return pyvips.Image.svgload_buffer(data, dpi=dpi, scale=scale * NEUTRAL_DPI / dpi, access="sequential")
    except pyvips.Error as error:
        raise xmlcheck.unreadable() from error


def not_svg() -> SvgInvalid:
    resize = FieldRef(("operations", 0, "operation"), "resize")
    return SvgInvalid("the source is no SVG", ("send a file whose root element is <svg>, or use ", resize))


def _size_of_root(root: Root, dpi: float, *, may_be_plain: bool) -> tuple[float, float] | None:
    """None if the drawing alone tells it."""
    sheets = _sizing_sheets(root)
    plain = plainsize.size(root) if may_be_plain and not sheets else None
    if plain is not None:
        return plain
    with contextlib.suppress(SvgInvalid):
        return _size_of(b"%s>%s</%s>" % (root.data[: root.tag_end], sheets, root.name), dpi, is_precise=True)
    return None


def _sizing_sheets(root: Root) -> bytes:
    """The style elements that could size the root; none where they are too long to be read quickly."""
    sheets = b"".join(
        root.data[sheet.start : sheet.end]
        for sheet in stylesheet.sheets(root.data, root.tag_end)
        if plainsize.MAY_SIZE.search(root.data, sheet.text_start, sheet.text_end)
    )
    return sheets if len(sheets) <= _MOST_STYLE_BYTES else b""


def _size_of(data: bytes, dpi: float, *, is_precise: bool) -> tuple[float, float]:
    scale = 100.0
    image = load(data, dpi, scale)
    if 1 in (image.width, image.height):
        scale = 1.0
        image = load(data, dpi, scale)
    elif is_precise and max(image.width, image.height) < 100_000:
        scale = 10_000.0
        image = load(data, dpi, scale)
    return image.width / scale, image.height / scale


def _leading_number(value: bytes) -> float:
    number = _LEADING_NUMBER.match(value)
    return float(number[1]) if number else 0.0
