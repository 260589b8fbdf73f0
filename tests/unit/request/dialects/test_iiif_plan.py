"""IIIF's sizes and recipes: tables from the Image API, and what must hold for every request."""

from math import cos, radians, sin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.request.dialects.dialect import UrlRefused
from imgserve.request.dialects.iiif import plan
from imgserve.request.dialects.iiif.bounds import Bounds
from imgserve.request.dialects.iiif.canonical import canonical, canonical_parameters
from imgserve.request.dialects.iiif.config import Config
from imgserve.request.dialects.iiif.grammar import parse
from imgserve.request.dialects.iiif.parameters import Parameters, Version
from imgserve.request.dialects.iiif.refused import BadRequest
from imgserve.request.encode import Encode
from imgserve.request.geometry import SourceTooSmall
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.flatten import Flatten
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.grayscale import Grayscale
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.rotate import Rotate
from imgserve.request.operations.threshold import Threshold
from imgserve.request.recipe import LoadOptions, Operation
from imgserve.request.rendering import resolve

OPEN = Bounds(16_383, 16_383, 50_000_000)
# The picture of the specification's own examples.
WHOLE = Size(300, 200)


def asked(path: str, version: Version = 3) -> Parameters:
    return parse(f"id/{path}", version).parameters


def size_of(
    path: str, whole: Size, bounds: Bounds = OPEN, version: Version = 3, *, upscales: bool = True
) -> Size | int:
    """The size, or the status of the refusal."""
    try:
        rendered = plan.render(asked(f"{path}/0/default.jpg", version), whole, bounds, upscales=upscales)
    except UrlRefused as error:
        return error.status
    return rendered.size


@pytest.mark.parametrize(
    ("region", "box"),
    [
        ("full", (0, 0, 300, 200)), ("square", (50, 0, 200, 200)), ("125,15,120,140", (125, 15, 120, 140)),
        ("pct:41.6,7.5,40,70", (125, 15, 120, 140)), ("125,15,200,200", (125, 15, 175, 185)),
        ("pct:41.6,7.5,66.6,100", (125, 15, 175, 185)), ("0,0,9999999999,9999999999", (0, 0, 300, 200)),
        ("299,199,1,1", (299, 199, 1, 1)), ("300,0,1,1", None), ("0,200,1,1", None), ("9999999999,0,1,1", None),
        ("pct:100,0,1,1", None), ("pct:99.9,0,10,10", None), ("pct:99.8,0,10,10", (299, 0, 1, 20)),
        ("pct:0.5,0.25,0.5,0.25", (2, 1, 2, 1)), ("pct:0,0,0.1,50", None), ("pct:0,0,0.16,50", None),
        ("pct:0,0,0.17,50", (0, 0, 1, 100)), ("pct:0,0,0.15,50", None), ("pct:0,0,50,0.1", None),
        ("pct:0,0,1000,1000", (0, 0, 300, 200)), ("pct:0.35,0,50,50", (1, 0, 150, 100)),
    ],
)  # fmt: skip
def test_regions(region: str, box: tuple[int, int, int, int] | None) -> None:
    wanted = asked(f"{region}/max/0/default.jpg").region
    if box is None:
        with pytest.raises(UrlRefused, match="a region within 300 x 200 px"):
            plan.region_of(wanted, WHOLE)
        return
    part = plan.region_of(wanted, WHOLE)
    assert (part.left, part.top, part.size.width_px, part.size.height_px) == box


@pytest.mark.parametrize(
    ("whole", "left"), [(Size(301, 200), 50), (Size(303, 200), 51), (Size(200, 301), 0), (Size(7, 7), 0)]
)
def test_a_square_is_centred(whole: Size, left: int) -> None:
    part = plan.region_of("square", whole)
    assert part.size == Size(min(whole.width_px, whole.height_px), min(whole.width_px, whole.height_px))
    assert part.left == left


