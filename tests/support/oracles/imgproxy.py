"""The sizes and boxes of imgproxy 4, computed from the published rules alone and apart from the dialect.

In: the options of a URL, the size of the source and its EXIF orientation. Out: the crops and the final size. The
numbers are doubles, as in Go, and each rounding is the one that the rules name. Where the rules leave the order of
factors open, and ties depend on it, it is that of imgproxy's sources (processing/prepare.go).
"""

import math
from typing import Literal, NamedTuple

ResizingType = Literal["fit", "fill", "fill-down", "force", "auto"]
Turn = Literal[90, 180, 270, "flop", "flip"]
Where = Literal["low", "middle", "high"]

# Where a gravity holds on to each axis: at its beginning, its middle or its end.
ANCHORS: dict[str, tuple[Where, Where]] = {
    "ce": ("middle", "middle"), "no": ("middle", "low"), "so": ("middle", "high"),
    "ea": ("high", "middle"), "we": ("low", "middle"), "noea": ("high", "low"),
    "nowe": ("low", "low"), "soea": ("high", "high"), "sowe": ("low", "high"),
}  # fmt: skip

# The turns that make a picture of each EXIF orientation upright.
UPRIGHT: dict[int, tuple[Turn, ...]] = {
    1: (), 2: ("flop",), 3: (180,), 4: (180, "flop"), 5: (90, "flop"), 6: (90,), 7: (270, "flop"), 8: (270,),
}  # fmt: skip


QUARTERS: dict[int, tuple[Turn, ...]] = {0: (), 90: (90,), 180: (180,), 270: (270,)}


class Sides(NamedTuple):
    width: int
    height: int


class Box(NamedTuple):
    left: int
    top: int
    width: int
    height: int


class Gravity(NamedTuple):
    """``kind``: a key of ANCHORS, ``fp`` or ``sm``."""

    kind: str = "ce"
    x: float = 0
    y: float = 0


class Crop(NamedTuple):
    width: float
    height: float
    gravity: Gravity | None = None


class Options(NamedTuple):
    """``is_drawing``: the source is an SVG, which may be drawn at any size."""

    resizing_type: ResizingType = "fit"
    width: int = 0
    height: int = 0
    min_width: int = 0
    min_height: int = 0
    zoom_x: float = 1
    zoom_y: float = 1
    dpr: float = 1
    enlarge: bool = False
    extend: Gravity | None = None
    extend_aspect_ratio: Gravity | None = None
    gravity: Gravity = Gravity()
    crop: Crop | None = None
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    auto_rotate: bool = True
    rotate: int = 0
    flip_x: bool = False
    flip_y: bool = False
    max_result_dimension: int = 0
    is_drawing: bool = False


class Result(NamedTuple):
    """``crop`` is of the source behind its EXIF orientation, ``cut`` of the scaled picture behind all turns.

    ``canvas``: the final size, and the corner of the picture in it. A box is None where nothing is cut off or added.
    Of a smart one only the sides count.
    """

    crop: Box | None
    scaled: Sides
    cut: Box | None
    canvas: Box | None
    size: Sides


class Scale(NamedTuple):
    x: float
    y: float
    dpr: float


class Targets(NamedTuple):
    asked: Sides
    scaled: Sides
    cut: Sides
    shape: Sides


def half_away(value: float) -> int:
    """Of a value that is not negative."""
    whole = math.floor(value)
    return whole + 1 if value - whole >= 0.5 else whole


def half_even(value: float) -> int:
    return round(value)


def result(options: Options, source: Sides, orientation: int = 1) -> Result:
    turns = turns_of(options, orientation)
    is_sideways = is_lying(turns)
    upright = Sides(source.height, source.width) if is_sideways else source
    kept = crop_sides(options, upright)
    crop = None
    if options.crop is not None:
        inner = Sides(kept.height, kept.width) if is_sideways else kept
        gravity = turned_back(options.crop.gravity or options.gravity, turns)
        crop = box_in(gravity, inner, source, 1)
        crop = crop and turned(crop, source, exif_turns(options, orientation))
    scale = scale_of(options, kept)
    done = after_scale(options, kept, scale, crop)
    # Of two extensions the limit sees the first one, in the original too.
    is_both = options.extend is not None and options.extend_aspect_ratio is not None
    limited = options._replace(extend_aspect_ratio=None) if is_both else options
    longest = max(after_scale(limited, kept, scale, crop).size)
    if 0 < options.max_result_dimension < longest:
        ratio = options.max_result_dimension / longest
        smaller = Scale(max(scale.x * ratio, 1 / kept.width), max(scale.y * ratio, 1 / kept.height), scale.dpr * ratio)
        done = after_scale(options, kept, smaller, crop)
    return done


