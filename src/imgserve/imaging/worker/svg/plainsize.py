"""The size of an SVG whose root says it in pixels, as most icons do: librsvg has nothing to measure. Called by sizing.

In: the root of a document that expat has read to its end. Everything that librsvg might understand in another way is
left to librsvg.
"""

import re

from imgserve.imaging.worker.svg.markup import Root

MAY_SIZE = re.compile(rb"width|height|font|[\\@&]", re.IGNORECASE)  # or an escape, an import, an entity

_NAMESPACE = b"http://www.w3.org/2000/svg"
# Nothing but a declaration and comments: a document type could declare attributes, an instruction name a style sheet.
_PROLOG = re.compile(
    rb"(?:<\?xml version=[\"']1\.0[\"'](?: encoding=[\"'](?i:utf-8)[\"'])?(?: standalone=[\"'](?:yes|no)[\"'])?\s*+\?>"
    rb")?(?:[ \t\r\n]++|<!--.*?-->)*+",
    re.DOTALL,
)
# Neither longer numbers, which libvips rounds, nor sides below a pixel.
_NUMBER = rb"[1-9][0-9]{0,3}(?:\.[0-9]{1,2})?"
_LENGTH = re.compile(rb"(%b)(?:px)?" % _NUMBER)
_VIEW = re.compile(rb"-?[0-9]{1,4}(?:\.[0-9]{1,2})? -?[0-9]{1,4}(?:\.[0-9]{1,2})? (%b) (%b)" % (_NUMBER, _NUMBER))
_WITHOUT_SIZE = frozenset((
    b"xmlns", b"version", b"id", b"class", b"x", b"y", b"fill", b"stroke", b"stroke-width", b"stroke-linecap",
    b"stroke-linejoin", b"fill-rule", b"clip-rule", b"color", b"opacity", b"role", b"focusable", b"xml:space",
    b"enable-background", b"preserveAspectRatio",
))  # fmt: skip
_SPACES_WITHOUT_SIZE = (b"xmlns:", b"aria-", b"data-")


def size(root: Root) -> tuple[float, float] | None:
    """Width and height in CSS pixels; None if librsvg has to tell."""
    start = root.data.rfind(b"<", 0, root.names_end)
    attributes = dict(root.attributes)
    if root.name != b"svg" or attributes.get(b"xmlns") != _NAMESPACE or not _PROLOG.fullmatch(root.data, 0, start):
        return None
    width, height, view = (attributes.pop(name, None) for name in (b"width", b"height", b"viewBox"))
    if MAY_SIZE.search(attributes.pop(b"style", b"")) or not all(map(_is_without_size, attributes)):
        return None
    sides = _VIEW.fullmatch(view) if view is not None else None
    if view is not None and sides is None:
        return None
    if width is None and height is None:
        return (float(sides[1]), float(sides[2])) if sides else None
    across, down = _LENGTH.fullmatch(width or b""), _LENGTH.fullmatch(height or b"")
    return (float(across[1]), float(down[1])) if across and down else None


def _is_without_size(name: bytes) -> bool:
    return name in _WITHOUT_SIZE or name.startswith(_SPACES_WITHOUT_SIZE)
