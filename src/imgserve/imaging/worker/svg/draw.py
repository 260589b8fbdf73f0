"""Draws an SVG. It rewrites width, height, viewBox and preserveAspectRatio of the root, so that librsvg draws the exact
size and nothing is resampled.

Called by the steps. In: the bytes of the file. Out: a lazy image. Placement follows SVG 2, section 8
(preserveAspectRatio). SVGs are read from memory only: from a file librsvg would read its neighbours too.
"""

import re
from functools import lru_cache
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker.colour import convert
from imgserve.imaging.worker.svg import background, sizing, stylesheet
from imgserve.imaging.worker.svg.markup import Root, find_root
from imgserve.request.imageinfo import Size

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_PLACEMENT = re.compile(rb"\s*(?:defer\s+)?(?:(none)|x(Min|Mid|Max)Y(Min|Mid|Max))(?:\s+(meet|slice))?\s*$")
_ALPHA = 3  # its band's number
_ERROR = 0.001  # of libvips' division: a whole number may come out as a little more, which ceil would raise by one
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
    root = find_root(data)
    if root is None:
        raise sizing.not_svg()
    root = stylesheet.for_screen(root, size)
    changes = {b"width": b"%d" % size.width_px, b"height": b"%d" % size.height_px, b"style": _style(root, size)}
    box = _view_box(root)
    if box is None or is_stretched:
        width, height = sizing.natural_size(root.data, dpi)
        box = _whole_view(root, box, width, height) if box else Box(0, 0, width, height)
        changes[b"viewBox"] = b"%.9g %.9g %.9g %.9g" % box
    if is_stretched:
        changes[b"preserveAspectRatio"] = b"none"
    image = sizing.load(root.start_with(changes) + root.data[root.tag_end :], dpi=dpi)
    if (image.width, image.height) != (size.width_px, size.height_px):
        image = image.thumbnail_image(size.width_px, height=size.height_px, size="force")
    image = _rounded(image)
    ground = background.background(root)
    return image if ground is None else convert.over(image, ground)


def _rounded(image: pyvips.Image) -> pyvips.Image:
    """The drawing with rounded colours: libvips divides cairo's colours by their alpha and rounds down."""
    alpha = image.extract_band(_ALPHA)
    indices = (image.extract_band(0, n=_ALPHA) + alpha * 256).cast("ushort")
    return indices.maplut(_nearest()).bandjoin(alpha).copy(interpretation="srgb")


@lru_cache(maxsize=1)
def _nearest() -> pyvips.Image:
    """A table by alpha * 256 + colour. The premultiplied colour, before the division, was the next whole number."""
    index = pyvips.Image.identity(ushort=True)
    alpha = (index / 256).floor()
    product = ((index - alpha * 256) * alpha / 255 - _ERROR).ceil()
    whole = (alpha == 0).ifthenelse(1, alpha)
    return (product * 255 / whole).rint().cast("uchar").copy_memory()


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