def exif_turns(options: Options, orientation: int) -> tuple[Turn, ...]:
    return UPRIGHT[orientation] if options.auto_rotate else ()


def turns_of(options: Options, orientation: int) -> tuple[Turn, ...]:
    turns = list(exif_turns(options, orientation))
    turns += QUARTERS[options.rotate % 360]
    if options.flip_x:
        turns.append("flop")
    if options.flip_y:
        turns.append("flip")
    return tuple(turns)


def is_lying(turns: tuple[Turn, ...]) -> bool:
    """Whether they swap the sides."""
    return sum(turn in {90, 270} for turn in turns) % 2 == 1


def turned(box: Box, whole: Sides, turns: tuple[Turn, ...]) -> Box:
    """Where a part of the picture lies behind the turns."""
    for turn in turns:
        left, top, width, height = box
        right, bottom = whole.width - left - width, whole.height - top - height
        if turn == 90:
            box, whole = Box(bottom, left, height, width), Sides(whole.height, whole.width)
        elif turn == 270:
            box, whole = Box(top, right, height, width), Sides(whole.height, whole.width)
        else:
            box = Box(left if turn == "flip" else right, top if turn == "flop" else bottom, width, height)
    return box


def turned_back(gravity: Gravity, turns: tuple[Turn, ...]) -> Gravity:
    """The gravity of the stored picture that means this one of the turned picture."""
    if gravity.kind == "sm":
        return gravity
    if gravity.kind == "fp":
        return Gravity("fp", *point_back(gravity.x, gravity.y, turns))
    across = (ANCHORS[gravity.kind][0], gravity.x)
    down = (ANCHORS[gravity.kind][1], gravity.y)
    for turn in reversed(turns):
        if turn == 90:
            across, down = down, mirrored(*across)
        elif turn == 270:
            across, down = mirrored(*down), across
        else:
            across = across if turn == "flip" else mirrored(*across)
            down = down if turn == "flop" else mirrored(*down)
    kind = next(name for name, anchors in ANCHORS.items() if anchors == (across[0], down[0]))
    return Gravity(kind, across[1], down[1])


def point_back(x: float, y: float, turns: tuple[Turn, ...]) -> tuple[float, float]:
    for turn in reversed(turns):
        if turn == 90:
            x, y = y, 1 - x
        elif turn == 270:
            x, y = 1 - y, x
        else:
            x, y = (x if turn == "flip" else 1 - x), (y if turn == "flop" else 1 - y)
    return x, y


def mirrored(where: Where, offset: float) -> tuple[Where, float]:
    """An offset from an edge counts inwards; one from the middle counts to the right and down."""
    if where == "middle":
        return "middle", -offset
    return ("high" if where == "low" else "low"), offset


def crop_sides(options: Options, picture: Sides) -> Sides:
    if options.crop is None:
        return picture
    return Sides(crop_side(options.crop.width, picture.width), crop_side(options.crop.height, picture.height))


def crop_side(asked: float, side: int) -> int:
    if asked == 0:
        return side
    pixels = int(asked) if asked >= 1 else max(1, half_away(side * asked))
    return min(pixels, side)


def shrinks_of(options: Options, source: Sides) -> tuple[float, float]:
    """By how much each side shrinks for the resizing type, before zoom and dpr."""
    wanted_w, wanted_h = options.width or source.width, options.height or source.height
    xs, ys = source.width / wanted_w, source.height / wanted_h
    kind = options.resizing_type
    if kind == "auto":
        is_same_sign = (source.width - source.height >= 0) == (wanted_w - wanted_h >= 0)
        kind = "fill" if is_same_sign else "fit"
    if options.width == 0 and kind != "force":
        xs = ys
    elif options.height == 0 and kind != "force":
        ys = xs
    elif kind == "fit":
        xs = ys = max(xs, ys)
    elif kind in {"fill", "fill-down"}:
        xs = ys = min(xs, ys)
    return xs, ys


def scale_of(options: Options, source: Sides) -> Scale:
    xs, ys = shrinks_of(options, source)
    xs, ys, dpr = xs / options.zoom_x, ys / options.zoom_y, options.dpr
    if not options.enlarge and not options.is_drawing:
        least = min(xs, ys)
        if least < 1:
            xs, ys = xs / least, ys / least
            if options.extend is None:
                dpr /= least
        dpr = min(dpr, xs, ys)
    if options.min_width and (most := source.width / options.min_width) < xs:
        xs, ys = most, ys / (xs / most)
    if options.min_height and (most := source.height / options.min_height) < ys:
        xs, ys = xs / (ys / most), most
    xs, ys = min(xs / dpr, source.width), min(ys / dpr, source.height)
    return Scale(1 / xs, 1 / ys, dpr)