SIZES: list[tuple[str, Size, tuple[int, int] | int]] = [
    # The examples of the specification.
    ("150,", WHOLE, (150, 100)), (",150", WHOLE, (225, 150)), ("pct:50", WHOLE, (150, 100)),
    ("225,100", WHOLE, (225, 100)), ("!225,100", WHOLE, (150, 100)), ("^360,", WHOLE, (360, 240)),
    ("^,240", WHOLE, (360, 240)), ("^pct:120", WHOLE, (360, 240)), ("^360,360", WHOLE, (360, 360)),
    ("^!360,360", WHOLE, (360, 240)), ("max", WHOLE, (300, 200)),
    # Not above the region without ^.
    ("300,", WHOLE, (300, 200)), ("301,", WHOLE, 400), (",200", WHOLE, (300, 200)), (",201", WHOLE, 400),
    ("300,200", WHOLE, (300, 200)), ("301,200", WHOLE, 400), ("300,201", WHOLE, 400), ("1,200", WHOLE, (1, 200)),
    ("pct:100", WHOLE, (300, 200)), ("pct:100.1", WHOLE, 400), ("pct:200", WHOLE, 400),
    ("pct:100.0000001", Size(10, 10), 400),
    # A box: 400 if both sides are larger (the validator's !2000,3000 of 1000 x 1000), else what fits.
    ("!2000,3000", Size(1000, 1000), 400), ("!301,201", WHOLE, 400), ("!301,200", WHOLE, (300, 200)),
    ("!300,201", WHOLE, (300, 200)), ("!9999999999,1", WHOLE, (2, 1)), ("!300,200", WHOLE, (300, 200)),
    ("!150,9999999999", WHOLE, (150, 100)), ("!149,1", Size(1000, 10), (100, 1)), ("!1,149", Size(10, 1000), (1, 100)),
    ("^!2000,500", Size(1000, 1000), (500, 500)), ("^!2000,3000", Size(1000, 1000), (2000, 2000)),
    ("^!301,9999", WHOLE, (301, 201)),
    # Half a pixel is one, less is none.
    ("pct:0.5", Size(300, 100), (2, 1)), ("pct:0.49", Size(300, 100), 400), ("1,", Size(100, 50), (1, 1)),
    ("1,", Size(100, 49), 400), (",1", Size(49, 100), 400), ("!1,1", Size(300, 100), 400), ("1,1", Size(300, 100),
    (1, 1)),
    ("3,", Size(7, 3), (3, 1)), ("5,", Size(10, 5), (5, 3)), ("pct:33.35", Size(1000, 10), (334, 3)),
    # ^ may be there without need.
    ("^150,", WHOLE, (150, 100)), ("^pct:50", WHOLE, (150, 100)), ("^!150,150", WHOLE, (150, 100)),
    ("^150,150", WHOLE, (150, 150)), ("^pct:0.01", WHOLE, 400), ("^1,", Size(100, 49), 400),
    # Above the limits.
    ("^16383,", Size(100, 10), (16_383, 1638)), ("^16384,", Size(100, 10), 400), ("^,16384", Size(10, 100), 400),
    ("^16385,1", WHOLE, 400), ("^7071,7071", WHOLE, (7071, 7071)), ("^7072,7071", WHOLE, 400),
    ("^pct:9999999999", WHOLE, 400), ("^max", Size(1000, 1000), (7071, 7071)), ("^max", Size(100, 10), (16_383, 1638)),
    ("^max", Size(10, 100), (1638, 16_383)), ("^!99999,99999", Size(1000, 1000), (7071, 7071)),
]  # fmt: skip


@pytest.mark.parametrize(("size", "whole", "wanted"), SIZES)
def test_sizes(size: str, whole: Size, wanted: tuple[int, int] | int) -> None:
    assert size_of(f"full/{size}", whole) == (wanted if isinstance(wanted, int) else Size(*wanted))


