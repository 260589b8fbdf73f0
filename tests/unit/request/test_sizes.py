"""The size rules against models of their own, in decimal arithmetic, over random sizes."""

import cmath
import math
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any, get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imgserve.request.geometry import Compass, Focal, NothingLeft, Shape, SourceTooSmall
from imgserve.request.imageinfo import Size
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Fit, IfSmall, Resize
from imgserve.request.operations.rotate import Rotate
from imgserve.request.operations.trim import Trim
from imgserve.request.rendering import fold

SIDES = st.integers(1, 3000)
PER_CENTS = st.decimals(0, 250, places=2).map(lambda number: f"{number}%")
LENGTHS = st.integers(0, 4000) | PER_CENTS
SIDE_LENGTHS = st.integers(1, 4000) | PER_CENTS
PLACES = st.sampled_from(get_args(Compass))
FRACTIONS = st.decimals(0, 1, places=3).map(float)


def half_up(number: Decimal) -> int:
    return (
        int(number.to_integral_value(ROUND_HALF_UP))
        if number >= 0
        else -int((-number).to_integral_value("ROUND_HALF_DOWN"))
    )


def in_pixels(length: Any, side: int) -> int:
    return half_up(Decimal(length[:-1]) * side / 100) if isinstance(length, str) else length


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def model_of_place(place: Any, inner: int, outer: int, axis: int) -> int:
    """Where a side begins, by the words of the contract."""
    if isinstance(place, Focal):
        wanted = half_up(Decimal(repr((place.x, place.y)[axis])) * outer - Decimal(inner) / 2)
        return max(0, min(wanted, outer - inner))
    low, high = (("west", "east"), ("north", "south"))[axis]
    return 0 if low in place else outer - inner if high in place else (outer - inner) // 2


@given(width=SIDES, height=SIDES, operation=st.sampled_from([Flip(), Flop()]), is_open=st.booleans())
def test_mirrors_keep_the_size(width: int, height: int, operation: Flip | Flop, *, is_open: bool) -> None:
    assert operation.after(Shape(width, height, "png", is_open)) == Shape(width, height, None, is_open)


@given(
    sides=st.tuples(SIDES, SIDES),
    left=optional(LENGTHS), top=optional(LENGTHS), width=optional(SIDE_LENGTHS), height=optional(SIDE_LENGTHS),
)  # fmt: skip
def test_a_crop_by_its_corner(sides: tuple[int, int], left: Any, top: Any, width: Any, height: Any) -> None:
    operation, before = Crop(left, top, width, height), Shape(*sides, "png")
    begin = [in_pixels(length or 0, side) for length, side in zip((left, top), sides, strict=True)]
    ends = [
        side if length is None else min(side, first + max(1, in_pixels(length, side)))
        for length, first, side in zip((width, height), begin, sides, strict=True)
    ]
    if any(first >= side for first, side in zip(begin, sides, strict=True)):
        with pytest.raises(NothingLeft):
            operation.check(before)
        return
    operation.check(before)
    size = Size(ends[0] - begin[0], ends[1] - begin[1])
    assert operation.part(before.size) == (*begin, size)
    assert operation.after(before) == Shape(size.width_px, size.height_px)


@given(
    sides=st.tuples(SIDES, SIDES), width=optional(SIDE_LENGTHS), height=optional(SIDE_LENGTHS),
    place=PLACES | st.builds(Focal, FRACTIONS, FRACTIONS),
)  # fmt: skip
def test_a_crop_at_a_place(sides: tuple[int, int], width: Any, height: Any, place: Any) -> None:
    named = {"focal": place} if isinstance(place, Focal) else {"gravity": place}
    part = Crop(width=width, height=height, **named).part(Size(*sides))
    for axis, length in enumerate((width, height)):
        side = sides[axis] if length is None else min(sides[axis], max(1, in_pixels(length, sides[axis])))
        assert (part.size.width_px, part.size.height_px)[axis] == side
        assert part[axis] == model_of_place(place, side, sides[axis], axis)


