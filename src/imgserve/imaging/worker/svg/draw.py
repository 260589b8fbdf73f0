"""Draws an SVG. It rewrites width, height, viewBox and preserveAspectRatio of the root, so that librsvg draws the exact
size and nothing is resampled.

Called by the steps. In: the bytes of the file. Out: a lazy image. Placement follows SVG 2, section 8
(preserveAspectRatio). SVGs are read from memory only: from a file librsvg would read its neighbours too.
"""

import re
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker.colour import convert
from imgserve.imaging.worker.formats.turbojpeg import Decoded
from imgserve.imaging.worker.svg import background, rounding, sizing, stylesheet
from imgserve.imaging.worker.svg.markup import Root, find_root
from imgserve.request.imageinfo import Size

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_PLACEMENT = re.compile(rb"\s*(?:defer\s+)?(?:(none)|x(Min|Mid|Max)Y(Min|Mid|Max))(?:\s+(meet|slice))?\s*$")
_FRACTION = {b"Min": 0.0, b"Mid": 0.5, b"Max": 1.0}


class Box(NamedTuple):
    """A viewBox: user units."""

    x: float
    y: float
    width: float
    height: float


def draw(data: bytes, size: Size, *, is_stretched: bool, dpi: float = sizing.NEUTRAL_DPI) -> pyvips.Image:
    """RGBA, exactly ``size``: stretched to it, or placed by its own preserveAspectRatio.

    The image is lazy: a broken SVG may fail here or later. Raises SvgInvalid.
    """
    root = _root(data, size)
    image = rounding.rounded(_drawing(root, size, is_stretched=is_stretched, dpi=dpi))
    ground = background.background(root)
    return image if ground is None else convert.over(image, ground)


def at_once(data: bytes, size: Size, *, is_stretched: bool, dpi: float) -> tuple[Decoded, float] | None:
    """As ``draw``: the pixels in RGBA, and their number in a millimetre. None of a large drawing, or one with a ground.

    Raises SvgInvalid, pyvips.Error.
    """
    root = _root(data, size) if rounding.is_small(size.width_px, size.height_px) else None
    if root is None or background.background(root) is not None:
        return None
    image = _drawing(root, size, is_stretched=is_stretched, dpi=dpi)
    return rounding.at_once(image, size.width_px, size.height_px), image.xres


def _root(data: bytes, size: Size) -> Root:
    root = find_root(data)
    if root is None:
        raise sizing.not_svg()
    return stylesheet.for_screen(root, size)


def _drawing(root: Root, size: Size, *, is_stretched: bool, dpi: float) -> pyvips.Image:
    """As libvips draws it, lazy."""
    changes = {b"width": b"%d" % size.width_px, b"height": b"%d" % size.height_px, b"style": _style(root, size)}
    box = _view_box(root)
    if box is None or is_stretched:
        width, height = sizing.size_of_measured(root, dpi)
        box = _whole_view(root, box, width, height) if box else Box(0, 0, width, height)
        changes[b"viewBox"] = b"%.9g %.9g %.9g %.9g" % box
    if is_stretched:
        changes[b"preserveAspectRatio"] = b"none"
    image = sizing.load(root.start_with(changes) + root.data[root.tag_end :], dpi=dpi)
    if (image.width, image.height) != (size.width_px, size.height_px):
        image = image.thumbnail_image(size.width_px, height=size.height_px, size="force")
    return image


def _style(root: Root, size: Size) -> bytes:
    """The root's style with the size: style sheets may size the root too, but an important inline rule wins."""
    own = root.attributes.get(b"style", b"").rstrip(b"; ")
    return own + b";width:%dpx !important;height:%dpx !important" % (size.width_px, size.height_px)


def _view_box(root: Root) -> Box | None:
    numbers = [float(text) for text in _NUMBER.findall(root.attributes.get(b"viewBox", b"").decode(errors="replace"))]
    if len(numbers) != 4 or numbers[2] <= 0 or numbers[3] <= 0:
        return None
    return Box(*numbers)


def _whole_view(root: Root, box: Box, width: float, height: float) -> Box:
    """The part of user space that the natural size shows: the viewBox and the margins of its placement."""
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