@pytest.mark.parametrize(
    ("bounds", "size", "wanted"),
    [
        (Bounds(200, 200, 50_000_000), "max", (200, 133)), (Bounds(360, 360, 50_000_000), "^max", (360, 240)),
        (Bounds(360, 100, 50_000_000), "max", (150, 100)), (Bounds(200, 100, 50_000_000), "max", (150, 100)),
        (Bounds(9_999, 9_999, 30_000), "max", (212, 141)), (Bounds(9_999, 9_999, 30_000), "^max", (212, 141)),
        (Bounds(9_999, 9_999, 60_000), "max", (300, 200)), (Bounds(9_999, 9_999, 59_999), "max", (299, 199)),
        (Bounds(9_999, 9_999, 240_000), "^max", (600, 400)), (Bounds(210, 9_999, 30_000), "max", (210, 140)),
        (Bounds(200, 200, 50_000_000), "201,", 400), (Bounds(200, 200, 50_000_000), "200,", (200, 133)),
        (Bounds(200, 100, 50_000_000), "200,", 400), (Bounds(9_999, 9_999, 30_000), "200,150", (200, 150)),
        (Bounds(9_999, 9_999, 30_000), "200,151", 400), (Bounds(9_999, 9_999, 30_000), "pct:100", 400),
        (Bounds(200, 200, 50_000_000), "!250,250", (200, 133)), (Bounds(100, 100, 50_000_000), "^!250,250", (100, 67)),
        (Bounds(250, 250, 50_000_000), "!350,350", 400), (Bounds(10, 10, 4), "max", (2, 1)),
        (Bounds(1, 1, 1), "max", (1, 1)), (Bounds(16_384, 16_384, 1), "^max", (1, 1)),
    ],
)  # fmt: skip
def test_limits(bounds: Bounds, size: str, wanted: tuple[int, int] | int) -> None:
    assert size_of(f"full/{size}", WHOLE, bounds) == (wanted if isinstance(wanted, int) else Size(*wanted))


@pytest.mark.parametrize(
    ("whole", "bounds", "wanted"),
    [
        (Size(1, 4), Bounds(1, 2, 1), (1, 1)), (Size(1, 4), Bounds(9, 9, 3), (1, 3)), (Size(9, 1), Bounds(9, 9, 5),
        (5, 1)),
        (Size(10_000, 1), Bounds(100, 100, 50), (50, 1)), (Size(1, 10_000), Bounds(9_999, 9_999, 5_000), (1, 5_000)),
    ],
)  # fmt: skip
def test_thin_pictures_within_limits(whole: Size, bounds: Bounds, wanted: tuple[int, int]) -> None:
    assert size_of("full/max", whole, bounds) == Size(*wanted)


def test_a_box_within_the_limits_is_filled() -> None:
    """The largest size of this shape would be 10 x 13, rounded down, and 10 x 14 has no more pixels than allowed."""
    assert size_of("full/^!10,97", Size(8, 11), Bounds(16_384, 16_384, 140)) == Size(10, 14)


def test_limits_of_the_settings_and_of_the_server() -> None:
    server = Limits(output_side_px=4_000, output_pixels=1_000_000)
    assert Bounds.of(Config(), server) == Bounds(4_000, 4_000, 1_000_000)
    assert Bounds.of(Config(max_width=500), server) == Bounds(500, 500, 1_000_000)
    assert Bounds.of(Config(max_height=500), server) == Bounds(4_000, 500, 1_000_000)
    assert Bounds.of(Config(max_width=9_000, max_height=9_000, max_area=9_000_000), server) == Bounds.of(
        Config(), server
    )
    assert Bounds.of(Config(max_width=500, max_height=9_000, max_area=1), server) == Bounds(500, 4_000, 1)
    # WebP holds no more.
    assert Bounds.of(Config(max_width=16_384), Limits()).width_px == 16_383
    assert Bounds.of(Config(extra_formats=("tif", "avif")), Limits()).width_px == 16_384


@pytest.mark.parametrize(
    ("size", "upscales", "wanted"),
    [
        ("full", True, (300, 200)), ("max", True, (300, 200)), ("150,", True, (150, 100)),
        ("150,150", True, (150, 150)),
        ("360,", True, (360, 240)), ("360,", False, 400), ("pct:200", True, (600, 400)), ("pct:200", False, 400),
        ("360,360", True, (360, 360)), ("360,360", False, 400), ("!360,360", True, (360, 240)),
        # 2.1 leaves the exact size to the server.
        ("!360,360", False, (300, 200)), ("!150,360", False, (150, 100)),
        # The tiles of 2.1 are asked for by their width, thin ones too.
        ("1,", True, (1, 1)), (",1", True, (2, 1)),
    ],
)  # fmt: skip
def test_sizes_of_2(size: str, upscales: bool, wanted: tuple[int, int] | int) -> None:
    result = size_of(f"full/{size}", WHOLE, version=2, upscales=upscales)
    assert result == (wanted if isinstance(wanted, int) else Size(*wanted))


