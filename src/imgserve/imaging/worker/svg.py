"""An SVG's root element: found by text, rewritten so that librsvg draws into exactly the size that is wanted.

Called by detect, probe and the steps. In: the bytes of the file. Out: bytes again, with width, height, viewBox and
preserveAspectRatio of the root replaced, so that nothing is resampled. Placement follows SVG 2, section 8
(preserveAspectRatio). SVGs are read from memory only: from a file librsvg would read its neighbours too.
"""

import codecs
import re
from typing import NamedTuple

import pyvips

from imgserve.imaging.faults import SvgInvalid
from imgserve.spec.facts import Size

_SPACE = b" \t\r\n"
_ROOT_NAME = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?svg(?=[\s/>])")
_ATTRIBUTE = re.compile(rb"\s+([^\s=/>\"'<]+)\s*=\s*(\"[^\"<]*\"|'[^'<]*')")
_TAG_END = re.compile(rb"\s*/?>")
_SUBSET_TOKEN = re.compile(rb"[\"'\[\]>]|<!--|<\?")
_CLOSED_BY = {b'"': b'"', b"'": b"'", b"<!--": b"-->", b"<?": b"?>"}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_PLACEMENT = re.compile(rb"\s*(?:defer\s+)?(?:(none)|x(Min|Mid|Max)Y(Min|Mid|Max))(?:\s+(meet|slice))?\s*$")
_FRACTION = {b"Min": 0.0, b"Mid": 0.5, b"Max": 1.0}
_NEUTRAL_DPI = 72.0
_LARGEST_SIDE_PX = 10_000_000  # libvips cannot count further and would answer 1

_UTF_16 = ("utf-16", "utf-16-le", "utf-16-be")
for _name in _UTF_16:
    codecs.lookup(_name)  # Python loads a codec when it is first used: that would be behind the sandbox's lock


class Root(NamedTuple):
    """The root's start tag. ``data`` is UTF-8 or another superset of ASCII; ``names_end`` is behind ``<svg``."""

    data: bytes
    names_end: int
    tag_end: int
    attributes: dict[bytes, bytes]


class Box(NamedTuple):
    """A viewBox: user units."""

    x: float
    y: float
    width: float
    height: float


def find_root(data: bytes) -> Root | None:
    """The root element if the document is an SVG, else None. Reads no further than its start tag."""
    data = _as_ascii_superset(data)
    at = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    while True:
        while data[at : at + 1] and data[at : at + 1] in _SPACE:
            at += 1
        if data.startswith(b"<?", at):
            at = _behind(data, b"?>", at)
        elif data.startswith(b"<!--", at):
            at = _behind(data, b"-->", at)
        elif data[at : at + 9].upper() == b"<!DOCTYPE":
            at = _behind_doctype(data, at + 9)
        else:
            return _read_tag(data, at)
        if at < 0:
            return None


def natural_size(data: bytes, dpi: float = _NEUTRAL_DPI) -> tuple[float, float]:
    """Width and height in CSS pixels as librsvg sees them, to a hundredth or better. Raises SvgInvalid."""
    root = find_root(data)
    if root is None:
        raise not_svg()
    if max(_leading_number(root.attributes.get(side)) for side in (b"width", b"height")) > _LARGEST_SIDE_PX:
        raise SvgInvalid(f"the SVG is wider or higher than {_LARGEST_SIDE_PX} pixels", "give it a sensible size")
    scale = 100.0
    width, height = _measured(root.data, dpi, scale)
    if 1 in (width, height):
        scale = 1.0
        width, height = _measured(root.data, dpi, scale)
    elif max(width, height) < 100_000:
        scale = 10_000.0
        width, height = _measured(root.data, dpi, scale)
    return width / scale, height / scale


def draw(data: bytes, size: Size, *, is_stretched: bool, dpi: float = _NEUTRAL_DPI) -> pyvips.Image:
    """RGBA, exactly ``size``. Stretched: its natural shape is given up; else its own preserveAspectRatio places it.

    The image is lazy: a broken SVG may fail here or later. Raises SvgInvalid.
    """
    root = find_root(data)
    if root is None:
        raise not_svg()
    changes = {b"width": b"%d" % size.width_px, b"height": b"%d" % size.height_px, b"style": _style(root, size)}
    box = _view_box(root)
    if box is None or is_stretched:
        width, height = natural_size(root.data, dpi)
        box = _whole_view(root, box, width, height) if box else Box(0, 0, width, height)
        changes[b"viewBox"] = b"%.9g %.9g %.9g %.9g" % box
    if is_stretched:
        changes[b"preserveAspectRatio"] = b"none"
    image = _load(_rewritten(root, changes), dpi=dpi)
    if (image.width, image.height) != (size.width_px, size.height_px):
        image = image.thumbnail_image(size.width_px, height=size.height_px, size="force")
    return image


