"""thumbor's dialect against an oracle that was written apart from it: equal sizes and boxes for any URL."""

from itertools import chain
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.request.dialects.dialect import Negotiable
from imgserve.request.dialects.thumbor.config import Config
from imgserve.request.dialects.thumbor.dialect import Thumbor
from imgserve.request.dialects.thumbor.refused import BadUrl
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.limits import MAX_SIDE_PX
from tests.support.oracles import thumbor as oracle
from tests.support.oracles.thumbor import Box, Later, Options, Sides
from tests.support.oracles.trace import Change, traced
from tests.support.sizes import sized
from tests.unit.request.test_properties import steady

# Of URLs, each for eight pictures: 50,000 results of each property.
EXAMPLES = sized(50, 6_250)

ODD = [1, 2, 3, 5, 7, 11, 13, 31, 97, 101, 997, 16_383, 16_384, 16_385, 65_533, 65_534, 65_535]
SIDE = st.one_of(st.integers(1, 40), st.sampled_from(ODD), st.integers(1, 5000))
PICTURES = st.lists(st.tuples(st.builds(Sides, SIDE, SIDE), st.integers(1, 8)), min_size=8, max_size=8)
ASKED = st.one_of(st.none(), st.just(0), SIDE, SIDE, st.just("orig"))
EDGE = st.one_of(st.just(0), SIDE)
FOCAL = st.builds(lambda x, y, width, height: Box(x, y, x + width, y + height), EDGE, EDGE, SIDE, SIDE)
LATER = st.one_of(
    st.builds(Later, st.just("fill"), st.just(0)),
    st.builds(Later, st.just("upscale"), st.just(0)),
    st.builds(Later, st.just("proportion"), st.one_of(st.sampled_from([0.1, 0.5, 0.3, 0.99, 1]), st.floats(0.001, 1))),
    st.builds(Later, st.just("rotate"), st.sampled_from([0, 90, 180, 270, 450, 45])),
)

SIZES: dict[str, st.SearchStrategy[Any]] = {"width": ASKED, "height": ASKED, "flip_x": st.booleans()}
FITS: dict[str, st.SearchStrategy[Any]] = {"fit": st.sampled_from(get_args(oracle.Fit)[1:])}
CUTS: dict[str, st.SearchStrategy[Any]] = {
    "halign": st.sampled_from(["left", "center", "right"]), "valign": st.sampled_from(["top", "middle", "bottom"]),
    "focals": st.lists(FOCAL, max_size=3).map(tuple), "is_stretched": st.sampled_from([False, False, True]),
    "is_smart": st.booleans(),
}  # fmt: skip
CROPS: dict[str, st.SearchStrategy[Any]] = {
    "crop": st.builds(Box, EDGE, EDGE, EDGE, EDGE), "is_oriented": st.booleans(), "flip_y": st.booleans(),
}  # fmt: skip
FILTERS: dict[str, st.SearchStrategy[Any]] = {
    "is_no_upscale": st.booleans(), "later": st.lists(LATER, max_size=4).map(tuple),
}  # fmt: skip
LARGEST: dict[str, st.SearchStrategy[Any]] = {"max_width": EDGE, "max_height": EDGE}


def of(*fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Options]:
    """The fields that are not named stay at their defaults."""
    named = {name: strategy for group in fields for name, strategy in group.items()}
    return st.fixed_dictionaries(named).map(lambda values: Options(**values))


def path_of(options: Options) -> str:
    parts = ["unsafe"]
    if options.crop is not None:
        parts.append(_box(options.crop))
    if options.fit:
        parts.append(options.fit)
    if (options.width, options.height) != (None, None) or options.flip_x or options.flip_y:
        parts.append(f"{_side(options.flip_x, options.width)}x{_side(options.flip_y, options.height)}")
    parts += [options.halign, options.valign]
    if options.is_smart:
        parts.append("smart")
    words = [f"focal({_box(focal)})" for focal in options.focals]
    words += ["stretch()"] * options.is_stretched + ["no_upscale()"] * options.is_no_upscale
    words += [_word(later) for later in options.later]
    if words:
        parts.append(f"filters:{':'.join(words)}")
    return f"/{'/'.join(parts)}/example.com/a.jpg"


