"""The sizes and boxes of thumbor 7, computed from the published rules alone and apart from the dialect.

In: the parts of a URL, the size of the source and its EXIF orientation. Out: the crops and the final size. The numbers
are Python's own; ``round`` is half to even. What the rules leave open is as in thumbor 7.8's sources: the integers of
focal points, focal points beside a crop, and the roundings of the filters.
"""

import math
from typing import Literal, NamedTuple

Fit = Literal["", "fit-in", "full-fit-in", "adaptive-fit-in", "adaptive-full-fit-in"]
Side = int | Literal["orig"] | None


class Sides(NamedTuple):
    width: int
    height: int


class Box(NamedTuple):
    """Left and top inside, right and bottom outside."""

    left: int
    top: int
    right: int
    bottom: int


class Later(NamedTuple):
    """A filter that works on the result: ``fill``, ``upscale``, ``proportion`` or ``rotate`` and its number."""

    name: Literal["fill", "upscale", "proportion", "rotate"]
    value: float = 0


class Options(NamedTuple):
    """``focals`` are the boxes of the focal filters. ``later`` are the other filters, in the URL's order."""

    crop: Box | None = None
    fit: Fit = ""
    width: Side = None
    height: Side = None
    flip_x: bool = False
    flip_y: bool = False
    halign: Literal["left", "center", "right"] = "center"
    valign: Literal["top", "middle", "bottom"] = "middle"
    is_smart: bool = False
    focals: tuple[Box, ...] = ()
    is_stretched: bool = False
    is_no_upscale: bool = False
    later: tuple[Later, ...] = ()
    max_width: int = 0
    max_height: int = 0
    is_oriented: bool = False


class Result(NamedTuple):
    """``crop`` is of the source, ``cut`` of what the crop leaves. None: the crop is ignored, the shape is right.

    ``sizes``: before the filters, and behind each.
    """

    crop: Box | None
    cut: Box | None
    sizes: tuple[Sides, ...]

    @property
    def size(self) -> Sides:
        return self.sizes[-1]


class Point(NamedTuple):
    x: int
    y: int
    weight: int


class Resized(NamedTuple):
    """A picture, and the sides of the box that the filters ``fill`` and ``upscale`` take; 0 is the picture's side."""

    cut: Box | None
    size: Sides
    box: tuple[float, float]


def result(options: Options, source: Sides, orientation: int = 1) -> Result:
    is_sideways = options.is_oriented and orientation >= 5
    upright = Sides(source.height, source.width) if is_sideways else source
    crop = manual_crop(options.crop, upright)
    picture = upright if crop is None else Sides(crop.right - crop.left, crop.bottom - crop.top)
    width, height = asked_sides(options, upright)
    points = focal_points(options.focals, crop)
    resized = resize(options, picture, width, height, points)
    sizes = [resized.size]
    for later in options.later:
        sizes.append(after_filter(later, sizes[-1], resized.box))
    return Result(crop, resized.cut, tuple(sizes))


def manual_crop(crop: Box | None, picture: Sides) -> Box | None:
    if crop is None:
        return None
    left, right = min(crop.left, picture.width), min(crop.right, picture.width)
    top, bottom = min(crop.top, picture.height), min(crop.bottom, picture.height)
    if left >= right or top >= bottom:
        return None
    return Box(left, top, right, bottom)


def asked_sides(options: Options, source: Sides) -> tuple[Side, Side]:
    """After the largest sides of the settings, and after no_upscale, which sees the picture as it was loaded."""
    width, height = options.width, options.height
    if isinstance(width, int):
        width = min(width, options.max_width or width)
    if isinstance(height, int):
        height = min(height, options.max_height or height)
    if options.is_no_upscale:
        width = min(width, source.width) if isinstance(width, int) else width
        height = min(height, source.height) if isinstance(height, int) else height
    return width, height


def target_of(picture: Sides, width: Side, height: Side) -> tuple[float, float]:
    if not width and not height:
        return picture
    wanted_w = picture.width if width == "orig" else width
    wanted_h = picture.height if height == "orig" else height
    if not wanted_w:
        wanted_w = round((wanted_h or 0) * picture.width / picture.height)
    if not wanted_h:
        wanted_h = round(wanted_w * picture.height / picture.width)
    return wanted_w, wanted_h


