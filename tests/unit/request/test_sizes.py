"""The size rules against models of their own, in decimal arithmetic, over random sizes."""

from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.request.geometry import Compass, Focal, NothingLeft, Shape
from imgserve.request.imageinfo import Size
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
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


def test_a_size_that_pixels_decide_stays_open_and_is_not_refused() -> None:
    steps = fold((Flip(), Crop(left=500)), Shape(100, 100, is_open=True))
    assert [step.after for step in steps] == [Shape(100, 100, is_open=True), Shape(1, 100, is_open=True)]