def _box(box: Box) -> str:
    return f"{box.left}x{box.top}:{box.right}x{box.bottom}"


def _side(is_flipped: bool, side: oracle.Side) -> str:
    return f"{'-' * is_flipped}{'' if side is None else side}"


def _word(later: Later) -> str:
    if later.name == "fill":
        return "fill(red)"
    return "upscale()" if later.name == "upscale" else f"{later.name}({later.value})"


def expected(options: Options, stored: Sides, orientation: int) -> tuple[list[Change], oracle.Result]:
    """The oracle's boxes as the changes of a recipe, up to the first filter."""
    result = oracle.result(options, stored, orientation)
    changes = []
    kept = Sides(stored.height, stored.width) if options.is_oriented and orientation >= 5 else stored
    for box in (result.crop, result.cut):
        if box is not None and box != (0, 0, *kept):
            kept = Sides(box.right - box.left, box.bottom - box.top)
            changes.append(Change("crop", (box.left, box.top, *kept)))
    if result.sizes[0] != kept:
        changes.append(Change("resize", result.sizes[0]))
    return changes, result


def check(options: Options, pictures: list[tuple[Sides, int]]) -> None:
    config = Config(
        max_width=options.max_width,
        max_height=options.max_height,
        respect_orientation=options.is_oriented,
        smart="ignore",
    )
    dialect = Thumbor(config, allow_unsigned=True)
    parameters = dialect.parse(path_of(options), Negotiable(), 0.0).parameters
    for stored, orientation in pictures:
        width, height = (stored.height, stored.width) if orientation >= 5 else stored
        info = ImageInfo("jpeg", width, height, orientation=orientation)
        changes, result = expected(options, stored, orientation)
        try:
            planned = dialect.plan(parameters, info)
        except BadUrl:  # the limit of our operations' numbers, not the original's
            numbers = [number for change in changes for number in change.numbers]
            assert max(*chain(numbers, *result.sizes)) > MAX_SIDE_PX
            continue
        found = traced(planned.recipe, info)
        assert found.largest <= MAX_SIDE_PX, (options, stored, orientation)
        assert found.changes[: len(changes)] == changes, (options, stored, orientation)
        assert found.size == result.size, (options, stored, orientation)


@settings(steady, max_examples=EXAMPLES)
@given(of(SIZES, FITS), PICTURES)
def test_all_kinds_of_fit_in(options: Options, pictures: list[tuple[Sides, int]]) -> None:
    check(options, pictures)


@settings(steady, max_examples=EXAMPLES)
@given(of(SIZES, CUTS), PICTURES)
def test_the_shape_of_the_target(options: Options, pictures: list[tuple[Sides, int]]) -> None:
    check(options, pictures)


@settings(steady, max_examples=EXAMPLES)
@given(of(SIZES, CUTS, CROPS), PICTURES)
def test_crops(options: Options, pictures: list[tuple[Sides, int]]) -> None:
    check(options, pictures)


@settings(steady, max_examples=EXAMPLES)
@given(of(SIZES, {"fit": st.sampled_from(get_args(oracle.Fit))}, CUTS, CROPS, FILTERS), PICTURES)
def test_filters_that_change_the_size(options: Options, pictures: list[tuple[Sides, int]]) -> None:
    check(options, pictures)


@settings(steady, max_examples=EXAMPLES // sized(2, 1))
@given(of(SIZES, {"fit": st.sampled_from(get_args(oracle.Fit))}, LARGEST), PICTURES)
def test_the_largest_sides_of_the_settings(options: Options, pictures: list[tuple[Sides, int]]) -> None:
    """Only for sources within them: larger ones are made smaller first, of which the rules say nothing."""
    most = (options.max_width or MAX_SIDE_PX * 4, options.max_height or MAX_SIDE_PX * 4)
    within = [one for one in pictures if one[0].width <= most[0] and one[0].height <= most[1]]
    check(options, within)