def resize(options: Options, picture: Sides, width: Side, height: Side, points: list[Point]) -> Resized:
    target_w, target_h = target_of(picture, width, height)
    if options.fit:
        return fit_in(options.fit, picture, (target_w, target_h), (width, height))
    box = box_of(picture, (width, height))
    cut = None if options.is_stretched else auto_crop(picture, target_w, target_h, focus(options, picture, points))
    return Resized(cut, Sides(at_least_1(target_w), at_least_1(target_h)), box)


def box_of(picture: Sides, asked: tuple[Side, Side]) -> tuple[int, int]:
    width, height = asked
    return (picture.width if width == "orig" else width or 0, picture.height if height == "orig" else height or 0)


def fit_in(fit: Fit, picture: Sides, target: tuple[float, float], asked: tuple[Side, Side]) -> Resized:
    """The swap of ``adaptive`` is of the words too: ``orig`` is the picture's other side then."""
    target_w, target_h = target
    is_turned = (picture.width - picture.height) * (target_w - target_h) < 0
    if fit.startswith("adaptive") and is_turned:
        target_w, target_h, asked = target_h, target_w, (asked[1], asked[0])
    box = box_of(picture, asked)
    is_full = "full" in fit
    if not is_full and target_w >= picture.width and target_h >= picture.height:
        return Resized(None, picture, box)
    target_w, target_h = target_w or 1, target_h or 1
    is_wider = picture.width / target_w >= picture.height / target_h
    is_taller = picture.width / target_w <= picture.height / target_h
    if is_taller if is_full else is_wider:
        size = Sides(at_least_1(target_w), at_least_1(picture.height * target_w / picture.width + 1e-5))
    else:
        size = Sides(at_least_1(picture.width * target_h / picture.height + 1e-5), at_least_1(target_h))
    return Resized(None, size, (max(box[0], size.width), max(box[1], size.height)))


def auto_crop(picture: Sides, target_w: float, target_h: float, at: tuple[float, float]) -> Box | None:
    """A side of the target that has been rounded to 0 counts as 1 in a quotient only."""
    shape_w, shape_h = target_w or 1, target_h or 1
    if round(picture.width / picture.height, 2) == round(shape_w / shape_h, 2):
        return None
    if target_w / picture.width > target_h / picture.height:
        width, height = picture.width, round(picture.width * target_h / shape_w)
    else:
        width, height = math.ceil(target_w * picture.height / shape_h), picture.height
    width, height = max(1, width), max(1, height)
    left = round(min(max(at[0] - width / 2, 0), picture.width - width))
    top = round(min(max(at[1] - height / 2, 0), picture.height - height))
    return Box(left, top, min(left + width, picture.width), min(top + height, picture.height))


def focal_points(focals: tuple[Box, ...], crop: Box | None) -> list[Point]:
    """Those in the crop, counted from its corner."""
    points = []
    for left, top, right, bottom in focals:
        x, y = left + (right - left) // 2, top + (bottom - top) // 2
        weight = (right - left) * (bottom - top)
        if crop is None:
            points.append(Point(x, y, weight))
        elif crop.left <= x <= crop.right and crop.top <= y <= crop.bottom:
            points.append(Point(x - crop.left, y - crop.top, weight))
    return points


def focus(options: Options, picture: Sides, points: list[Point]) -> tuple[float, float]:
    if not points:
        return (
            int({"left": 0, "center": picture.width / 2, "right": picture.width}[options.halign]),
            int({"top": 0, "middle": picture.height / 2, "bottom": picture.height}[options.valign]),
        )
    total = sum(point.weight for point in points)
    return (
        sum(point.x * point.weight for point in points) // total,
        sum(point.y * point.weight for point in points) // total,
    )


def after_filter(later: Later, size: Sides, box: tuple[float, float]) -> Sides:
    if later.name == "fill":
        return Sides(int(box[0]) or size.width, int(box[1]) or size.height)
    if later.name == "rotate":
        return Sides(size.height, size.width) if later.value % 180 == 90 else size
    if later.name == "proportion":
        width, height = size.width * later.value, size.height * later.value
        return size if width < 1 or height < 1 else Sides(int(width), int(height))
    return upscaled(size, int(box[0]), int(box[1]))


def upscaled(size: Sides, width: int, height: int) -> Sides:
    """A picture smaller than the box on both sides is enlarged until it touches it."""
    if size.width >= width or size.height >= height:
        return size
    if size.width / width >= size.height / height:
        return Sides(width, int(size.height * width / size.width))
    return Sides(int(size.width * height / size.height), height)


def at_least_1(side: float) -> int:
    return max(1, round(side))
