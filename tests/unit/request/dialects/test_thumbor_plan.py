"""How a thumbor request reads its source and writes its result, and what a trim leaves to be done."""

import msgspec
import pytest

from imgserve.request.dialects.thumbor import plan
from imgserve.request.dialects.thumbor.config import Config
from imgserve.request.dialects.thumbor.geometry import Trimmed
from imgserve.request.dialects.thumbor.refused import BadUrl
from imgserve.request.encode import Encode, faults_of
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.operations.flatten import Flatten
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.trim import Trim
from imgserve.request.recipe import LoadOptions, Operation
from tests.unit.request.dialects.thumbor_samples import JPEG, PHOTO, asked, cut, planned, to


@pytest.mark.parametrize(
    ("options", "info", "encode"),
    [
        ("x", JPEG, Encode("jpeg", 80, background="#000000", progressive=True, chroma="420")),
        ("filters:quality(40)", JPEG, Encode("jpeg", 40, background="#000000", progressive=True, chroma="420")),
        (
            "filters:max_bytes(5000)",
            JPEG,
            Encode("jpeg", 80, background="#000000", progressive=True, chroma="420", max_bytes=5000),
        ),
        ("filters:format(png):max_bytes(5000):quality(3)", JPEG, Encode("png")),
        ("filters:format(webp):max_bytes(5000)", JPEG, Encode("webp", 80, max_bytes=5000)),
        ("filters:format(webp):quality(100):max_bytes(5000)", JPEG, Encode("webp", lossless=True)),
        ("filters:format(avif)", JPEG, Encode("avif", 80)),
        ("filters:format(heic)", ImageInfo("png", 8, 6), Encode("png")),
        ("x", ImageInfo("webp", 8, 6), Encode("webp", 80)),
        ("x", ImageInfo("gif", 8, 6), Encode("gif")),
        ("x", ImageInfo("tiff", 8, 6), Encode("png")),
        ("x", ImageInfo("bmp", 8, 6), Encode("jpeg", 80, background="#000000", progressive=True, chroma="420")),
        (
            "filters:autojpg()",
            ImageInfo("png", 8, 6),
            Encode("jpeg", 80, background="#000000", progressive=True, chroma="420"),
        ),
        ("filters:autojpg()", ImageInfo("png", 8, 6, has_alpha=True), Encode("png")),
        ("filters:autojpg(false)", ImageInfo("png", 8, 6), Encode("png")),
    ],
)
def test_how_it_is_encoded(options: str, info: ImageInfo, encode: Encode) -> None:
    result = planned(options, info).recipe.encode
    assert result == encode
    assert faults_of(result) == []


def test_settings_of_the_encoders() -> None:
    config = Config(quality=70, webp_quality=60, avif_quality=50, progressive_jpeg=False, auto_png_to_jpg=True)
    assert planned("x", JPEG, config).recipe.encode == Encode("jpeg", 70, background="#000000", chroma="420")
    assert planned("filters:format(webp)", JPEG, config).recipe.encode.quality == 60
    assert planned("filters:format(avif)", JPEG, config).recipe.encode.quality == 50
    assert planned("x", ImageInfo("png", 8, 6), config).recipe.encode.format == "jpeg"
    # thumbor turns the setting off by the filter, whatever its value.
    assert planned("filters:autojpg()", ImageInfo("png", 8, 6), config).recipe.encode.format == "png"


@pytest.mark.parametrize(
    ("options", "info", "expected"),
    [
        ("x", JPEG, "webp"),
        ("x", ImageInfo("gif", 8, 6), "webp"),
        ("x", ImageInfo("gif", 8, 6, frames=2), "gif"),
        ("filters:cover()", ImageInfo("gif", 8, 6, frames=5), "webp"),
        ("x", ImageInfo("jpeg", 16_384, 6), "avif"),
        ("300x/filters:no_upscale()", ImageInfo("jpeg", 16_384, 600), "webp"),
    ],
)
def test_a_format_that_the_client_accepts(options: str, info: ImageInfo, expected: str) -> None:
    parameters = msgspec.structs.replace(asked(options), accepted=("webp", "avif"))
    assert plan.plan(parameters, info, Config()).recipe.encode.format == expected