@given(sides=st.tuples(SIDES, SIDES), across=st.decimals("0.1", 30, places=2), down=st.decimals("0.1", 30, places=2))
def test_a_crop_to_an_aspect(sides: tuple[int, int], across: Decimal, down: Decimal) -> None:
    """One side is the picture's, the other follows; none is larger; no box of the ratio is a pixel larger."""
    size = Crop(aspect=f"{across}:{down}").part(Size(*sides)).size
    width, height = sides
    with localcontext(prec=50):
        wide, high = half_up(Decimal(height) * across / down), half_up(Decimal(width) * down / across)
    by_height, by_width = Size(max(1, min(width, wide)), height), Size(width, max(1, min(height, high)))
    assert size == (by_height if width * down > height * across else by_width)


def model_of_resize(sides: tuple[int, int], op: Resize) -> Size | None:
    """By the table of the contract; None: refused. ``times`` multiplies first, so that ties stay exact."""

    def times(side: int, above: int, below: int) -> int:
        with localcontext(prec=60):
            return max(1, half_up(Decimal(side) * above / below))

    box = [None if side is None else max(1, half_up(side * Decimal(repr(op.dpr)))) for side in (op.width, op.height)]
    given = [axis for axis in (0, 1) if box[axis] is not None]
    ratios = {axis: Decimal(box[axis]) / sides[axis] for axis in given}  # type: ignore[arg-type]
    choose = min if op.fit in ("contain", "inside") else max
    leading = choose(given, key=lambda axis: ratios[axis])
    wanted, own = box[leading], sides[leading]
    assert wanted is not None
    is_small = wanted > own
    if is_small and op.if_small == "refuse":
        return None
    if len(given) == 1 or op.fit in ("inside", "outside"):
        if is_small and op.if_small != "enlarge":
            return Size(*sides)
        return Size(*(times(side, wanted, own) for side in sides))
    width, height = box
    assert width is not None
    assert height is not None
    if not is_small or op.if_small == "enlarge" or (op.fit == "contain" and op.if_small == "keep"):
        return Size(width, height)
    if op.if_small == "keep":
        return Size(min(width, sides[0]), min(height, sides[1]))
    return Size(times(width, own, wanted), times(height, own, wanted))


RESIZES = st.builds(
    Resize, width=optional(st.integers(1, 4000)), height=optional(st.integers(1, 4000)),
    fit=st.sampled_from(get_args(Fit)), if_small=st.sampled_from(get_args(IfSmall)),
    dpr=st.sampled_from([1.0, 0.1, 0.35, 1.5, 2.0, 8.0]) | st.decimals("0.1", 8, places=2).map(float),
).filter(lambda operation: operation.width is not None or operation.height is not None)  # fmt: skip


@settings(max_examples=500)
@given(sides=st.tuples(SIDES, SIDES) | st.tuples(st.integers(1, 9), st.integers(1, 9)), operation=RESIZES)
def test_a_resize(sides: tuple[int, int], operation: Resize) -> None:
    before, expected = Shape(*sides, "png"), model_of_resize(sides, operation)
    if expected is None:
        with pytest.raises(SourceTooSmall):
            operation.check(before)
        return
    operation.check(before)
    after = operation.after(before)
    assert after.size == expected
    whole, size = operation.plan(before)
    if operation.fit == "contain" and None not in (operation.width, operation.height):
        assert (whole.width_px <= size.width_px, whole.height_px <= size.height_px) == (True, True)
    else:
        assert (whole.width_px >= size.width_px, whole.height_px >= size.height_px) == (True, True)


@given(sides=st.tuples(SIDES, SIDES), operation=RESIZES)
def test_which_resizes_fix_a_size_that_pixels_decide(sides: tuple[int, int], operation: Resize) -> None:
    """Exactly those whose result is the same for every picture that a trim may leave."""
    after = operation.after(Shape(*sides, is_open=True))
    fixing = {"cover": ("enlarge", "refuse"), "fill": ("enlarge", "refuse"), "contain": ("enlarge", "refuse", "keep")}
    has_both = None not in (operation.width, operation.height)
    assert after.is_open != (has_both and operation.if_small in fixing.get(operation.fit, ()))
    if not after.is_open:
        for other in ((1, 1), (1, sides[1]), (5000, 3)):
            assert operation.after(Shape(*other)).size == after.size