def targets_of(options: Options, source: Sides, scale: Scale) -> Targets:
    asked = Sides(
        half_away(options.width * (scale.dpr * options.zoom_x)),
        half_away(options.height * (scale.dpr * options.zoom_y)),
    )
    scaled = Sides(half_away(source.width * scale.x), half_away(source.height * scale.y))
    cut = asked
    if options.resizing_type == "fill-down" and not options.enlarge:
        over_w, over_h = asked.width / scaled.width, asked.height / scaled.height
        if over_w > over_h and over_w > 1:
            cut = Sides(scaled.width, half_away(scaled.width * (asked.height / asked.width)))
        elif over_h > over_w and over_h > 1:
            cut = Sides(half_away(scaled.height * (asked.width / asked.height)), scaled.height)
    return Targets(asked, scaled, cut, shape_of(options, asked, scaled, cut))


def shape_of(options: Options, asked: Sides, scaled: Sides, cut: Sides) -> Sides:
    """The canvas of extend_aspect_ratio; 0 x 0 for none."""
    if options.extend_aspect_ratio is None or not asked.width or not asked.height:
        return Sides(0, 0)
    out_w, out_h = min(scaled.width, cut.width or scaled.width), min(scaled.height, cut.height or scaled.height)
    if asked.height / out_h > asked.width / out_w:
        return Sides(out_w, half_away(out_w * (asked.height / asked.width)))
    if asked.height / out_h < asked.width / out_w:
        return Sides(half_away(out_h * (asked.width / asked.height)), out_h)
    return Sides(0, 0)


def after_scale(options: Options, source: Sides, scale: Scale, crop: Box | None) -> Result:
    targets = targets_of(options, source, scale)
    scaled = targets.scaled
    inner = Sides(
        min(targets.cut.width or scaled.width, scaled.width), min(targets.cut.height or scaled.height, scaled.height)
    )
    cut = box_in(options.gravity, inner, scaled, scale.dpr)
    canvas = Box(0, 0, *inner)
    canvas = extended_to(targets.asked, options.extend, canvas, scale.dpr)
    canvas = extended_to(targets.shape, options.extend_aspect_ratio, canvas, scale.dpr)
    top, right, bottom, left = (half_even(side * scale.dpr) for side in options.padding)
    size = Sides(canvas.width + left + right, canvas.height + top + bottom)
    placed = Box(canvas.left + left, canvas.top + top, *size)
    return Result(crop, scaled, cut, None if size == inner else placed, size)


def extended_to(outer: Sides, gravity: Gravity | None, canvas: Box, dpr: float) -> Box:
    """The canvas behind the extension: its size, and the picture's corner in it."""
    inner = Sides(canvas.width, canvas.height)
    if gravity is None or (outer.width <= inner.width and outer.height <= inner.height):
        return canvas
    larger = Sides(max(outer.width, inner.width), max(outer.height, inner.height))
    left, top = position(gravity, inner, larger, dpr)
    return Box(canvas.left + left, canvas.top + top, *larger)


def box_in(gravity: Gravity, inner: Sides, outer: Sides, dpr: float) -> Box | None:
    """None: the inner box is all of the outer one."""
    if inner == outer:
        return None
    if gravity.kind == "sm":
        return Box(0, 0, *inner)
    return Box(*position(gravity, inner, outer, dpr), *inner)


def position(gravity: Gravity, inner: Sides, outer: Sides, dpr: float) -> tuple[int, int]:
    if gravity.kind == "fp":
        left = half_even(outer.width * gravity.x) - inner.width // 2
        top = half_even(outer.height * gravity.y) - inner.height // 2
    else:
        across, down = ANCHORS[gravity.kind]
        left = along(across, gravity.x, inner.width, outer.width, dpr)
        top = along(down, gravity.y, inner.height, outer.height, dpr)
    return max(0, min(left, outer.width - inner.width)), max(0, min(top, outer.height - inner.height))


def along(where: Where, asked: float, inner: int, outer: int, dpr: float) -> int:
    offset = half_even(asked * dpr) if abs(asked) >= 1 else half_even(outer * asked)
    if where == "middle":
        return half_even((outer - inner + 1) / 2) + offset
    return offset if where == "low" else outer - inner - offset
