"""Each of thumbor's filters as operations."""

from math import exp
from typing import cast

import pytest

from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.imageref import ImageRef
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.convolve import Convolve
from imgserve.request.operations.curve import Curve
from imgserve.request.operations.equalize import Equalize
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.flatten import Flatten
from imgserve.request.operations.grayscale import Grayscale
from imgserve.request.operations.linear import Linear
from imgserve.request.operations.noise import Noise
from imgserve.request.operations.rotate import Rotate
from imgserve.request.operations.round import Round
from imgserve.request.operations.saturate import Saturate
from imgserve.request.recipe import Operation
from tests.unit.request.dialects.thumbor_samples import JPEG, cut, made, planned, to


@pytest.mark.parametrize(
    ("options", "operations"),
    [
        ("brightness(20)", (Linear(add=51.0),)),
        ("brightness(-1)", (Linear(add=-2.0),)),
        ("brightness(99999)", (Linear(add=255.0),)),
        ("brightness(0)", ()),
        ("rgb(10,-10,0)", (Linear(add=(25.0, -25.0, 0.0)),)),
        ("contrast(0)", ()),
        ("contrast(-100)", (Linear(multiply=0.0, add=128.0),)),
        ("contrast(50)", (Linear(multiply=2.25, add=-160.0),)),
        ("colorize(0,0,0,ffffff)", ()),
        ("grayscale()", (Grayscale(method="luma"),)),
        ("blur(7)", (Blur(7.0, 7),)),
        ("blur(7,2)", (Blur(2.0, 7),)),
        ("blur(999,-999)", (Blur(250.0, 150),)),
        ("saturation(1)", ()),
        ("saturation(1.5)", (Saturate(1.5),)),
        ("saturation(-1000)", (Saturate(-100.0),)),
        ("equalize()", (Equalize(),)),
        ("noise(40,7)", (Noise(40, 7),)),
        ("noise(0)", ()),
        ("convolution(1;2;1,3,false)", (Convolve(((1.0, 2.0, 1.0),), normalize=False),)),
        ("convolution(1;2;1,1)", (Convolve(((1.0,), (2.0,), (1.0,))),)),
        ("convolution(4000;2000;1000,3)", (Convolve(((1000.0, 500.0, 250.0),)),)),
        # Not rectangular, or without a middle.
        ("convolution(1;2;1,2)", ()),
        ("convolution(1;2;1;2,2)", ()),
        ("convolution(1,33)", ()),
        ("curve([],[],[],[])", ()),
        ("curve([(0,0),(99,9)],[],[(7,5)],[])", (Curve(((0.0, 0.0), (99.0, 9.0)), green=((0.0, 5.0), (255.0, 5.0))),)),
        ("rotate(90)", (Rotate(270.0),)),
        ("rotate(-90)", (Rotate(90.0),)),
        ("rotate(540)", (Rotate(180.0),)),
        ("rotate(360)", ()),
        ("rotate(45)", ()),
        ("proportion(0.5)", (to(400, 300),)),
        ("proportion(1.5)", ()),
        ("proportion(0.001)", ()),
        ("round_corner(20,1,2,255)", (Round(rx=20, ry=20, background="#0102ff"),)),
        ("round_corner(9999|10,1,2,3,true)", (Round(rx=400, ry=10),)),
        ("round_corner(0,1,2,3)", ()),
        ("background_color(red)", ()),
        ("fill(red)", ()),
        ("unknown(1)", ()),
    ],
)
def test_filters(options: str, operations: tuple[Operation, ...]) -> None:
    assert made(f"filters:{options}").operations == operations


def test_filters_follow_the_order_of_the_url() -> None:
    operations = made("400x300/filters:grayscale():rotate(90):brightness(20)").operations
    assert operations == (to(400, 300), Grayscale(method="luma"), Rotate(270.0), Linear(add=51.0))


@pytest.mark.parametrize(
    ("options", "operations", "size"),
    [
        # The box of the request, the picture in the middle, the odd pixel at the right.
        (
            "fit-in/401x401/filters:fill(red)",
            (to(401, 301), Extend(top=50, right=0, bottom=50, left=0, background="#ff0000")),
            (401, 401),
        ),
        # fit-in did not resize: the box is what was asked for.
        (
            "fit-in/900x601/filters:fill(0f08)",
            (Extend(top=0, right=50, bottom=1, left=50, background="#00ff0088"),),
            (900, 601),
        ),
        # A side that was not asked for is the picture's.
        (
            "fit-in/900x0/filters:fill(blur)",
            (Extend(top=0, right=50, bottom=0, left=50, mode="stretch"),),
            (900, 600),
        ),
        ("fit-in/400x400/filters:fill(nocolor)", (to(400, 300),), (400, 300)),
        # The full one: the picture covers the box, which grows with it.
        ("full-fit-in/400x400/filters:fill(red)", (to(533, 400),), (533, 400)),
        # A picture that has become larger than the box is cut.
        (
            "400x300/filters:rotate(90):fill(auto)",
            (
                to(400, 300),
                Rotate(270.0),
                cut(0, 50, 300, 300),
                Extend(top=0, right=50, bottom=0, left=50, background="mean"),
            ),
            (400, 300),
        ),
        ("fit-in/1600x1600/filters:upscale()", (to(1600, 1200),), (1600, 1200)),
        ("fit-in/1601x1600/filters:upscale()", (to(1601, 1200),), (1601, 1200)),
        ("fit-in/1600x0/filters:upscale()", (), (800, 600)),
        ("fit-in/400x1600/filters:upscale()", (to(400, 300),), (400, 300)),
    ],
)
def test_filters_that_know_the_box(options: str, operations: tuple[Operation, ...], size: tuple[int, int]) -> None:
    result = made(options)
    assert result.operations == operations
    assert result.size == Size(*size)