@given(
    sides=st.tuples(st.floats(0.5, 900), st.floats(0.5, 900)), width=st.integers(1, 500), height=st.integers(1, 500),
    fit=st.sampled_from(["cover", "contain", "fill"]), if_small=st.sampled_from(get_args(IfSmall)),
)  # fmt: skip
def test_a_drawing_is_never_small(sides: tuple[float, float], width: int, height: int, fit: Any, if_small: Any) -> None:
    operation, drawing = Resize(width, height, fit=fit, if_small=if_small), Shape(*sides, "svg")
    operation.check(drawing)
    assert operation.after(drawing) == Shape(width, height)


@pytest.mark.parametrize(
    ("operation", "names"),
    [
        (Resize(), ["width"]),
        (Resize(3, gravity="attention"), ["gravity"]),
        (Resize(3, 3, fit="inside", gravity="entropy"), ["gravity"]),
        (Resize(3, 3, gravity="north", focal=Focal(0, 0)), ["focal"]),
        (Resize(3, 3, gravity="center", focal=Focal(0, 0)), ["focal"]),
        (Resize(3, 3, gravity="attention"), []),
        (Resize(3, 3, focal=Focal(0, 0)), []),
    ],
)
def test_fields_of_a_resize_beside_each_other(operation: Resize, names: list[str]) -> None:
    assert [fault.path for fault in operation.faults()] == [(name,) for name in names]


@given(
    sides=st.tuples(SIDES, SIDES), top=optional(LENGTHS), right=optional(LENGTHS), bottom=optional(LENGTHS),
    left=optional(LENGTHS),
)  # fmt: skip
def test_an_extension_by_margins(sides: tuple[int, int], top: Any, right: Any, bottom: Any, left: Any) -> None:
    operation = Extend(top, right, bottom, left)
    if (top, right, bottom, left) == (None,) * 4:
        assert [fault.code for fault in operation.faults()] == ["size_missing"]
        return
    assert operation.faults() == ()
    margins = [in_pixels(length or 0, sides[axis]) for length, axis in ((left, 0), (right, 0), (top, 1), (bottom, 1))]
    size = Size(margins[0] + sides[0] + margins[1], margins[2] + sides[1] + margins[3])
    assert operation.part(Size(*sides)) == (margins[0], margins[2], size)
    assert operation.after(Shape(*sides, "png")) == Shape(size.width_px, size.height_px)


@given(
    sides=st.tuples(SIDES, SIDES), width=optional(SIDE_LENGTHS), height=optional(SIDE_LENGTHS),
    gravity=optional(PLACES), left=optional(LENGTHS), top=optional(LENGTHS),
)  # fmt: skip
def test_an_extension_to_a_box(
    sides: tuple[int, int], width: Any, height: Any, gravity: Any, left: Any, top: Any
) -> None:
    """A side that is larger than the box stays, and the picture stays inside."""
    assume(not (width is None and height is None))
    left = None if gravity is not None or width is None else left
    top = None if gravity is not None or height is None else top
    operation = Extend(width=width, height=height, gravity=gravity, left=left, top=top)
    assert operation.faults() == ()
    part = operation.part(Size(*sides))
    for axis, (length, begin) in enumerate(((width, left), (height, top))):
        side = max(sides[axis], 0 if length is None else in_pixels(length, sides[axis]))
        assert (part.size.width_px, part.size.height_px)[axis] == side
        if left is None and top is None:
            assert part[axis] == model_of_place(gravity or "center", sides[axis], side, axis)
        else:
            assert part[axis] == min(in_pixels(begin or 0, sides[axis]), side - sides[axis])


