"""The arithmetic of composite, over random sizes, and the names of further pictures."""

from fractions import Fraction
from math import cos, hypot, radians, sin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.request import further, imageref
from imgserve.request.faults import RequestInvalid
from imgserve.request.fields import read_field
from imgserve.request.geometry import Shape, SourceTooSmall, pixels
from imgserve.request.imageinfo import Size
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import MAX_SOURCE_SIDE_PX
from imgserve.request.native import dump_recipe, parse_recipe
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.flatten import Flatten
from imgserve.request.recipe import Recipe

LOGO = ImageRef(name="logo")
SIDES = st.integers(1, 3000)
SIZES = st.builds(Size, SIDES, SIDES)
PERCENT = st.integers(0, 9999).map(lambda part: f"{part / 100}%")
LENGTHS = st.integers(1, 5000) | PERCENT
OFFSETS = st.integers(-5000, 5000) | PERCENT | PERCENT.map(lambda text: f"-{text}")


@given(own=SIZES, on=SIZES, width=st.none() | LENGTHS, height=st.none() | LENGTHS)
def test_it_fits_its_box(own: Size, on: Size, width: int | str | None, height: int | str | None) -> None:
    size = Composite(LOGO, width=width, height=height).drawn(Shape(own.width_px, own.height_px, "png"), on)
    if width is None and height is None:
        assert size == own
        return
    box = (
        None if width is None else max(1, pixels(width, on.width_px)),
        None if height is None else max(1, pixels(height, on.height_px)),
    )
    sides = (size.width_px, size.height_px)
    assert all(most is None or side <= most for side, most in zip(sides, box, strict=True))
    assert any(side == most for side, most in zip(sides, box, strict=True)), "one side is as long as it may be"
    ratio = Fraction(own.width_px, own.height_px)
    assert abs(size.width_px - size.height_px * ratio) <= ratio / 2 + Fraction(1, 2) or 1 in sides


@given(own=SIZES, on=SIZES, per_mille=st.integers(1, 10_000))
def test_scale_is_of_the_width(own: Size, on: Size, per_mille: int) -> None:
    size = Composite(LOGO, scale=per_mille / 1000).drawn(Shape(own.width_px, own.height_px, "png"), on)
    assert size.width_px == max(1, (per_mille * on.width_px + 500) // 1000)


@given(size=SIZES, on=SIZES, near=OFFSETS, angle=st.floats(-360, 360))
def test_distances_from_opposite_edges_mirror_each_other(size: Size, on: Size, near: int | str, angle: float) -> None:
    left, top = Composite(LOGO, left=near, top=near).corner(size, on)
    right, bottom = Composite(LOGO, right=near, bottom=near).corner(size, on)
    assert (left, top) == (pixels(near, on.width_px), pixels(near, on.height_px))
    assert on.width_px - (right + size.width_px) == left
    assert on.height_px - (bottom + size.height_px) == top
    turned = Composite(LOGO, angle=angle).turned(size)
    across, down = abs(cos(radians(angle))), abs(sin(radians(angle)))
    assert abs(turned.width_px - max(1, size.width_px * across + size.height_px * down)) <= 0.5001
    assert abs(turned.height_px - max(1, size.width_px * down + size.height_px * across)) <= 0.5001
    assert hypot(turned.width_px, turned.height_px) <= 2**0.5 * hypot(size.width_px, size.height_px) + 1


@given(size=SIZES, on=SIZES, spacing=st.integers(0, 500) | PERCENT, place=st.integers(-4000, 4000))
def test_a_run_covers_the_side_and_keeps_its_place(size: Size, on: Size, spacing: int | str, place: int) -> None:
    operation = Composite(LOGO, tile=True, spacing_x=spacing, spacing_y=spacing, left=place, top=place)
    for run, side, whole in zip(
        operation.runs(size, on), (size.width_px, size.height_px), (on.width_px, on.height_px), strict=True
    ):
        assert run.period == side + pixels(spacing, whole)
        assert (run.start - place) % run.period == 0
        assert -run.period <= run.start < 0
        assert run.start + (run.times - 1) * run.period < whole <= run.start + run.times * run.period


@given(size=SIZES, on=SIZES)
def test_an_even_run_fits_whole_and_is_full(size: Size, on: Size) -> None:
    run, down = Composite(LOGO, tile="x", spacing_x="even", top=5).runs(size, on)
    assert down == (5, size.height_px, 1)
    assert run.times == max(1, on.width_px // size.width_px)
    if run.times > 1:
        end = (run.times - 1) * run.period + size.width_px
        assert run.start == 0
        assert on.width_px - run.times < end <= on.width_px


@pytest.mark.parametrize("value", ["even", "5%", 0, MAX_SOURCE_SIDE_PX])
def test_values_of_a_spacing(value: object) -> None:
    assert read_field(Composite, "spacing_x", value) == value
    for wrong in ("Even", "-5%", "5", -1, True, MAX_SOURCE_SIDE_PX + 1):
        with pytest.raises(RequestInvalid, match=r'spacing_x: expected .* or "even" or a percentage such as "12\.5%"'):
            read_field(Composite, "spacing_x", wrong)


def test_values_of_a_tile() -> None:
    for value in (True, False, "x", "y"):
        assert read_field(Composite, "tile", value) is value or read_field(Composite, "tile", value) == value
    with pytest.raises(RequestInvalid, match='tile: expected "x", "y" or true or false'):
        read_field(Composite, "tile", "z")


def test_a_drawing_without_size_needs_one() -> None:
    with pytest.raises(SourceTooSmall):
        Composite(LOGO).drawn(Shape(0, 0, "svg"), Size(9, 9))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"name": "logo"}, ImageRef(name="logo")),
        ("https://a.test/b.png", ImageRef(url="https://a.test/b.png")),
        ({"url": "https://a.test/b.png"}, ImageRef(url="https://a.test/b.png")),
        ("", None),
        ({}, None),
        (3, None),
        ({"name": 3}, None),
        ({"url": ""}, None),
        ({"name": "logo", "url": "https://a.test/b.png"}, None),
        ({"url": "https://a.test/b.png", "headers": {}}, None),
    ],
)
def test_names_of_pictures(value: object, expected: ImageRef | None) -> None:
    assert imageref.read(value) == expected