@pytest.mark.parametrize(
    ("options", "last"),
    [
        ("fit-in/900x600/filters:fill(red,true)", Flatten("#ff0000")),
        ("fit-in/900x600/filters:fill(transparent,true)", Extend(top=0, right=50, bottom=0, left=50)),
        ("filters:background_color(f008)", Flatten("#ff0000")),
        ("filters:fill(transparent):background_color(blue)", Flatten("#0000ff")),
    ],
)
def test_colours_behind_a_picture_with_transparency(options: str, last: Operation) -> None:
    assert made(options, has_alpha=True).operations[-1] == last


def test_round_corners_without_transparency_have_the_colour() -> None:
    corners = (Round(rx=20, ry=20, background="#0102ff"),)
    assert made("filters:round_corner(20,1,2,255)", has_alpha=True).operations == corners
    options = "filters:round_corner(20,1,2,255,true):format(jpeg)"
    assert planned(options, JPEG).recipe.encode.background == "#0102ff"
    assert planned(options, ImageInfo("png", 8, 6, has_alpha=True)).recipe.encode.background == "#000000"


def test_sharpen_is_the_mask_of_its_wavelets() -> None:
    (convolve,) = made("filters:sharpen(2,0,true)").operations
    assert isinstance(convolve, Convolve)
    assert (convolve.normalize, convolve.channels) == (False, "luma")
    assert cast(Convolve, made("filters:sharpen(2,0,false)").operations[0]).channels == "all"
    # Details of the second level are amplified too, those of the third hardly.
    assert len(convolve.mask) == 15
    assert sum(map(sum, convolve.mask)) == pytest.approx(1)
    first, second = 2 * exp(-1 / 1.5), 2 * exp(-4 / 1.5)
    # Each hat leaves half of the middle of a line, a quarter of that of the mask.
    middle = (1 + 2) - (2 - first) / 4 - (first - second) / 16 - second / 64
    assert convolve.mask[7][7] == pytest.approx(middle, abs=1e-6)
    assert len(cast(Convolve, made("filters:sharpen(2,1.0,true)").operations[0]).mask) == 31
    assert made("filters:sharpen(0,1.0,true)").operations == ()


def test_a_picture_on_a_colour_is_opaque() -> None:
    operations = made("filters:background_color(red):background_color(blue)", has_alpha=True).operations
    assert operations == (Flatten("#ff0000"),)


def test_colour_behind_a_picture_that_a_filter_has_made_transparent() -> None:
    operations = made("fit-in/900x600/filters:fill(transparent):background_color(blue)").operations
    assert operations == (Extend(top=0, right=50, bottom=0, left=50), Flatten("#0000ff"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("b.png,10,20,0", Composite(ImageRef("b.png"), left=10, top=20)),
        ("b.png,-10,-0,0", Composite(ImageRef("b.png"), right=10, bottom=0)),
        ("b.png,center,center,0", Composite(ImageRef("b.png"))),
        ("b.png,33p,-1p,0", Composite(ImageRef("b.png"), left=264, bottom=6)),
        (
            "b.png,repeat,repeat,0",
            Composite(ImageRef("b.png"), left=0, top=0, tile=True, spacing_x="even", spacing_y="even"),
        ),
        ("b.png,repeat,-5,0", Composite(ImageRef("b.png"), left=0, bottom=5, tile="x", spacing_x="even")),
        ("b.png,center,repeat,0", Composite(ImageRef("b.png"), top=0, tile="y", spacing_y="even")),
        ("b.png,0,0,50", Composite(ImageRef("b.png"), left=0, top=0, fade=127 / 255)),
        ("b.png,0,0,0,25", Composite(ImageRef("b.png"), left=0, top=0, width=200)),
        ("b.png,0,0,0,none,25", Composite(ImageRef("b.png"), left=0, top=0, height=150)),
        ("b.png,0,0,0,-5,0", Composite(ImageRef("b.png"), left=0, top=0)),
    ],
)
def test_watermark(arguments: str, expected: Composite) -> None:
    assert made(f"filters:watermark({arguments})").operations == (expected,)


def test_a_share_of_the_side_is_rounded_half_up() -> None:
    (composite,) = made("filters:watermark(b.png,1p,3p,0)", Size(50, 50)).operations
    assert (cast(Composite, composite).left, cast(Composite, composite).top) == (1, 2)


def test_an_invisible_watermark_is_not_drawn() -> None:
    assert made("filters:watermark(b.png,0,0,100)").operations == ()


def test_colorize_cuts_fractions_off() -> None:
    (linear,) = made("filters:colorize(50,100,0,ff8000)").operations
    assert isinstance(linear, Linear)
    assert isinstance(linear.multiply, tuple)
    assert isinstance(linear.add, tuple)
    for level in range(256):
        values = [int(multiply * level + add + 0.5) for multiply, add in zip(linear.multiply, linear.add, strict=True)]
        assert values == [(level * 50 + 255 * 50) // 100, 128, level]
