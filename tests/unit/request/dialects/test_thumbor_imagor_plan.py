"""What an imagor URL does with a picture of a known size."""

from base64 import urlsafe_b64encode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.request.dialects.thumbor import (
    imagor_plan,
    masks,
)
from imgserve.request.dialects.thumbor.config import Config
from imgserve.request.dialects.thumbor.geometry import Trimmed
from imgserve.request.dialects.thumbor.parameters import Parameters
from imgserve.request.dialects.thumbor.refused import BadUrl, SizeTooLarge
from imgserve.request.dialects.thumbor.stage import Filter
from imgserve.request.encode import Encode, Format, faults_of
from imgserve.request.geometry import Focal, Shape
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.imageref import ImageRef
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.flatten import Flatten
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.grayscale import Grayscale
from imgserve.request.operations.linear import Linear
from imgserve.request.operations.modulate import Modulate
from imgserve.request.operations.negate import Negate
from imgserve.request.operations.pixelate import Pixelate
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.rotate import Rotate
from imgserve.request.operations.round import Round
from imgserve.request.operations.sharpen import Sharpen
from imgserve.request.operations.trim import Trim
from imgserve.request.recipe import LoadOptions, Operation, Recipe, check_operations
from tests.support.sizes import sized
from tests.unit.request.dialects.imagor_samples import FILM, JPEG, PHOTO, any_parameters, asked, cut, made, to
from tests.unit.request.test_properties import steady


@pytest.mark.parametrize(
    ("options", "operations"),
    [
        ("x", ()),
        ("400x300", (to(400, 300),)),
        ("800x600", ()),
        # It covers the box and is cut there; it enlarges unless no_upscale() forbids it.
        ("400x200", (Resize(400, 200, gravity="center", if_small="enlarge", linear_light=False),)),
        ("400x200/top", (Resize(400, 200, gravity="north", if_small="enlarge", linear_light=False),)),
        ("200x400/right/bottom", (Resize(200, 400, gravity="southeast", if_small="enlarge", linear_light=False),)),
        ("200x400/smart", (Resize(200, 400, gravity="attention", if_small="enlarge", linear_light=False),)),
        ("1600x1200", (to(1600, 1200),)),
        ("1600x1200/filters:no_upscale()", ()),
        ("1600x300/filters:no_upscale()",
         (Resize(1600, 300, gravity="center", if_small="keep", linear_light=False),)),
        ("400x", (to(400, 300),)),
        ("x1200", (to(1600, 1200),)),
        ("x1200/filters:no_upscale()", ()),
        ("fit-in/400x400", (to(400, 300),)),
        ("fit-in/1600x1600", ()),
        ("fit-in/1600x1600/filters:upscale()", (to(1600, 1200),)),
        ("fit-in/0x300", (to(400, 300),)),
        ("full-fit-in/400x400", (to(533, 400),)),
        ("full-fit-in/1600x900", (to(1600, 1200),)),
        ("full-fit-in/1600x900/filters:no_upscale()", ()),
        ("adaptive-fit-in/300x400", (to(400, 300),)),
        ("stretch/400x100", (to(400, 100),)),
        ("stretch/1600x100", (to(1600, 100),)),
        ("stretch/1600x100/filters:no_upscale()", (to(1600, 100),)),
        ("10x10:700x500/stretch/1600x100/filters:no_upscale()", (cut(10, 10, 690, 490),)),
        ("stretch/400x100/filters:no_upscale()", (to(400, 100),)),
        ("-0x-0", (Flop(), Flip())),
        ("10x20:110x220", (cut(10, 20, 100, 200),)),
        ("0.25x0.5:0.5x1", (cut(200, 300, 200, 299),)),
        # The last row and the last column stay outside.
        ("700x500:9999x9999", (cut(700, 500, 99, 99),)),
        ("100x100:0x0", (cut(100, 100, 699, 499),)),
        ("300x300:100x100", ()),
        ("300x300:300x400", ()),
        ("300x300:400x300", ()),
        ("0.5x0.5:2x1", ()),
        ("0.5x0.5:2x600", (cut(0, 0, 1, 598),)),
        ("filters:orient(90)", (Rotate(270.0),)),
        ("300x/filters:orient(90)", (Rotate(270.0), to(300, 400))),
    ],
)  # fmt: skip
def test_crop_and_resize(options: str, operations: tuple[Operation, ...]) -> None:
    assert made(options).operations == operations