@given(sides=st.tuples(SIDES, SIDES), angle=st.integers(-4, 4).map(lambda n: 90.0 * n) | st.floats(-360, 360))
def test_a_rotation(sides: tuple[int, int], angle: float) -> None:
    """The box of the four corners, turned by complex numbers; of quarter turns exact."""
    size = Rotate(angle).after(Shape(*sides, "png")).size
    if angle % 90 == 0:
        assert size == Size(*(sides if angle % 180 == 0 else sides[::-1]))
        return
    turn = cmath.exp(1j * math.radians(angle))
    corners = [complex(x, y) * turn for x in (0, sides[0]) for y in (0, sides[1])]
    for side, places in ((size.width_px, [c.real for c in corners]), (size.height_px, [c.imag for c in corners])):
        exact = max(places) - min(places)
        assert side == max(1, math.floor(exact + 0.5)) or abs(exact % 1 - 0.5) < 1e-6


@given(sides=st.tuples(SIDES, SIDES), operation=st.builds(Trim, even_x=st.booleans()))
def test_a_trim_leaves_the_size_open_until_both_sides_are_fixed(sides: tuple[int, int], operation: Trim) -> None:
    rest = (Extend(10), Rotate(90), Rotate(30), Crop(width=5), Resize(7), Resize(7, 9, if_small="keep"))
    steps = fold((operation, *rest), Shape(*sides, "png"))
    assert steps[0].after == Shape(*sides, is_open=True)
    assert all(step.after.is_open for step in steps)
    (fixed,) = fold((Resize(7, 9, if_small="enlarge"),), steps[-1].after)
    assert fixed.after == Shape(7, 9)


@pytest.mark.parametrize(
    ("operation", "names"),
    [
        (Extend(), ["width"]),
        (Extend(gravity="north"), ["width"]),
        (Extend(3, gravity="north"), ["gravity", "gravity"]),
        (Extend(width=9, left=3, gravity="north"), ["gravity"]),
        (Extend(width=9, right=3), ["right"]),
        (Extend(height=9, bottom=3), ["bottom"]),
        (Extend(width=9, left=3), []),
        (Extend(width=9, height=9, left=3, top=3), []),
        (Extend(width=9, top=3), ["top"]),
        (Extend(height=9, top=3, left=3), ["left"]),
        (Extend(width=9, gravity="south"), []),
    ],
)
def test_fields_of_an_extension_beside_each_other(operation: Extend, names: list[str]) -> None:
    assert [fault.path for fault in operation.faults()] == [(name,) for name in names]


@given(
    sides=st.tuples(st.decimals("0.5", 900, places=1), st.decimals("0.5", 900, places=1)),
    scale=st.decimals("0.01", 20, places=2),
)  # fmt: skip
def test_a_drawing_by_a_scale_of_its_own_size(sides: tuple[Decimal, Decimal], scale: Decimal) -> None:
    """Half up; a drawing's sides are floats, which are a hair beside their decimals."""
    after = Rasterize(scale=float(scale)).after(Shape(float(sides[0]), float(sides[1]), "svg"))
    for side, own in zip((after.width_px, after.height_px), sides, strict=True):
        is_tie = own * scale % 1 == Decimal("0.5")
        assert side == max(1, half_up(own * scale)) or (is_tie and side == max(1, int(own * scale)))


def test_a_scale_stands_alone() -> None:
    assert [fault.code for fault in Rasterize().faults()] == ["size_missing"]
    assert [fault.path for fault in Rasterize(width=3, scale=2.0).faults()] == [("scale",)]
    assert Rasterize(scale=2.0).faults() == Rasterize(height=3).faults() == ()
    with pytest.raises(SourceTooSmall):
        Rasterize(scale=2.0).after(Shape(0, 0, "svg"))


def test_a_size_that_pixels_decide_stays_open_and_is_not_refused() -> None:
    steps = fold((Flip(), Crop(left=500)), Shape(100, 100, is_open=True))
    assert [step.after for step in steps] == [Shape(100, 100, is_open=True), Shape(1, 100, is_open=True)]