def test_thin_tiles_and_limits_of_2() -> None:
    assert size_of("0,0,2048,1/512,", Size(4096, 4096), version=2) == Size(512, 1)
    assert size_of("0,0,2048,1/512,", Size(4096, 4096), version=3) == 400
    assert size_of("full/pct:0.01", WHOLE, version=2) == 400
    bounds = Bounds(200, 200, 50_000_000)
    assert size_of("full/full", WHOLE, bounds, 2) == 400
    assert size_of("full/max", WHOLE, bounds, 2) == Size(200, 133)
    assert size_of("0,0,200,200/full", WHOLE, bounds, 2) == Size(200, 200)
    assert size_of("full/!360,360", WHOLE, bounds, 2, upscales=False) == Size(200, 133)


def exact(width: int, height: int) -> Resize:
    return Resize(width, height, fit="fill", if_small="enlarge", kernel="lanczos3")


JPEG, ALPHA = ImageInfo("jpeg", 300, 200), ImageInfo("png", 300, 200, has_alpha=True)
SVG = ImageInfo("svg", 299.6, 200.4, has_alpha=True)


@pytest.mark.parametrize(
    ("info", "path", "operations"),
    [
        (JPEG, "full/max/0/default.jpg", []), (JPEG, "full/300,200/360/color.jpg", []),
        (JPEG, "0,0,300,200/pct:100/0/default.jpg", []), (JPEG, "full/150,/0/default.jpg", [exact(150, 100)]),
        (JPEG, "full/^600,/0/default.jpg", [exact(600, 400)]),
        (JPEG, "square/max/0/default.jpg", [Crop(50, 0, 200, 200)]),
        (JPEG, "10,20,30,40/15,/0/default.jpg", [Crop(10, 20, 30, 40), exact(15, 20)]),
        (JPEG, "10,20,30,40/15,20/!90/gray.png", [
            Crop(10, 20, 30, 40), exact(15, 20), Flop(), Rotate(90, "#00000000"), Grayscale()]),
        (JPEG, "full/max/!0/default.jpg", [Flop()]), (JPEG, "full/max/180/default.jpg", [Rotate(180, "#ffffff")]),
        (JPEG, "full/max/22.5/default.jpg", [Rotate(22.5, "#ffffff")]),
        (JPEG, "full/max/22.5/default.webp", [Rotate(22.5, "#00000000")]),
        (JPEG, "full/max/0/bitonal.jpg", [Threshold(128)]),
        (ALPHA, "full/max/0/bitonal.jpg", [Flatten(), Threshold(128)]),
        (ALPHA, "full/max/0/bitonal.png", [Threshold(128)]), (ALPHA, "full/max/0/gray.jpg", [Grayscale()]),
        (SVG, "full/max/0/default.png", [Rasterize(300, 200, fit="fill")]),
        (SVG, "full/^3000,/0/default.png", [Rasterize(3000, 2000, fit="fill")]),
        (SVG, "full/100,100/90/default.png", [Rasterize(100, 100, fit="fill"), Rotate(90, "#00000000")]),
        (SVG, "10,20,30,40/15,/0/default.png", [Rasterize(300, 200, fit="fill"), Crop(10, 20, 30, 40), exact(15, 20)]),
        (SVG, "10,20,30,40/max/0/default.png", [Rasterize(300, 200, fit="fill"), Crop(10, 20, 30, 40)]),
    ],
)  # fmt: skip
def test_recipes(info: ImageInfo, path: str, operations: list[Operation]) -> None:
    parameters = asked(path)
    planned = plan.plan(parameters, info, OPEN, upscales=True)
    assert list(planned.recipe.operations) == operations
    assert planned.recipe.encode == Encode(format=parameters.format)
    assert planned.recipe.load == LoadOptions(frames="first")
    assert (planned.trim, planned.is_source) == (None, False)


def test_a_drawing_without_size() -> None:
    with pytest.raises(SourceTooSmall):
        plan.plan(asked("full/max/0/default.png"), ImageInfo("svg", 0, 0), OPEN, upscales=True)