def test_a_focal_point_is_a_share_of_the_cropped_picture() -> None:
    crop, resize = made("400x0:800x600/100x600/filters:focal(400x0:500x600)").operations
    assert crop == cut(400, 0, 399, 599)
    assert resize == Resize(100, 600, focal=Focal(50 / 399, 300 / 599), if_small="enlarge", linear_light=False)
    (resize,) = made("100x600/filters:focal(0.5x0:1x1)").operations
    assert isinstance(resize, Resize)
    assert resize.focal == Focal(0.75, 0.5)
    for point in ("focal(0.25x0.5)", "focal(0.25,0.5)", "focal(200x300)"):
        (resize,) = made(f"100x600/filters:{point}").operations
        assert isinstance(resize, Resize)
        assert resize.focal == Focal(200.5 / 800, 300.5 / 600)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        # On load one scale decides: 801 / 2 is rounded up. Else a side is computed first, and rounded down.
        ("fit-in/0x300", (401, 300)),
        ("fit-in/0x300/filters:rotate(0)", (400, 300)),
        ("x300", (401, 300)),
        ("x300/filters:max_bytes(9000)", (400, 300)),
        ("-0x-300", (400, 300)),
        ("fit-in/0x300/filters:fill(red)", (401, 300)),
        ("fit-in/0x300/filters:fill(auto)", (400, 300)),
        ("stretch/0x300", (400, 300)),
    ],
)
def test_sizes_on_load_and_later(options: str, size: tuple[int, int]) -> None:
    assert made(options, Size(801, 600)).size == Size(*size)


@pytest.mark.parametrize(
    ("options", "operations", "size"),
    [
        ("fit-in/400x400/filters:fill(red)",
         (to(400, 300), Extend(top=50, right=0, bottom=50, left=0, background="#ff0000")), (400, 400)),
        ("fit-in/400x400/5x6:7x8/filters:fill(none)",
         (to(400, 300), Extend(top=56, right=7, bottom=58, left=5)), (412, 414)),
        ("fit-in/400x400/5x6", (to(400, 300),), (400, 300)),
        ("fit-in/400x400/filters:fill(nocolor)",
         (to(400, 300), Extend(top=50, right=0, bottom=50, left=0, background="#000000")), (400, 400)),
        ("fit-in/400x400/filters:fill(auto)",
         (to(400, 300), Extend(top=50, right=0, bottom=50, left=0, background="mean")), (400, 400)),
        ("fit-in/400x400/filters:fill(blur)",
         (to(400, 300), Extend(top=50, right=0, bottom=50, left=0, mode="blur")), (400, 400)),
        # The box turns with the picture.
        ("fit-in/400x600/filters:rotate(90):fill(red)",
         (to(400, 300), Rotate(270.0), Extend(top=0, right=150, bottom=0, left=150, background="#ff0000")),
         (600, 400)),
        ("filters:padding(red,10)", (Extend(top=10, right=10, bottom=10, left=10, background="#ff0000"),), (820, 620)),
        ("filters:padding(red,10,20)",
         (Extend(top=20, right=10, bottom=20, left=10, background="#ff0000"),), (820, 640)),
        (
            "filters:padding(red,10,0)",
            (Extend(top=0, right=10, bottom=0, left=10, background="#ff0000"),),
            (820, 600),
        ),
        ("filters:padding(red,1,2,3,4)",
         (Extend(top=2, right=3, bottom=4, left=1, background="#ff0000"),), (804, 606)),
        ("filters:crop(10,20,100,200)", (cut(10, 20, 100, 200),), (100, 200)),
        ("filters:crop(0.5,0.5,0.5,0.25)", (cut(400, 300, 400, 150),), (400, 150)),
        ("filters:crop(700,500,900,900)", (cut(700, 500, 100, 100),), (100, 100)),
        ("filters:crop(700.9,0,900,900)", (cut(700, 0, 99, 600),), (99, 600)),
        ("filters:crop(900,0,10,10)", (), (800, 600)),
        ("filters:proportion(50)", (to(400, 300),), (400, 300)),
        ("filters:proportion(0.25)", (to(200, 150),), (200, 150)),
        ("filters:trim(10,bottom-right)",
         (Trim(10.0, corner="bottom_right", matte="#ff00ff", median=True),), (800, 600)),
    ],
)  # fmt: skip
def test_filters_that_change_the_size(options: str, operations: tuple[Operation, ...], size: tuple[int, int]) -> None:
    result = made(options)
    assert (result.operations, result.size) == (operations, Size(*size))


