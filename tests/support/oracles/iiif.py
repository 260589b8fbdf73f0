"""The regions and sizes of the IIIF Image API 3.0 and 2.1, computed from its text alone and apart from the dialect.

In: the parts of a URL as text, the size of the upright picture and the limits. Out: the box of the region, the size
before and behind the rotation, or None for a request that is answered with 400. Percentages are exact. Where this
summary of the text leaves room, it is the text that decides: ``!w,h`` stays below the limits and is not refused.
"""

import math
from fractions import Fraction
from typing import NamedTuple


class Sides(NamedTuple):
    width: int
    height: int


class Box(NamedTuple):
    left: int
    top: int
    width: int
    height: int


class Limits(NamedTuple):
    """0: no limit."""

    max_width: int = 0
    max_height: int = 0
    max_area: int = 0


class Result(NamedTuple):
    """``spread``: the sides of the box that holds the turned picture, not rounded."""

    region: Box
    size: Sides
    spread: tuple[float, float]


def half_up(value: Fraction | float) -> int:
    return math.floor(Fraction(value) + Fraction(1, 2))


def result(
    region: str, size: str, rotation: str, picture: Sides, limits: Limits, *, version: int = 3, enlarges: bool = True
) -> Result | None:
    """``enlarges``: whether the server offers it. For 3.0 by a ``^``, for 2.1 by a plain size."""
    box = region_of(region, picture)
    if box is None:
        return None
    made = size_3(size, box, limits) if version == 3 else size_2(size, box, limits, enlarges)
    if made is None or min(made) < 1:
        return None
    return Result(box, made, spread_of(made, rotation))


def region_of(region: str, picture: Sides) -> Box | None:
    if region == "full":
        return Box(0, 0, *picture)
    if region == "square":
        side = min(picture)
        return Box((picture.width - side) // 2, (picture.height - side) // 2, side, side)
    if region.startswith("pct:"):
        shares = [Fraction(text) / 100 for text in region.removeprefix("pct:").split(",")]
        sides = (picture.width, picture.height, picture.width, picture.height)
        left, top, width, height = (half_up(share * side) for share, side in zip(shares, sides, strict=True))
    else:
        left, top, width, height = map(int, region.split(","))
    width, height = min(width, picture.width - left), min(height, picture.height - top)
    return Box(left, top, width, height) if width > 0 and height > 0 else None


def size_3(size: str, region: Box, limits: Limits) -> Sides | None:
    enlarges, text = size.startswith("^"), size.removeprefix("^")
    whole = Sides(region.width, region.height)
    if text == "full":
        return None
    if text == "max":
        return largest(whole, limits) if enlarges else limited(whole, limits)
    if text.startswith("!"):
        width, height = map(int, text.removeprefix("!").split(","))
        if not enlarges and width > whole.width and height > whole.height:
            return None
        return inside(width, height, whole, limits, enlarges)
    if is_above_100(text) and not enlarges:
        return None
    return within(sized(text, whole), whole, limits, enlarges)


def size_2(size: str, region: Box, limits: Limits, enlarges: bool) -> Sides | None:
    """A side that follows the other one is one pixel at least, since viewers ask for thin tiles by their width."""
    whole = Sides(region.width, region.height)
    if size.startswith("^"):
        return None
    if size == "max":
        return limited(whole, limits)
    if size == "full":
        return within(whole, whole, limits, enlarges)
    if size.startswith("!"):
        width, height = map(int, size.removeprefix("!").split(","))
        return inside(width, height, whole, limits, enlarges)
    if is_above_100(size) and not enlarges:
        return None
    made = sized(size, whole)
    if size.startswith(",") or size.endswith(","):
        asked = int(size.strip(","))
        made = Sides(max(1, made.width), max(1, made.height)) if asked else Sides(0, 0)
    return within(made, whole, limits, enlarges)


def is_above_100(text: str) -> bool:
    return text.startswith("pct:") and Fraction(text.removeprefix("pct:")) > 100


def sized(text: str, whole: Sides) -> Sides:
    if text.startswith("pct:"):
        share = Fraction(text.removeprefix("pct:")) / 100
        return Sides(half_up(whole.width * share), half_up(whole.height * share))
    width_text, height_text = text.split(",")
    if not height_text:
        width = int(width_text)
        return Sides(width, half_up(Fraction(width * whole.height, whole.width)))
    if not width_text:
        height = int(height_text)
        return Sides(half_up(Fraction(height * whole.width, whole.height)), height)
    return Sides(int(width_text), int(height_text))


def inside(width: int, height: int, whole: Sides, limits: Limits, enlarges: bool) -> Sides:
    across, down = Fraction(width, whole.width), Fraction(height, whole.height)
    if min(across, down) > 1 and not enlarges:
        made = whole
    elif across <= down:
        made = Sides(width, half_up(across * whole.height))
    else:
        made = Sides(half_up(down * whole.width), height)
    if min(made) < 1 or is_allowed(made, limits):
        return made
    return largest(whole, limits) if enlarges else limited(whole, limits)


def within(size: Sides, whole: Sides, limits: Limits, enlarges: bool) -> Sides | None:
    if not enlarges and (size.width > whole.width or size.height > whole.height):
        return None
    return size if is_allowed(size, limits) else None


def is_allowed(size: Sides, limits: Limits) -> bool:
    return (
        (not limits.max_width or size.width <= limits.max_width)
        and (not limits.max_height or size.height <= limits.max_height)
        and (not limits.max_area or size.width * size.height <= limits.max_area)
    )


def limited(whole: Sides, limits: Limits) -> Sides:
    """The whole within the limits. Of a line the other side does not vanish, and no rounding passes the area."""
    width, height = whole
    if limits.max_area and limits.max_area < width * height:
        width, height = rooted(width, height, limits.max_area), rooted(height, width, limits.max_area)
    if limits.max_width and width > limits.max_width:
        width, height = limits.max_width, half_up(Fraction(limits.max_width * whole.height, whole.width))
    if limits.max_height and height > limits.max_height:
        width, height = half_up(Fraction(limits.max_height * whole.width, whole.height)), limits.max_height
        if limits.max_width:  # which a width that was rounded down for the area may have met
            width = min(width, limits.max_width)
    width, height = max(1, width), max(1, height)
    while limits.max_area and width * height > limits.max_area:
        width, height = (limits.max_area // height, height) if width > height else (width, limits.max_area // width)
    return Sides(width, height)


def rooted(side: int, other: int, area: int) -> int:
    """The side times the root of the quotient of the areas, rounded down."""
    return math.isqrt(math.floor(Fraction(area, side * other) * side**2))


def largest(whole: Sides, limits: Limits) -> Sides:
    """The limits of the same picture, as if it had so many pixels that all limits cut it."""
    much = max(limits.max_width, limits.max_height, limits.max_area)
    return limited(Sides(whole.width * much, whole.height * much), limits)


def spread_of(size: Sides, rotation: str) -> tuple[float, float]:
    angle = math.radians(float(rotation.removeprefix("!")))
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    return size.width * cos + size.height * sin, size.width * sin + size.height * cos
