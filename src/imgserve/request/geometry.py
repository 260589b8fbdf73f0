"""Arithmetic for the operations' size rules: the shape of a picture at one step in, the size after it out. No I/O."""

from fractions import Fraction
from math import floor
from typing import Literal

import msgspec

from imgserve.errors import FieldRef, ImgserveError
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.request.imageinfo import Size, SourceFormat

Gravity = Literal[
    "center", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest",
    "attention", "entropy",
]  # fmt: skip

_WIDTH, _HEIGHT = FieldRef(("width",)), FieldRef(("height",))


class SourceTooSmall(ImgserveError):
    code = "source_too_small"
    status = 422
    title = "The source is smaller than the result"


class NotSvg(ImgserveError):
    """The source of a rasterize is a raster picture."""

    code = "not_svg"
    status = 422
    title = "The source is not an SVG"


class Shape(msgspec.Struct, frozen=True):
    """A picture at one step of a recipe, in pixels. ``format`` is the source's; None behind an operation."""

    width_px: float
    height_px: float
    format: SourceFormat | None = None

    @property
    def is_drawing(self) -> bool:
        """Whether it is an SVG that has no pixels yet. Its sides may be fractions."""
        return self.format == "svg"

    @property
    def name(self) -> str:
        return "the source" if self.format is not None else "the picture that the operation before leaves"


def box(width: int | None, height: int | None, before: Shape) -> Size:
    """The box of these sides. A missing one follows the shape: the other times the ratio, rounded half up, at least 1.

    Raises RequestInvalid (no side), SourceTooSmall (a shape without size).
    """
    if width is None and height is None:
        raise RequestInvalid(Fault("size_missing", ("width",), (_WIDTH, ", ", _HEIGHT, " or both are required")))
    if width is not None and height is not None:
        return Size(width, height)
    if not (before.width_px > 0 and before.height_px > 0):
        raise SourceTooSmall("the source has no size of its own", ("give both ", _WIDTH, " and ", _HEIGHT))
    ratio = Fraction(before.width_px) / Fraction(before.height_px)
    if height is None:
        return Size(width or 1, _rounded((width or 1) / ratio))
    return Size(_rounded(height * ratio), height)


def _rounded(side_px: Fraction) -> int:
    return max(1, floor(side_px + Fraction(1, 2)))