@pytest.mark.parametrize(
    ("text", "operations"),
    [
        ("brightness(20)", (Linear(add=51.0),)),
        ("contrast(0)", ()),
        ("contrast(-100)", (Linear(multiply=0.0, add=128.0),)),
        ("rgb(10,-20,0)", (Linear(add=(25.5, -51.0, 0.0)),)),
        ("hue(290)", (Modulate(hue=290.0),)),
        ("hue(-70)", (Modulate(hue=290.0),)),
        ("saturation(-100)", (Modulate(saturation=0.0),)),
        ("modulate(50,-50,0)", (Modulate(1.5, 0.5),)),
        ("modulate(50,-50)", ()),
        ("grayscale()", (Grayscale(),)),
        ("invert()", (Negate(),)),
        ("blur(5)", (Blur(2.5),)),
        ("blur(0,5)", (Blur(2.5),)),
        ("blur(0)", ()),
        ("sharpen(1)", (Sharpen(3.0, flat=0.0, jagged=2.0),)),
        ("sharpen(9,0.5)", (Sharpen(2.0, flat=0.0, jagged=2.0),)),
        ("pixelate()", (Pixelate(10),)),
        ("round_corner(20)", (Round(rx=20, ry=20),)),
        ("round_corner(20,30,white)", (Round(rx=20, ry=30), Flatten("#ffffff"))),
        ("background_color(red)", ()),
        ("rotate(90)", (Rotate(270.0),)),
        ("rotate(-90)", ()),
        ("noise(40)", masks.Grain(40)),
        ("text(hello,10,10)", ()),
        ("label(hello,10,10,20,red)", ()),
    ],
)  # fmt: skip
def test_filters(text: str, operations: tuple[Operation, ...] | Filter) -> None:
    if isinstance(operations, Filter):  # thumbor's own, which imagor lacks
        assert asked(f"filters:{text}").filters == (operations,)
    else:
        assert made(f"filters:{text}").operations == operations


def test_colours_behind_a_picture_with_transparency() -> None:
    assert made("filters:background_color(red)", has_alpha=True).operations == (Flatten("#ff0000"),)
    assert made("filters:fill(red)", has_alpha=True).operations == (Flatten("#ff0000"),)
    assert made("filters:fill(none)", has_alpha=True).operations == ()