def test_a_region_of_a_wide_source() -> None:
    wide = ImageInfo("jpeg", 20_000, 2_000)
    planned = plan.plan(asked("17000,0,512,512/max/0/default.jpg"), wide, OPEN, upscales=True)
    assert planned.recipe.operations == (Crop(17_000, 0, 512, 512),)


def test_equal_pictures_have_equal_recipes() -> None:
    same = ["full/150,/0/default.jpg", "0,0,300,200/,100/360/color.jpg", "pct:0,0,100,100/!150,100/0/default.jpg",
            "full/^pct:50/0.0/default.jpg", "0,0,999,999/150,100/0/default.jpg"]  # fmt: skip
    recipes = {plan.plan(asked(path), JPEG, OPEN, upscales=True).recipe for path in same}
    recipes.add(plan.plan(asked("full/150,/0/default.jpg", 2), JPEG, OPEN, upscales=True).recipe)
    assert len(recipes) == 1


SIDE = st.integers(1, 3_000)
WHOLES = st.builds(Size, SIDE, SIDE)
PLACES = st.integers(0, 3_000)
REGIONS = (
    st.sampled_from(["full", "square"])
    | st.builds("{},{},{},{}".format, PLACES, PLACES, SIDE, SIDE)
    | st.builds(
        "pct:{},{},{},{}".format, st.integers(0, 99), st.integers(0, 99), st.integers(1, 100), st.integers(1, 100)
    )
)
SIZE_TEXTS = st.one_of(
    st.just("max"),
    *(st.builds(form.format, SIDE, SIDE) for form in ("{},", ",{}", "{},{}", "!{},{}")),
    st.builds("pct:{}.{}".format, st.integers(0, 150), st.integers(1, 99)),
)
REST = st.builds(
    "{}{}/{}.{}".format,
    st.sampled_from(["", "!"]),
    st.sampled_from(["0", "90", "180", "270", "22.5", "359.9", "45", "0.25"]),
    st.sampled_from(["default", "gray", "bitonal"]),
    st.sampled_from(["jpg", "png", "webp", "tif", "gif", "avif"]),
)
BOUNDS = st.just(OPEN) | st.builds(Bounds, SIDE, SIDE, st.integers(1, 2_000_000))
OF_3 = st.builds("{}/{}{}/{}".format, REGIONS, st.sampled_from(["", "^"]), SIZE_TEXTS, REST).map(asked)
OF_2 = st.builds("{}/{}/{}".format, REGIONS, SIZE_TEXTS | st.just("full"), REST).map(lambda path: asked(path, 2))


@given(OF_3 | OF_2, WHOLES, BOUNDS, st.booleans())
def test_every_answer_keeps_the_rules(parameters: Parameters, whole: Size, bounds: Bounds, has_alpha: bool) -> None:
    info = ImageInfo("png", whole.width_px, whole.height_px, has_alpha=has_alpha)
    try:
        rendered = plan.render(parameters, whole, bounds, upscales=True)
    except BadRequest:
        return
    _, region, size = rendered
    assert 0 <= region.left < region.left + region.size.width_px <= whole.width_px
    assert 0 <= region.top < region.top + region.size.height_px <= whole.height_px
    assert bounds.admits(size)
    assert min(size.width_px, size.height_px) >= 1
    if parameters.version == 3 and not parameters.may_enlarge:
        assert size.width_px <= region.size.width_px
        assert size.height_px <= region.size.height_px
    wide = turned(size, parameters.rotation)
    if parameters.format == "webp" and max(wide.width_px, wide.height_px) > OPEN.width_px:
        return  # refused: the rotation alone makes it so wide, where the settings offer WebP
    recipe = plan.plan(parameters, info, bounds, upscales=True).recipe
    unlimited = Limits(output_pixels=10**12, output_side_px=10**6)
    assert resolve(recipe, info, unlimited).size == wide


def turned(size: Size, angle: float) -> Size:
    if angle % 90 == 0:
        return size if angle % 180 == 0 else Size(size.height_px, size.width_px)
    across, down = abs(cos(radians(angle))), abs(sin(radians(angle)))
    width, height = size.width_px, size.height_px
    return Size(max(1, int(width * across + height * down + 0.5)), max(1, int(width * down + height * across + 0.5)))


