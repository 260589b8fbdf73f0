"""Arithmetic for the operations' size rules: the shape of a picture at one step in, the shape after it out. No I/O."""

from fractions import Fraction
from functools import lru_cache
from math import floor
from typing import Annotated, Literal, NamedTuple

import msgspec

from imgserve.errors import FieldRef, ImgserveError, Sentence
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.request.imageinfo import Size, SourceFormat
from imgserve.request.limits import MAX_SOURCE_SIDE_PX

EVEN: Literal["even"] = "even"

Compass = Literal["center", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest"]
Gravity = Literal[
    "center", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest",
    "attention", "entropy",
]  # fmt: skip


def _pixels(least: int) -> msgspec.Meta:
    """They measure the picture as it is at a step, which may still be as large as a source."""
    return msgspec.Meta(ge=least, le=MAX_SOURCE_SIDE_PX, description="pixels")


def _per_cent(sign: Literal["", "-"] = "", word: str = "") -> msgspec.Meta:
    """``sign``: one that may stand before it. ``word``: one that may stand instead of it."""
    instead = f'"{word}" or ' if word else ""
    number = rf"{sign and sign + '?'}\d{{1,4}}(\.\d{{1,4}})?%"
    return msgspec.Meta(
        pattern=f"^({word}|{number})$" if word else f"^{number}$",
        description="per cent of the picture's side",
        extra={"expected": f'{instead}a percentage such as "{sign}12.5%"'},
    )


Length = Annotated[int, _pixels(0)] | Annotated[str, _per_cent()]
"""Whole pixels, or ``"12.5%"`` of a side of the picture as it is at that step."""

SideLength = Annotated[int, _pixels(1)] | Annotated[str, _per_cent()]
"""As ``Length``, for the side of a box: at least one pixel."""

Offset = Annotated[int, _pixels(-MAX_SOURCE_SIDE_PX)] | Annotated[str, _per_cent("-")]
"""As ``Length``, from an edge inwards; a negative one lies beyond the edge."""

Spacing = Annotated[int, _pixels(0)] | Annotated[str, _per_cent(word=EVEN)]
"""As ``Length``, or what remains, in equal parts."""

Coordinate = Annotated[float, msgspec.Meta(ge=0, le=1, description="of the picture's side")]

_WIDTH, _HEIGHT = FieldRef(("width",)), FieldRef(("height",))


class SourceTooSmall(ImgserveError):
    code = "source_too_small"
    status = 422
    is_of_operation = True
    title = "The source is smaller than the result"


class NothingLeft(ImgserveError):
    """A crop lies beside the picture."""

    code = "nothing_left"
    status = 422
    is_of_operation = True
    title = "The crop leaves nothing of the picture"


class NotSvg(ImgserveError):
    """The source of a rasterize is a raster picture."""

    code = "not_svg"
    status = 422
    title = "The source is not an SVG"

    def __init__(self, detail: str, hint: Sentence = "") -> None:
        super().__init__(detail, hint)
        self.path = ("operation",)


class Focal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The point of a picture that a cut keeps in view: fractions of its sides from the top left corner."""

    x: Coordinate
    y: Coordinate


Place = Gravity | Focal


class Shape(msgspec.Struct, frozen=True):
    """A picture at one step of a recipe, in pixels. ``format`` is the source's; None behind an operation.

    ``is_open``: the size depends on pixels, since the picture was trimmed; these sides are those before the trim.
    """

    width_px: float
    height_px: float
    format: SourceFormat | None = None
    is_open: bool = False

    @property
    def is_drawing(self) -> bool:
        """Whether it is an SVG that has no pixels yet. Its sides may be fractions."""
        return self.format == "svg"

    @property
    def name(self) -> str:
        return "the source" if self.format is not None else "the picture that the operation before leaves"

    @property
    def size(self) -> Size:
        """In whole pixels, those of a drawing rounded half up. Raises SourceTooSmall for one without size."""
        if not (self.width_px > 0 and self.height_px > 0):
            raise SourceTooSmall("the source has no size of its own", ("resize it to a ", _WIDTH, " and a ", _HEIGHT))
        return Size(rounded(self.width_px), rounded(self.height_px))

    def resized(self, width_px: int, height_px: int) -> "Shape":
        """The shape after an operation that derives this size from it."""
        return Shape(width_px, height_px, is_open=self.is_open)


class Part(NamedTuple):
    """A box within a picture, or a picture within a box, in pixels: the corner of the inner, and the result's size.

    Of a gravity that needs the picture's content the corner is not known yet.
    """

    left: int
    top: int
    size: Size


def pixels(length: int | str, side_px: int) -> int:
    """A Length in pixels, half up; a percentage is of ``side_px``."""
    if isinstance(length, int):
        return length
    above, below = _percentage(length)
    return (2 * above * side_px + below) // (2 * below)


# A recipe of 32 operations is resolved on the event loop, and a Fraction of a text takes 3 us.
@lru_cache(maxsize=256)
def _percentage(length: str) -> tuple[int, int]:
    return (Fraction(length.removesuffix("%")) / 100).as_integer_ratio()


@lru_cache(maxsize=256)
def exact(number: float) -> Fraction:
    """The fraction that a request writes: 0.35 is 35/100, which no float is. Ties are then rounded as people do."""
    return Fraction(repr(number))


def rounded(side_px: float | Fraction) -> int:
    """Half up, at least 1."""
    return _half_up(*side_px.as_integer_ratio())


def ratio(side_px: float, whole_px: float) -> Fraction:
    """Exact. A job resolves several in the event loop, and to divide two Fractions takes more than twice as long."""
    above, below = side_px.as_integer_ratio()
    whole_above, whole_below = whole_px.as_integer_ratio()
    return Fraction(above * whole_below, below * whole_above)


def scaled(side_px: float, scale: Fraction) -> int:
    """The side times the scale, as ``rounded``."""
    above, below = side_px.as_integer_ratio()
    return _half_up(above * scale.numerator, below * scale.denominator)


def _half_up(above: int, below: int) -> int:
    return max(1, (2 * above + below) // (2 * below))


def corner(place: Place, inner: Size, outer: Size) -> tuple[int, int]:
    """Left and top of an ``inner`` box at a place of an ``outer`` one, which may be the smaller of the two.

    center: floor of half the rest; east and south: all of it; a focal point: as near to the middle as fits. For
    attention and entropy, which need pixels, the center.
    """
    rest = (outer.width_px - inner.width_px, outer.height_px - inner.height_px)
    if isinstance(place, Focal):
        inner_sides, outer_sides = (inner.width_px, inner.height_px), (outer.width_px, outer.height_px)
        wanted = [
            floor(exact(at) * whole - Fraction(side, 2) + Fraction(1, 2))
            for at, side, whole in zip((place.x, place.y), inner_sides, outer_sides, strict=True)
        ]
        return min(max(wanted[0], 0), rest[0]), min(max(wanted[1], 0), rest[1])
    left = 0 if "west" in place else rest[0] if "east" in place else rest[0] // 2
    top = 0 if "north" in place else rest[1] if "south" in place else rest[1] // 2
    return left, top


def box(width: int | None, height: int | None, before: Shape) -> Shape:
    """The box of these sides. A missing one follows the shape: the other times the ratio, rounded half up, at least 1.

    Raises RequestInvalid (no side), SourceTooSmall (a shape without size).
    """
    if width is None and height is None:
        raise RequestInvalid(Fault("size_missing", ("width",), (_WIDTH, ", ", _HEIGHT, " or both are required")))
    if width is not None and height is not None:
        return Shape(width, height)
    if not (before.width_px > 0 and before.height_px > 0):
        raise SourceTooSmall("the source has no size of its own", ("give both ", _WIDTH, " and ", _HEIGHT))
    if height is None:
        return before.resized(width or 1, scaled(width or 1, ratio(before.height_px, before.width_px)))
    return before.resized(scaled(height, ratio(before.width_px, before.height_px)), height)