@pytest.mark.parametrize("name", ["", "a b", "../logo", "x" * 33, "lögo"])
def test_names_that_no_table_has(name: str) -> None:
    with pytest.raises(RequestInvalid, match="name: expected at most 32 letters"):
        imageref.read({"name": name})


def test_an_url_is_not_shown() -> None:
    assert "s3cret" not in repr(Composite(ImageRef(url="https://u:s3cret@a.test/b.png")))


def test_further_pictures_in_order() -> None:
    one, other = ImageRef(url="http://a.test/1.png"), ImageRef(url="http://a.test/2.png")
    recipe = Recipe((Composite(other), Flatten(), Composite(LOGO), Composite(other), Composite(one)))
    assert list(recipe.further.items()) == [(other, 0), (LOGO, 2), (one, 4)]
    assert [source and source.path for source in further.sources_of([recipe]).values()] == ["/2.png", None, "/1.png"]
    assert Recipe((Flatten(),)).without_urls() == Recipe((Flatten(),))
    dumped = dump_recipe(recipe)
    assert parse_recipe(dumped) == recipe


def test_eight_in_a_job() -> None:
    images = [ImageRef(url=f"http://a.test/{number}.png") for number in range(9)]
    seen: set[ImageRef] = set()
    assert not further.check(Recipe(tuple(map(Composite, images[:5]))), seen)
    assert not further.check(Recipe(tuple(map(Composite, images[3:8]))), seen)
    (fault,) = further.check(Recipe((Composite(images[0]), Composite(images[8]))), seen)
    assert fault.path == ("operations", 1, "image")
    assert fault.code == "output_count"


@pytest.mark.parametrize(("url", "code"), [("gopher://a.test/", "source_scheme_unknown"), ("b.png", "source_invalid")])
def test_a_url_is_judged_as_a_sources(url: str, code: str) -> None:
    (fault,) = further.check(Recipe((Flatten(), Composite(ImageRef(url=url)))), set())
    assert (fault.path, fault.code) == (("operations", 1, "image"), code)