@pytest.mark.parametrize("text", ["blur(5)", "sharpen(1)", "trim(10)"])
def test_animations_stay_as_they_are(text: str) -> None:
    assert made(f"filters:{text}", is_animated=True).operations == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("watermark(b.png)", Composite(ImageRef("b.png"), left=0, top=0)),
        ("watermark(b.png,-10,20,50)", Composite(ImageRef("b.png"), right=10, top=20, opacity=0.5)),
        ("watermark(b.png,10p,0.5,0)", Composite(ImageRef("b.png"), left=80, top=300)),
        ("watermark(b.png,-10p,-0.5,0)", Composite(ImageRef("b.png"), right=80, bottom=300)),
        ("watermark(b.png,center,center)", Composite(ImageRef("b.png"))),
        ("watermark(b.png,right,b)", Composite(ImageRef("b.png"), right=0, bottom=0)),
        ("watermark(b.png,left-20,bottom-30)", Composite(ImageRef("b.png"), left=-20, bottom=-30)),
        ("watermark(b.png,repeat,repeat)", Composite(ImageRef("b.png"), left=0, top=0, tile=True)),
        ("watermark(b.png,repeat,bottom,10)",
         Composite(ImageRef("b.png"), left=0, bottom=0, tile="x", opacity=0.9)),
        ("watermark(b.png,0,0,0,40,40)", Composite(ImageRef("b.png"), left=0, top=0, width=320, height=240)),
        ("watermark(b.png,0,0,0,none,50)", Composite(ImageRef("b.png"), left=0, top=0, width=800, height=300)),
        (f"watermark(b64:{urlsafe_b64encode(b'http://b.c/d,e.png').decode().rstrip('=')},0,0)",
         Composite(ImageRef("http://b.c/d,e.png"), left=0, top=0)),
        ("image(b.png,5,6,20,multiply)",
         Composite(ImageRef("b.png"), left=5, top=6, opacity=0.8, blend="multiply")),
        ("image(/fit-in/100x50/b.png,5,6)", Composite(ImageRef("b.png"), left=5, top=6, width=100, height=50)),
        ("image(fit-in/full-20xf/b.png)", Composite(ImageRef("b.png"), left=0, top=0, width=780, height=600)),
    ],
)  # fmt: skip
def test_further_pictures(text: str, expected: Composite) -> None:
    assert made(f"filters:{text}").operations == (expected,)


@pytest.mark.parametrize(
    ("options", "info", "encode"),
    [
        ("x", JPEG, Encode("jpeg", 80, background="#000000", progressive=True, metadata="all", profile="source")),
        ("filters:strip_metadata()", JPEG, Encode("jpeg", 80, background="#000000", progressive=True)),
        ("filters:format(webp):lossless():max_bytes(5000)", JPEG,
         Encode("webp", lossless=True, metadata="all", profile="source")),
        ("filters:format(png):palette():bitdepth(16)", JPEG,
         Encode("png", colors=256, metadata="all", profile="source")),
        ("filters:format(png):bitdepth(16)", JPEG, Encode("png", bit_depth=16, metadata="all", profile="source")),
        ("filters:format(jpeg):bitdepth(16):lossless():palette():quality(40)", JPEG,
         Encode("jpeg", 40, background="#000000", progressive=True, metadata="all", profile="source")),
        ("x", FILM, Encode("gif", metadata="all")),
        ("x", ImageInfo("tiff", 8, 6), Encode("tiff", metadata="all", profile="source")),
    ],
)  # fmt: skip
def test_how_it_is_encoded(options: str, info: ImageInfo, encode: Encode) -> None:
    result = imagor_plan.planned(asked(options), info, Config()).recipe.encode
    assert result == encode
    assert faults_of(result) == []


@pytest.mark.parametrize(
    ("options", "info", "accepted", "expected"),
    [
        ("x", JPEG, ("avif", "webp"), "avif"),
        ("x", FILM, ("avif", "webp"), "webp"),
        ("x", FILM, ("avif",), "gif"),
        ("filters:max_frames(1)", FILM, ("avif", "webp"), "avif"),
        ("filters:page(2)", FILM, ("avif",), "avif"),
    ],
)
def test_a_format_that_the_client_accepts(
    options: str, info: ImageInfo, accepted: tuple[Format, ...], expected: Format
) -> None:
    parameters = msgspec.structs.replace(asked(options), accepted=accepted)
    assert imagor_plan.planned(parameters, info, Config()).recipe.encode.format == expected