def not_svg() -> SvgInvalid:
    return SvgInvalid("the source is no SVG", "send a file whose root element is <svg>, or use resize")


def _as_ascii_superset(data: bytes) -> bytes:
    """UTF-16 becomes UTF-8, without its declaration, which would no longer be true."""
    if not data.startswith((b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")):
        return data
    marked, little, big = _UTF_16
    encoding = marked if data[:1] in b"\xff\xfe" else little if data[:1] == b"<" else big
    text = data.decode(encoding, errors="replace")
    return re.sub(r"^\s*<\?xml[^>]*\?>", "", text, count=1).encode()


def _behind(data: bytes, mark: bytes, at: int) -> int:
    found = data.find(mark, at + 2)
    return found + len(mark) if found >= 0 else -1


def _behind_doctype(data: bytes, at: int) -> int:
    is_in_subset = False
    while (token := _SUBSET_TOKEN.search(data, at)) is not None:
        mark = token.group()
        at = token.end()
        if mark in _CLOSED_BY:
            at = data.find(_CLOSED_BY[mark], at)
            if at < 0:
                return -1
            at += len(_CLOSED_BY[mark])
        elif mark == b">" and not is_in_subset:
            return at
        elif mark != b">":
            is_in_subset = mark == b"["
    return -1


def _read_tag(data: bytes, at: int) -> Root | None:
    name = _ROOT_NAME.match(data, at)
    if name is None:
        return None
    attributes: dict[bytes, bytes] = {}
    end = name.end()
    while (attribute := _ATTRIBUTE.match(data, end)) is not None:
        attributes[attribute[1]] = attribute[2][1:-1]
        end = attribute.end()
    return Root(data, name.end(), end, attributes) if _TAG_END.match(data, end) else None


def _rewritten(root: Root, changes: dict[bytes, bytes]) -> bytes:
    merged = {**root.attributes, **changes}
    written = [b" %s=%s" % (name, _quoted(value)) for name, value in merged.items()]
    return b"".join([root.data[: root.names_end], *written, root.data[root.tag_end :]])


def _quoted(value: bytes) -> bytes:
    return b"'%s'" % value if b'"' in value else b'"%s"' % value


def _style(root: Root, size: Size) -> bytes:
    """Style sheets may size the root too; only an important inline rule is above them all."""
    own = root.attributes.get(b"style", b"").rstrip(b"; ")
    return own + b";width:%dpx !important;height:%dpx !important" % (size.width_px, size.height_px)


def _view_box(root: Root) -> Box | None:
    numbers = [float(text) for text in _NUMBER.findall(root.attributes.get(b"viewBox", b"").decode(errors="replace"))]
    if len(numbers) != 4 or numbers[2] <= 0 or numbers[3] <= 0:
        return None
    return Box(*numbers)


def _whole_view(root: Root, box: Box, width: float, height: float) -> Box:
    """The part of user space that the natural size shows: the viewBox and the margins that placement leaves."""
    placement = _PLACEMENT.match(root.attributes.get(b"preserveAspectRatio", b"xMidYMid meet"))
    none, across, down, fit = placement.groups() if placement else (None, b"Mid", b"Mid", b"meet")
    if none:
        return box
    scales = (width / box.width, height / box.height)
    scale = max(scales) if fit == b"slice" else min(scales)
    whole_width, whole_height = width / scale, height / scale
    x = box.x - (whole_width - box.width) * _FRACTION[across]
    y = box.y - (whole_height - box.height) * _FRACTION[down]
    return Box(x, y, whole_width, whole_height)


def _leading_number(value: bytes | None) -> float:
    number = _NUMBER.match((value or b"").decode(errors="replace").strip())
    return float(number.group()) if number else 0.0


def _measured(data: bytes, dpi: float, scale: float) -> tuple[int, int]:
    image = _load(data, dpi=dpi, scale=scale)
    return image.width, image.height


def _load(data: bytes, dpi: float, scale: float = 1.0) -> pyvips.Image:
    try:
        # libvips' dpi sets librsvg's and scales the whole drawing by dpi / 72 besides: undo the second
        return pyvips.Image.svgload_buffer(data, dpi=dpi, scale=scale * _NEUTRAL_DPI / dpi, access="sequential")
    except pyvips.Error as error:
        raise SvgInvalid("the SVG cannot be read: it is broken or empty", "open it in a browser to see why") from error
