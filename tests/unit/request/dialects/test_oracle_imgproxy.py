"""The dialect imgproxy against an oracle that was written apart from it: equal sizes and boxes for any options."""

from typing import Any, get_args

from hypothesis import example, given, settings
from hypothesis import strategies as st

from imgserve.request.dialects.dialect import Negotiable
from imgserve.request.dialects.imgproxy.config import Config
from imgserve.request.dialects.imgproxy.dialect import Imgproxy
from imgserve.request.dialects.imgproxy.refused import PictureRefused
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.limits import MAX_SIDE_PX
from tests.support.oracles import imgproxy as oracle
from tests.support.oracles.imgproxy import Crop, Gravity, Options, Sides
from tests.support.oracles.trace import Change, traced
from tests.support.sizes import sized
from tests.unit.request.test_properties import steady

DIALECT = Imgproxy(Config(max_src_resolution=0, allow_security_options=True), allow_unsigned=True)
# Of URLs, each for eight pictures: 50,000 results of each property.
EXAMPLES = sized(60, 6_250)

ODD = [1, 2, 3, 5, 7, 11, 13, 31, 97, 101, 997, 16_383, 16_384, 16_385, 65_533, 65_534, 65_535]
SIDE = st.one_of(st.integers(1, 40), st.sampled_from(ODD), st.integers(1, 5000))
PICTURES = st.lists(st.tuples(st.builds(Sides, SIDE, SIDE), st.integers(1, 8)), min_size=8, max_size=8)
ASKED = st.one_of(st.just(0), SIDE)
FACTOR = st.one_of(st.just(1.0), st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.7, 1.5, 2.0, 2.5, 3.0]), st.floats(0.01, 8))
OFFSET = st.one_of(st.sampled_from([0, 0.5, -0.5, 0.1, -0.25, 1, -1, 2.5, -7, 40]), st.floats(-100, 100))
SHARE = st.one_of(st.sampled_from([0, 0.1, 0.15, 0.3, 0.5, 0.7, 1]), st.floats(0, 1))
PLACE = st.builds(Gravity, st.sampled_from(list(oracle.ANCHORS)), OFFSET, OFFSET)
POINT = st.builds(Gravity, st.just("fp"), SHARE, SHARE)
SPACE = st.one_of(st.just(Gravity()), PLACE, POINT)
GRAVITY = st.one_of(SPACE, st.just(Gravity("sm")))
LENGTH = st.one_of(SHARE, SIDE, st.floats(1, 5000))
CROP = st.builds(Crop, LENGTH, LENGTH, st.none() | GRAVITY).filter(lambda crop: crop.width > 0 or crop.height > 0)
SPACING = st.integers(0, 20)

SIZES: dict[str, st.SearchStrategy[Any]] = {
    "resizing_type": st.sampled_from(get_args(oracle.ResizingType)), "width": ASKED, "height": ASKED,
    "enlarge": st.booleans(), "dpr": FACTOR, "gravity": GRAVITY,
}  # fmt: skip
BEHIND: dict[str, st.SearchStrategy[Any]] = {"extend": st.none() | SPACE, "extend_aspect_ratio": st.none() | SPACE}
SCALES: dict[str, st.SearchStrategy[Any]] = {
    "zoom_x": FACTOR, "zoom_y": FACTOR, "min_width": ASKED, "min_height": ASKED
}  # fmt: skip
TURNS: dict[str, st.SearchStrategy[Any]] = {
    "crop": CROP, "auto_rotate": st.booleans(), "rotate": st.sampled_from([0, 90, 180, 270, -90, 450]),
    "flip_x": st.booleans(), "flip_y": st.booleans(),
}  # fmt: skip
MARGINS: dict[str, st.SearchStrategy[Any]] = {"padding": st.tuples(SPACING, SPACING, SPACING, SPACING)}
LIMITS: dict[str, st.SearchStrategy[Any]] = {"max_result_dimension": SIDE}


def of(*fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Options]:
    """The fields that are not named stay at their defaults."""
    named = {name: strategy for group in fields for name, strategy in group.items()}
    return st.fixed_dictionaries(named).map(lambda values: Options(**values))


def path_of(options: Options) -> str:
    """Every option is in it, those at their defaults too, in the order in which the pipeline does not work."""
    words = [
        f"pd:{':'.join(map(str, options.padding))}",
        f"exar:{_space(options.extend_aspect_ratio)}",
        f"ex:{_space(options.extend)}",
        f"fl:{options.flip_x:d}:{options.flip_y:d}",
        f"rot:{options.rotate}",
        f"ar:{options.auto_rotate:d}",
        f"g:{_gravity(options.gravity)}",
        f"mw:{options.min_width}/mh:{options.min_height}",
        f"z:{options.zoom_x}:{options.zoom_y}",
        f"dpr:{options.dpr}",
        f"mrd:{options.max_result_dimension}",
        f"rs:{options.resizing_type}:{options.width}:{options.height}:{options.enlarge:d}",
    ]
    if options.crop is not None:
        place = "" if options.crop.gravity is None else f":{_gravity(options.crop.gravity)}"
        words.append(f"c:{options.crop.width}:{options.crop.height}{place}")
    return f"/_/{'/'.join(words)}/f:png/plain/http://example.com/a"