@pytest.mark.parametrize(
    ("options", "info", "frames"),
    [
        ("x", ImageInfo("gif", 8, 6, frames=5), "auto"),
        ("filters:cover()", ImageInfo("gif", 8, 6, frames=5), "first"),
        ("x", ImageInfo("webp", 8, 6, frames=5), "first"),
        ("filters:cover()", JPEG, "auto"),
    ],
)
def test_frames(options: str, info: ImageInfo, frames: str) -> None:
    assert planned(options, info).recipe.load == LoadOptions(strict=False, orient=False, frames=frames)  # type: ignore[arg-type]


@pytest.mark.parametrize(("orientation", "size"), [(1, (800, 600)), (4, (800, 600)), (5, (600, 800)), (8, (600, 800))])
def test_the_sides_as_they_are_stored(orientation: int, size: tuple[int, int]) -> None:
    info = ImageInfo("jpeg", 800, 600, orientation=orientation)
    assert plan.size_of(info, is_upright=False) == Size(*size)
    assert plan.size_of(info, is_upright=True) == PHOTO


def test_orientation_is_off_unless_the_settings_turn_it_on() -> None:
    stored_standing = ImageInfo("jpeg", 800, 600, orientation=6)
    assert planned("x300", stored_standing).recipe.operations == (to(225, 300),)
    upright = planned("x300", stored_standing, Config(respect_orientation=True)).recipe
    assert (upright.operations, upright.load) == ((to(400, 300),), LoadOptions(strict=False))


# As CairoSVG 2.9 draws one of 100.5 x 50.4 px for thumbor.
@pytest.mark.parametrize(
    ("options", "operations"),
    [
        ("x", (Rasterize(100, 50, fit="fill"),)),
        ("300x", (Rasterize(300, 150, fit="fill"),)),
        ("0x200", (Rasterize(399, 200, fit="fill"),)),
        ("30x", (Rasterize(30, 15, fit="fill"),)),
        ("300x200", (Rasterize(300, 200),)),
        ("300x200/smart", (Rasterize(300, 200),)),
        ("fit-in/-300x200", (Rasterize(300, 200), Flop())),
        ("origx20", (Rasterize(40, 20, fit="fill"),)),
        ("10x0:60x50/200x100", (Rasterize(200, 100), cut(10, 0, 50, 50), cut(0, 12, 50, 25), to(200, 100))),
        ("adaptive-full-fit-in/200x300", (Rasterize(200, 300),)),
        ("filters:background_color(red)", (Rasterize(100, 50, fit="fill"), Flatten("#ff0000"))),
        ("trim/50x100/filters:brightness(9)", (Rasterize(50, 100),)),  # the others follow behind the trim
    ],
)
def test_an_svg_is_drawn_at_the_size_of_the_url(options: str, operations: tuple[Operation, ...]) -> None:
    recipe = planned(options, ImageInfo("svg", 100.5, 50.4)).recipe
    assert recipe.operations == operations
    assert (recipe.encode, recipe.load) == (Encode("png"), LoadOptions(strict=False, dpi=150.0, orient=False))


@pytest.mark.parametrize(
    ("options", "info"),
    [
        ("20000x20000", JPEG),
        ("fit-in/20000x20000/filters:upscale()", JPEG),
        ("fit-in/20000x20000/filters:fill(red)", JPEG),
        ("filters:" + ":".join(["brightness(1)"] * 33), JPEG),
        ("400x300", ImageInfo("svg", 0, 0)),
        ("0x0", ImageInfo("svg", 20_000, 20_000)),
    ],
)
def test_what_no_picture_can_be(options: str, info: ImageInfo) -> None:
    with pytest.raises(BadUrl):
        planned(options, info)


def test_a_trim_leaves_the_operations_to_the_worker() -> None:
    result = planned("trim:bottom-right:30/100x100", JPEG)
    assert result.trim == Trim(30.0, corner="bottom_right", distance="euclidean")
    assert result.recipe.operations == ()
    assert planned("trim:top-left:999/100x100", JPEG).trim == Trim(442.0, distance="euclidean")


def test_after_a_trim_the_crop_counts_from_the_corner_before_it() -> None:
    trimmed = Trimmed(PHOTO, 50, 100)
    result = plan.operations(
        asked("trim/100x150:300x250/100x50"), Size(600, 400), Config(), has_alpha=False, trimmed=trimmed
    )
    assert result.operations == (cut(50, 50, 200, 100), to(100, 50))


def test_no_upscale_knows_the_size_before_the_trim() -> None:
    trimmed = Trimmed(PHOTO)
    result = plan.operations(
        asked("trim/900x0/filters:no_upscale()"), Size(600, 400), Config(), has_alpha=False, trimmed=trimmed
    )
    assert result.size == Size(800, 533)