@given(OF_3 | OF_2, WHOLES, BOUNDS)
def test_a_canonical_path_is_its_own(parameters: Parameters, whole: Size, bounds: Bounds) -> None:
    try:
        rendered = plan.render(parameters, whole, bounds, upscales=True)
    except UrlRefused:
        return
    text = canonical(parameters, rendered, bounds)
    again = asked(text, parameters.version)
    assert again == canonical_parameters(parameters, rendered, bounds)
    assert plan.render(again, whole, bounds, upscales=True) == rendered
    assert canonical(again, rendered, bounds) == text
    first, second = (plan.operations(one, rendered, is_svg=False, has_alpha=True) for one in (parameters, again))
    assert first == second


@pytest.mark.parametrize(
    ("version", "path", "wanted"),
    [
        (3, "full/max/0/default.jpg", "full/max/0/default.jpg"),
        (3, "full/300,/360/color.jpg", "full/max/0/default.jpg"),
        (3, "0,0,999,999/pct:100/!0.0/gray.png", "full/max/!0/gray.png"),
        (3, "square/,100/22.50/bitonal.tif", "50,0,200,200/100,100/22.5/bitonal.tif"),
        (3, "pct:41.6,7.5,40,70/60,/0/default.jpg", "125,15,120,140/60,70/0/default.jpg"),
        (3, "full/^max/0/default.jpg", "full/^max/0/default.jpg"),
        (3, "full/^,400/0/default.jpg", "full/^600,400/0/default.jpg"),
        (3, "full/^150,/0/default.jpg", "full/150,100/0/default.jpg"),
        (3, "full/!225,100/0/default.jpg", "full/150,100/0/default.jpg"),
        (3, "full/^300,201/0/default.jpg", "full/^300,201/0/default.jpg"),
        (3, "full/^301,199/0/default.jpg", "full/^301,199/0/default.jpg"),
        (2, "0,0,300,1/100,/0/default.jpg", "0,0,300,1/100,/0/default.jpg"),
        (3, "full/^pct:100/.5/default.jpg", "full/max/0.5/default.jpg"),
        (2, "full/full/0/default.jpg", "full/full/0/default.jpg"),
        (2, "full/max/0/color.jpg", "full/full/0/default.jpg"),
        (2, "full/150,100/0/default.jpg", "full/150,/0/default.jpg"),
        (2, "full/,100/0/default.jpg", "full/150,/0/default.jpg"),
        (2, "full/150,150/0/default.jpg", "full/150,150/0/default.jpg"),
        (2, "square/600,/0/default.jpg", "50,0,200,200/600,/0/default.jpg"),
        (2, "full/!150,150/0/default.jpg", "full/150,/0/default.jpg"),
        (2, "0,0,300,200/300,/0/default.jpg", "full/full/0/default.jpg"),
    ],
)  # fmt: skip
def test_canonical_paths(version: Version, path: str, wanted: str) -> None:
    parameters = asked(path, version)
    assert canonical(parameters, plan.render(parameters, WHOLE, OPEN, upscales=True), OPEN) == wanted


def test_canonical_paths_within_limits() -> None:
    bounds = Bounds(200, 200, 50_000_000)
    for version, path, wanted in ((3, "full/max", "full/max"), (3, "full/^max", "full/max"),
    (3, "full/200,", "full/max"),
                                  (3, "full/199,133", "full/199,133"), (2, "full/max", "full/200,")):  # fmt: skip
        parameters = asked(f"{path}/0/default.jpg", 2 if version == 2 else 3)
        rendered = plan.render(parameters, WHOLE, bounds, upscales=True)
        assert canonical(parameters, rendered, bounds) == f"{wanted}/0/default.jpg"


def test_parameters_are_hashable_and_frozen() -> None:
    assert len({asked("full/max/0/default.jpg"), asked("full/max/360/color.jpg"), Parameters()}) == 1
    assert msgspec.json.decode(msgspec.json.encode(Parameters())) == {
        "version": 3, "region": "full", "size": "max", "may_enlarge": False, "is_mirrored": False, "rotation": 0.0,
        "quality": "default", "format": "jpeg",
    }  # fmt: skip