def _space(gravity: Gravity | None) -> str:
    return "0" if gravity is None else f"1:{_gravity(gravity)}"


def _gravity(gravity: Gravity) -> str:
    return "sm" if gravity.kind == "sm" else f"{gravity.kind}:{gravity.x}:{gravity.y}"


def expected(options: Options, stored: Sides, orientation: int) -> tuple[list[Change], Sides]:
    """The oracle's boxes as the changes of a recipe, which leaves out what changes nothing."""
    result = oracle.result(options, stored, orientation)
    changes = []
    is_exif_lying = oracle.is_lying(oracle.exif_turns(options, orientation))
    kept = Sides(stored.height, stored.width) if is_exif_lying else stored
    if result.crop is not None:
        kept = Sides(result.crop.width, result.crop.height)
        changes.append(_crop(result.crop, (options.crop and options.crop.gravity) or options.gravity))
    scaled = result.scaled if options.rotate % 180 == 0 else Sides(result.scaled.height, result.scaled.width)
    if scaled != kept:
        changes.append(Change("resize", scaled))
    if result.cut is not None:
        changes.append(_crop(result.cut, options.gravity))
    if result.canvas is not None:
        changes.append(Change("extend", result.canvas))
    return changes, result.size


def _crop(box: oracle.Box, gravity: Gravity) -> Change:
    return Change("crop", box[2:] if gravity.kind == "sm" else box)


def info_of(stored: Sides, orientation: int) -> ImageInfo:
    width, height = (stored.height, stored.width) if orientation >= 5 else stored
    return ImageInfo("jpeg", width, height, orientation=orientation)


def check(options: Options, pictures: list[tuple[Sides, int]]) -> None:
    parameters = DIALECT.parse(path_of(options), Negotiable(), 0.0).parameters
    for stored, orientation in pictures:
        info = info_of(stored, orientation)
        changes, size = expected(options, stored, orientation)
        try:
            planned = DIALECT.plan(parameters, info)
        except PictureRefused:  # the limit of our operations' numbers, not the original's
            assert max(*size, *(number for change in changes for number in change.numbers)) > MAX_SIDE_PX
            continue
        found = traced(planned.recipe, info)
        assert found.largest <= MAX_SIDE_PX, (options, stored, orientation)
        assert [one for one in found.changes if one.name != "turn"] == changes, (options, stored, orientation)
        assert found.size == size, (options, stored, orientation)


@settings(steady, max_examples=EXAMPLES)
@given(of(SIZES), PICTURES)
# 7.5, but 11 * (15 / 22) is less in floats.
@example(Options("fill-down", 22, 15), [(Sides(11, 15), 1)])
def test_resizing_types(options: Options, pictures: list[tuple[Sides, int]]) -> None:
    check(options, pictures)


@settings(steady, max_examples=EXAMPLES)
@given(of(SIZES, SCALES, BEHIND), PICTURES)
def test_zoom_least_sides_and_extensions(options: Options, pictures: list[tuple[Sides, int]]) -> None:
    check(options, pictures)


@settings(steady, max_examples=EXAMPLES)
@given(of(SIZES, TURNS), PICTURES)
def test_crops_of_turned_pictures(options: Options, pictures: list[tuple[Sides, int]]) -> None:
    check(options, pictures)


@settings(steady, max_examples=EXAMPLES)
@given(of(SIZES, SCALES, BEHIND, TURNS, MARGINS, LIMITS), PICTURES)
def test_all_options_together(options: Options, pictures: list[tuple[Sides, int]]) -> None:
    check(options, pictures)


@settings(steady, max_examples=EXAMPLES // sized(2, 1))
@given(of(SIZES, SCALES, BEHIND), PICTURES)
def test_drawings_grow_without_being_asked(options: Options, pictures: list[tuple[Sides, int]]) -> None:
    parameters = DIALECT.parse(path_of(options), Negotiable(), 0.0).parameters
    options = options._replace(is_drawing=True)
    for sides, _ in pictures:
        _, size = expected(options, sides, 1)
        info = ImageInfo("svg", *sides)
        try:
            planned = DIALECT.plan(parameters, info)
        except PictureRefused:
            assert max(*size, *oracle.result(options, sides).scaled) > MAX_SIDE_PX
            continue
        assert traced(planned.recipe, info).size == size, (options, sides)
