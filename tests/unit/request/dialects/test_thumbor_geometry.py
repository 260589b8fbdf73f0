"""What thumbor crops and which size follows, for pictures of known sizes."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.request.dialects.dialect import Answer
from imgserve.request.dialects.thumbor import grammar, plan
from imgserve.request.dialects.thumbor.config import Config
from imgserve.request.dialects.thumbor.geometry import normalized
from imgserve.request.dialects.thumbor.options import Request
from imgserve.request.dialects.thumbor.parameters import Parameters
from imgserve.request.dialects.thumbor.refused import BadUrl
from imgserve.request.geometry import Shape
from imgserve.request.imageinfo import Size
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
from imgserve.request.recipe import Operation, Recipe, check_operations
from tests.support.sizes import sized
from tests.unit.request.dialects.thumbor_samples import any_parameters, asked, cut, made, to
from tests.unit.request.test_properties import steady


@pytest.mark.parametrize(
    ("options", "operations"),
    [
        # No size, and a size that is there already.
        ("x", ()),
        ("800x600", ()),
        ("origxorig", ()),
        # The ratio to two digits decides whether anything is cut.
        ("400x300", (to(400, 300),)),
        ("400x301", (to(400, 301),)),
        ("400x200", (cut(0, 100, 800, 400), to(400, 200))),
        ("400x200/top", (cut(0, 0, 800, 400), to(400, 200))),
        ("400x200/bottom", (cut(0, 200, 800, 400), to(400, 200))),
        ("200x400/left", (cut(0, 0, 300, 600), to(200, 400))),
        ("200x400/right", (cut(500, 0, 300, 600), to(200, 400))),
        # It enlarges freely, but not with no_upscale.
        ("1600x1200", (to(1600, 1200),)),
        ("1600x1200/filters:no_upscale()", ()),
        # A missing side follows from the other one: 333 * 600 / 800 = 249.75; 6 * 600 / 800 = 4.5 is rounded to even,
        # and so is the top of the cut, 33.5.
        ("333x0", (to(333, 250),)),
        ("6x", (cut(0, 34, 800, 533), to(6, 4))),
        ("10x", (cut(25, 0, 750, 600), to(10, 8))),
        ("x6", (to(8, 6),)),
        ("1x0", (cut(100, 0, 600, 600), to(1, 1))),
        # 600 * 333 / 251 = 796.02 is rounded up.
        ("333x251", (to(333, 251),)),
        ("330x251", (cut(6, 0, 789, 600), to(330, 251))),
        ("400x200/filters:stretch()", (to(400, 200),)),
        ("origx300", (cut(0, 150, 800, 300),)),
        # Mirrors come last.
        ("-0x-0", (Flop(), Flip())),
        ("-400x300", (to(400, 300), Flop())),
        # fit-in never enlarges, the full one covers the box.
        ("fit-in/400x400", (to(400, 300),)),
        ("fit-in/900x900", ()),
        ("fit-in/900x300", (to(400, 300),)),
        ("full-fit-in/400x400", (to(533, 400),)),
        ("full-fit-in/1000x100", (to(1000, 750),)),
        # Adaptive: a lying picture in a standing box.
        ("adaptive-fit-in/300x400", (to(400, 300),)),
        ("fit-in/300x400", (to(300, 225),)),
        ("adaptive-fit-in/400x100", (to(133, 100),)),
        ("adaptive-full-fit-in/100x400", (to(400, 300),)),
        # fit-in rounds halves up: 6 * 600 / 800 = 4.5.
        ("fit-in/6x6", (to(6, 5),)),
        ("fit-in/0x300", (to(400, 300),)),
        # The crop of the URL: within the picture, or none at all.
        ("100x50:300x250", (cut(100, 50, 200, 200),)),
        ("100x50:3000x2500", (cut(100, 50, 700, 550),)),
        ("300x50:100x250", ()),
        ("900x0:1000x100", ()),
        ("100x50:300x250/100x100", (cut(100, 50, 200, 200), to(100, 100))),
        ("100x50:300x250/100x50", (cut(100, 50, 200, 200), cut(0, 50, 200, 100), to(100, 50))),
        # debug shows the picture as it is.
        ("debug/100x50:300x250/-100x100", (cut(100, 50, 200, 200),)),
    ],
)
def test_crop_and_resize(options: str, operations: tuple[Operation, ...]) -> None:
    assert made(options).operations == operations


@pytest.mark.parametrize(
    ("options", "left"),
    [
        # The middle of the box: 100 + 300 // 2 = 250, and the cut is 300 wide.
        ("200x400/filters:focal(100x0:400x600)", 100),
        ("200x400/filters:focal(0x0:10x10)", 0),
        ("200x400/filters:focal(790x0:800x600)", 500),
        # Weights are areas: (50 * 100 + 650 * 300) // 400 = 500.
        ("200x400/filters:focal(45x0:55x10):focal(635x0:665x10)", 350),
        # A focal point beside the crop does not count, one in it is moved with it.
        ("100x0:800x600/200x400/filters:focal(0x0:10x10)", 200),
        ("100x0:800x600/200x400/filters:focal(300x0:310x10)", 55),
        # thumbor rounds half to even: 205 - 150.5.
        ("201x400/filters:focal(200x0:210x600)", 54),
    ],
)
def test_focal_points(options: str, left: int) -> None:
    crop = made(options).geometry.cut
    assert crop is not None
    assert crop.left == left


def test_boxes_that_weigh_nothing_together() -> None:
    cut = made("200x400/filters:focal(500x0:510x10):focal(30x0:20x10)").geometry.cut
    assert cut is not None
    assert cut.left == 355


def test_smart_keeps_what_catches_the_eye_unless_there_is_a_focal_point() -> None:
    eye = msgspec.structs.replace(to(200, 400), fit="cover", gravity="attention")
    assert made("200x400/smart").operations == (eye,)
    assert made("400x300/smart").operations == (to(400, 300),)
    focal = "filters:focal(0x0:10x10)"
    assert made(f"200x400/smart/{focal}").operations == made(f"200x400/{focal}").operations
    assert made("200x400/smart", config=Config(smart="ignore")).operations == made("200x400").operations


@pytest.mark.parametrize(
    ("size", "most", "expected"),
    [
        ((800, 600), (0, 0), (800, 600)),
        ((800, 600), (800, 600), (800, 600)),
        ((800, 600), (400, 600), (400, 300)),
        ((800, 600), (800, 300), (400, 300)),
        ((600, 800), (400, 400), (300, 400)),
        ((801, 600), (400, 400), (400, 300)),
        # Equal excess: thumbor shrinks neither.
        ((800, 600), (700, 500), (800, 600)),
        # The excess over a height without limit is the whole height.
        ((800, 600), (500, 0), (800, 600)),
        ((2000, 100), (500, 0), (500, 25)),
    ],
)
def test_a_source_beyond_the_settings_limits(
    size: tuple[int, int], most: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert normalized(Size(*size), *most) == Size(*expected)


def test_the_crop_of_a_source_that_was_made_smaller() -> None:
    limited = made("100x51:301x250", config=Config(max_width=400, max_height=600))
    assert limited.operations == (to(400, 300), cut(50, 25, 100, 100))


sizes = st.builds(Size, st.integers(1, 6000), st.integers(1, 6000))


@settings(steady, max_examples=sized(100, 2000))
@given(parameters=any_parameters, size=sizes, has_alpha=st.booleans())
def test_every_recipe_is_one_that_can_be_asked_for(parameters: Parameters, size: Size, *, has_alpha: bool) -> None:
    try:
        result = plan.operations(parameters, size, Config(), has_alpha=has_alpha)
    except BadUrl:
        return
    recipe = Recipe(result.operations)
    assert msgspec.json.decode(msgspec.json.encode(recipe), type=Recipe) == recipe
    check_operations(recipe.operations)
    shape = Shape(size.width_px, size.height_px)
    for operation in recipe.operations:
        operation.check(shape)
        shape = operation.after(shape)
    assert shape.size == result.size


@settings(steady, max_examples=sized(100, 2000))
@given(any_parameters, sizes)
def test_a_size_that_is_asked_for_is_kept(parameters: Parameters, size: Size) -> None:
    parameters = msgspec.structs.replace(parameters, filters=(), is_kept_small=False, is_debug=False)
    try:
        result = plan.operations(parameters, size, Config(), has_alpha=False)
    except BadUrl:
        return
    width, height = parameters.width, parameters.height
    if parameters.fit == "" and isinstance(width, int) and isinstance(height, int) and width and height:
        assert result.size == Size(width, height)
    if parameters.fit == "fit-in" and isinstance(width, int) and width:
        assert result.size.width_px <= width
    if parameters.fit == "fit-in":
        assert result.size.width_px <= size.width_px
        assert result.size.height_px <= size.height_px


def test_parameters_that_differ_have_texts_that_differ() -> None:
    """Caches know them by their JSON."""
    text = "grayscale() equalize() upscale() rotate(9) brightness(9) contrast(9) noise(9) saturation(9) proportion(9)"
    words = [*text.split(), "fill(red)", "background_color(red)"]
    assert len({msgspec.json.encode(asked(f"filters:{word}")) for word in words}) == len(words)


@settings(steady, max_examples=sized(100, 2000))
@given(any_parameters, any_parameters)
def test_the_text_of_parameters(first: Parameters, second: Parameters) -> None:
    assert (msgspec.json.encode(first) == msgspec.json.encode(second)) is (first == second)
    request = Request("a.jpg", first, Answer(kind="info" if first.is_meta else "picture"))
    again = grammar.parse(grammar.generate(request))
    assert again is not None
    assert msgspec.json.encode(again.parameters) == msgspec.json.encode(first)