@pytest.mark.parametrize(
    ("options", "info", "load"),
    [
        ("x", FILM, LoadOptions()),
        ("filters:max_frames(1)", FILM, LoadOptions(frames="first")),
        ("filters:max_frames(3)", FILM, LoadOptions(frames=3)),
        ("filters:page(2)", FILM, LoadOptions(page=1, frames="first")),
        ("filters:dpi(150)", ImageInfo("svg", 8, 6), LoadOptions(dpi=150.0)),
        ("filters:dpi(150)", JPEG, LoadOptions()),
    ],
)
def test_how_it_is_read(options: str, info: ImageInfo, load: LoadOptions) -> None:
    assert imagor_plan.planned(asked(options), info, Config()).recipe.load == load


def test_a_trim() -> None:
    trimmed = imagor_plan.planned(asked("trim:20/100x100"), JPEG, Config())
    assert (trimmed.trim, trimmed.recipe.operations) == (Trim(20.0, matte="#ff00ff", median=True), ())
    assert imagor_plan.planned(asked("trim/100x75"), FILM, Config()).trim is None
    assert imagor_plan.planned(asked("trim/filters:max_frames(1)"), FILM, Config()).trim == Trim(
        1.0, matte="#ff00ff", median=True
    )
    assert imagor_plan.planned(asked("trim/filters:format(png)"), FILM, Config()).trim == Trim(
        1.0, matte="#ff00ff", median=True
    )
    rest = imagor_plan.operations(
        asked("trim/0.5x0:1x1"), Size(600, 400), has_alpha=False, trimmed=Trimmed(PHOTO, 100, 50)
    )
    assert rest.operations == (cut(300, 0, 300, 400),)


def test_pictures_are_turned_upright() -> None:
    info = msgspec.structs.replace(JPEG, orientation=6)
    recipe = imagor_plan.planned(asked("400x"), info, Config()).recipe
    assert (recipe.operations, recipe.load.orient) == ((to(400, 300),), True)


def test_an_svg_and_a_raw_source() -> None:
    drawing = ImageInfo("svg", 80, 60)
    assert imagor_plan.planned(asked("400x300"), drawing, Config()).recipe.operations == (
        Rasterize(400, 300, fit="fill"),
    )
    assert imagor_plan.planned(asked("filters:raw()"), drawing, Config()).is_source


@settings(steady, max_examples=sized(100, 2000))
@given(
    parameters=any_parameters,
    size=st.builds(Size, st.integers(1, 6000), st.integers(1, 6000)),
    has_alpha=st.booleans(),
)
def test_every_recipe_is_one_that_can_be_asked_for(parameters: Parameters, size: Size, *, has_alpha: bool) -> None:
    try:
        result = imagor_plan.operations(parameters, size, has_alpha=has_alpha)
    except (BadUrl, SizeTooLarge):
        return
    recipe = Recipe(result.operations)
    assert msgspec.json.decode(msgspec.json.encode(recipe), type=Recipe) == recipe
    check_operations(recipe.operations)
    shape = Shape(size.width_px, size.height_px)
    for operation in recipe.operations:
        operation.check(shape)
        shape = operation.after(shape)
    assert shape.size == result.size


def test_parameters_that_differ_have_texts_that_differ() -> None:
    """Caches know them by their JSON."""
    text = "grayscale() invert() equalize() brightness(9) contrast(9) hue(9) saturation(9) blur(9) sharpen(9) noise(9)"
    text += " proportion(9) rotate(90) pixelate(90) fill(red) background_color(red) watermark(b) image(b) trim() x()"
    words = text.split()
    assert len({msgspec.json.encode(asked(f"filters:{word}")) for word in words}) == len(words)
