"""Properties of the dialect imgproxy: round trips, sizes of recipes, and no step that changes nothing."""

import itertools
import random
from base64 import urlsafe_b64encode
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.request.dialects.dialect import Answer, Asked, Negotiable
from imgserve.request.dialects.imgproxy import sizes, stage, steps
from imgserve.request.dialects.imgproxy.config import Config
from imgserve.request.dialects.imgproxy.dialect import Imgproxy
from imgserve.request.dialects.imgproxy.parameters import Parameters
from imgserve.request.dialects.imgproxy.place import Axis
from imgserve.request.dialects.imgproxy.refused import ImgproxyRefused, PictureRefused
from imgserve.request.dialects.imgproxy.rounding import rounded
from imgserve.request.dialects.imgproxy.turn import Box, Turn, of_exif, of_options
from imgserve.request.encode import NO_DEFAULTS, Defaults, Format
from imgserve.request.faults import RequestInvalid
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import ImageInfo, Size, SourceFormat
from imgserve.request.limits import Limits
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.rotate import Rotate
from imgserve.request.recipe import Recipe, check_operations
from imgserve.request.rendering import resolve, steps_of
from imgserve.request.wish import OfImgproxy, rendering_of
from imgserve.request.wish import of as wishes_of
from imgserve.setting import Secret

PAIRS = 2_000
CONFIG = Config(
    keys=(Secret("6b6579"),),
    salts=(Secret("73616c74"),),
    presets=("default=q:70/sh:0.5/wm:0.4:soea:3:3", "small=rs:fill:30:30/c:0.5:0.5:no"),
    allow_security_options=True,
    allow_raw=True,
    watermark="mark",
    skip_processing_formats=("svg",),
)
DIALECT = Imgproxy(CONFIG, allow_unsigned=False)
OPEN = Imgproxy(CONFIG, allow_unsigned=True)

PLACES = ["ce", "no", "so", "ea", "we", "noea", "nowe", "soea", "sowe"]
NUMBER = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: repr(value).replace("e+", "e"))
SIDE = st.integers(0, 5000).map(str)
BOOL = st.sampled_from(["0", "1", "t", "false", "maybe"])
SIGMA = st.floats(0, 500).map(repr)
COLOR = st.text("0123456789abcdefABCDEF", min_size=6, max_size=6)
FACTOR = st.floats(0.01, 20).map(repr)
FORMAT = st.sampled_from(["jpg", "jpeg", "png", "webp", "gif", "avif", "tiff", "ico", "bmp", "heic", "jxl", "svg"])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def option(name: str, *arguments: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*arguments).map(lambda texts: ":".join((name, *texts)))


GRAVITY = st.one_of(
    st.sampled_from([*PLACES, "sm"]),
    st.tuples(st.sampled_from(PLACES), NUMBER, NUMBER).map(":".join),
    st.tuples(st.just("fp"), st.floats(0, 1).map(repr), st.floats(0, 1).map(repr)).map(":".join),
)
SPACE = GRAVITY.filter(lambda text: text != "sm")
OPTION = st.one_of(
    option("rs", st.sampled_from(["fit", "fill", "fill-down", "force", "auto"]), SIDE, SIDE, BOOL),
    option("w", SIDE), option("h", SIDE), option("mw", SIDE), option("mh", SIDE), option("el", BOOL),
    option("z", FACTOR, FACTOR), option("dpr", FACTOR), option("g", GRAVITY), option("ex", BOOL, SPACE),
    option("exar", BOOL, SPACE), option("c", st.floats(0, 900).map(repr), st.floats(0, 2).map(repr), GRAVITY),
    option("c", SIDE), option("car", FACTOR, BOOL), option("t", SIGMA, COLOR, BOOL, BOOL), option("t", st.just("")),
    option("pd", SIDE, SIDE, SIDE, SIDE), option("ar", BOOL), option("rot", st.sampled_from(["90", "-90", "180", "0"])),
    option("fl", BOOL, BOOL), option("bg", COLOR), option("bg", st.just("")), option("bl", SIGMA), option("sh", SIGMA),
    option("pix", SIDE), option("wm", st.floats(0, 1).map(repr), st.sampled_from([*PLACES, "re"]),
    NUMBER, NUMBER, FACTOR),
    option("wmu", st.sampled_from(["aHR0cDovL2EvYg", ""])), option("sm", BOOL), option("kcr", BOOL),
    option("scp", BOOL),
    option("q", st.integers(0, 100).map(str)), option("fq", FORMAT, st.integers(0, 100).map(str)), option("f", FORMAT),
    option("mb", SIDE), option("skp", FORMAT), option("jpgo", BOOL, BOOL),
    option("webpo", st.sampled_from(["lossy", "near_lossless", "lossless"])),
    option("pngo", BOOL, BOOL, st.integers(2, 256).map(str)), option("pg", SIDE), option("da", BOOL),
    option("msr", st.floats(0, 2000).map(repr)), option("mafr", FACTOR), option("maf", st.integers(1, 99).map(str)),
    option("mrd", SIDE), option("msfs", SIDE), option("ra", st.sampled_from(["nearest", "linear", "cubic"])),
    option("br", st.integers(-255, 255).map(str)), option("co", FACTOR), option("sa", FACTOR),
    option("pr", st.just("small")),
    option("raw", BOOL), option("fn", TEXT.map(lambda text: text.encode().hex())), option("att", BOOL),
    option("exp", st.integers(0, 2**62).map(str)),
)  # fmt: skip
WISHES = st.builds(
    Negotiable,
    st.sampled_from([frozenset[Format](), frozenset[Format]({"avif", "webp"})]),
    st.sampled_from([None, 2.0]),
)


@given(st.lists(OPTION, max_size=8), TEXT, WISHES)
def test_what_is_generated_is_parsed_to_the_same(options: list[str], source: str, wishes: Negotiable) -> None:
    first = "/".join(("/unsafe", *options, "plain", source.encode().hex()))
    asked = OPEN.parse(first, wishes, 0.0)
    asked = msgspec.structs.replace(asked, source=source, is_signed=True)
    path = DIALECT.generate(asked, wishes)
    assert DIALECT.parse(path, wishes, 0.0) == asked
    assert DIALECT.generate(DIALECT.parse(path, wishes, 0.0), wishes) == path


@given(st.lists(OPTION, max_size=8), WISHES)
def test_a_worker_gets_the_same_parameters(options: list[str], wishes: Negotiable) -> None:
    asked = OPEN.parse("/".join(("/unsafe", *options, "plain", "a")), wishes, 0.0)
    wish = OfImgproxy(asked.parameters)
    packed = msgspec.msgpack.encode(wish)
    assert msgspec.msgpack.decode(packed, type=OfImgproxy) == wish
    assert wishes_of(asked.parameters) is None or b"http" not in packed  # a URL may hold a password


def test_a_worker_gets_no_url_of_a_watermark() -> None:
    mark = urlsafe_b64encode(b"https://name:secret@host.test/mark.png").decode()
    for options in (f"wmu:{mark}/wm:0.5", f"wmu:{mark}"):
        assert wishes_of(OPEN.parse(f"/_/{options}/plain/a", Negotiable(), 0.0).parameters) is None


def test_a_rendering_is_planned_once_for_equal_wishes_and_sizes() -> None:
    dialect, limits = Imgproxy(Config(), allow_unsigned=True), Limits()
    wish = OfImgproxy(dialect.parse("/_/rs:fill:60:40/plain/a.jpg", Negotiable(), 0.0).parameters)
    other = OfImgproxy(dialect.parse("/_/rs:fill:60:50/plain/a.jpg", Negotiable(), 0.0).parameters)
    unpacked = msgspec.msgpack.decode(msgspec.msgpack.encode(wish), type=OfImgproxy)
    wide, upright = ImageInfo("jpeg", 400, 300), ImageInfo("jpeg", 400, 300, orientation=6)
    good, quick = Defaults({"jpeg": 95}), Defaults({"jpeg": 95}, "speed")
    assert rendering_of(unpacked, wide, limits, NO_DEFAULTS) is rendering_of(wish, wide, limits, NO_DEFAULTS)
    for info in (wide, upright, ImageInfo("png", 400, 300, has_alpha=True), ImageInfo("jpeg", 300, 400)):
        for one, defaults in itertools.product((wish, other, wish), (NO_DEFAULTS, good, quick)):
            recipe = one.recipe_for(info)
            assert recipe is not None
            assert rendering_of(one, info, limits, defaults) == resolve(recipe, info, limits, defaults)
    with pytest.raises(RequestInvalid):
        rendering_of(wish, wide, Limits(output_side_px=50), NO_DEFAULTS)


@given(TEXT, st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20))
def test_names_and_sources_may_be_any_text(source: str, filename: str) -> None:
    picture = OPEN.parse("/_/w:1/plain/a", Negotiable(), 0.0).parameters
    asked: Asked[Parameters] = Asked(source, picture, Answer(filename=filename, expires_at_s=9), is_signed=True)
    assert DIALECT.parse(DIALECT.generate(asked), Negotiable(), 5.0) == asked


@given(st.text(st.characters(min_codepoint=1, max_codepoint=0x2FF), max_size=60), st.lists(OPTION, max_size=3))
def test_any_path_is_read_or_refused(rest: str, options: list[str]) -> None:
    for path in (f"/_/{rest}", "/".join(("/_", *options, rest)), rest):
        status = 200
        try:
            OPEN.parse(path, Negotiable(), 0.0)
        except ImgproxyRefused as error:
            status = error.status
        assert status in (200, 403, 404)


def random_picture(rng: random.Random) -> Parameters:
    def side(most: int = 3000) -> int:
        return rng.choice([0, 0, rng.randint(1, 60), rng.randint(1, most)])

    def gravity() -> str:
        place = rng.choice([*PLACES, "fp"])
        if place == "fp":
            return f"fp:{rng.random()}:{rng.random()}"
        return f"{place}:{rng.choice([0, rng.uniform(-1, 1), rng.uniform(-90, 90)])}:{rng.choice([0, 0.25, 7])}"

    kinds = ["fit", "fill", "fill-down", "force", "auto"]
    options = [f"rs:{rng.choice(kinds)}:{side()}:{side()}:{rng.randint(0, 1)}:{rng.randint(0, 1)}:{gravity()}"]
    options += [f"mw:{side(500)}", f"mh:{side(500)}"] if rng.random() < 0.2 else []
    options += [f"exar:1:{gravity()}"] if rng.random() < 0.3 else []
    options += [f"z:{rng.uniform(0.1, 3)}:{rng.uniform(0.1, 3)}"] if rng.random() < 0.3 else []
    options += [f"dpr:{rng.choice([0.5, 2, 3, rng.uniform(0.1, 4)])}"] if rng.random() < 0.5 else []
    options += [f"c:{rng.choice([side(), rng.random()])}:{side()}:{gravity()}"] if rng.random() < 0.4 else []
    options += [f"g:{gravity()}"] if rng.random() < 0.5 else []
    options += [f"pd:{side(30)}:{side(30)}"] if rng.random() < 0.3 else []
    options += [f"rot:{rng.choice([90, 180, 270])}"] if rng.random() < 0.3 else []
    options += [f"fl:{rng.randint(0, 1)}:{rng.randint(0, 1)}"] if rng.random() < 0.3 else []
    options += [f"mrd:{rng.randint(1, 2000)}"] if rng.random() < 0.2 else []
    options += ["bg:fff"] if rng.random() < 0.2 else []
    mark = f"wm:1:{rng.choice(PLACES)}:{rng.randint(-9, 9)}:{rng.randint(-9, 9)}"
    options.append(f"f:{rng.choice(['jpg', 'png', 'webp'])}/sh:0/{rng.choice([mark, 'wm:0'])}")
    return OPEN.parse("/".join(("/_", *options, "plain/a")), Negotiable(), 0.0).parameters


def random_info(rng: random.Random) -> ImageInfo:
    source_format: SourceFormat = rng.choice(["jpeg", "png", "svg"])
    most = rng.choice([40, 4000])
    width, height = rng.randint(1, most), rng.randint(1, most)
    orientation = rng.randint(1, 8) if source_format == "jpeg" else 1
    return ImageInfo(source_format, width, height, orientation=orientation, has_alpha=source_format == "png")


def test_recipes_are_valid_and_of_the_size_that_is_computed() -> None:
    rng = random.Random(14)
    planned_pictures = 0
    for _ in range(PAIRS):
        picture, info = random_picture(rng), random_info(rng)
        try:
            planned = DIALECT.plan(picture, info)
        except PictureRefused:
            continue
        planned_pictures += 1
        view = stage.of(picture, info, is_upright=True)
        numbers = sizes.of(picture, view.whole, is_drawing=view.is_drawing)
        folded = steps_of(planned.recipe.operations, info)
        last = folded[-1].size if folded else None
        expected = steps.canvas(picture, numbers).sides
        found = tuple(expected) if last is None else (last.width_px, last.height_px)
        assert found == tuple(expected), (picture, info)
        check_operations(planned.recipe.operations)
        assert msgspec.json.decode(msgspec.json.encode(planned.recipe), type=Recipe) == planned.recipe
        for step in folded:
            if isinstance(step.operation, Crop | Resize):
                assert not isinstance(step.operation, Crop) or step.operation.part(step.before.size).size == step.size
                assert step.before.is_drawing or step.size != step.before.size
    assert planned_pictures > PAIRS * 0.9


def test_a_picture_grows_only_if_asked() -> None:
    rng = random.Random(15)
    for _ in range(PAIRS):
        fields: dict[str, Any] = {"min_width": 0, "min_height": 0, "enlarge": False}
        picture, info = msgspec.structs.replace(random_picture(rng), **fields), random_info(rng)
        view = stage.of(picture, info, is_upright=True)
        numbers = sizes.of(picture, view.whole, is_drawing=False)
        assert numbers.scaled.width <= numbers.cropped.width
        assert numbers.scaled.height <= numbers.cropped.height


@given(st.floats(-1e9, 1e9))
def test_rounding_is_half_away_from_zero(value: float) -> None:
    result = rounded(value)
    assert abs(result - value) <= 0.5
    assert rounded(-value) == -result


@pytest.mark.parametrize(
    ("value", "expected"), [(0.5, 1), (1.5, 2), (2.5, 3), (-0.5, -1), (-2.5, -3), (0.49999999999999994, 0), (0.0, 0)]
)
def test_ties(value: float, expected: int) -> None:
    assert rounded(value) == expected


Rows = list[list[int]]


def turned(rows: Rows, angle: int, flop: bool, flip: bool = False) -> Rows:
    for _ in range(angle // 90):
        rows = [list(column) for column in zip(*rows[::-1], strict=True)]
    rows = [row[::-1] for row in rows] if flop else rows
    return rows[::-1] if flip else rows


PICTURE: Rows = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]
ANGLES, SIDES_MIRRORED = (0, 90, 180, 270), (False, True)


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("flop", SIDES_MIRRORED)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_follow_each_other(angle: int, flop: bool, orientation: int) -> None:
    exif = of_exif(orientation)
    for flip in SIDES_MIRRORED:
        result = exif.then(of_options(angle, flop=flop, flip=flip))
        expected = turned(turned(PICTURE, exif.angle, exif.flop), angle, flop, flip)
        assert turned(PICTURE, result.angle, result.flop) == expected


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("flop", SIDES_MIRRORED)
def test_a_part_stays_the_same_part(angle: int, flop: bool) -> None:
    def part(rows: Rows, box: Box) -> Rows:
        return [row[box.left : box.left + box.width] for row in rows[box.top : box.top + box.height]]

    turn, whole = Turn(angle, flop), sizes.Sides(4, 3)
    for box in (Box(0, 0, 2, 1), Box(1, 1, 3, 2), Box(2, 0, 1, 3)):
        behind = turned(PICTURE, angle, flop)
        assert part(behind, turn.box(box, whole)) == turned(part(PICTURE, box), angle, flop)


@given(st.sampled_from([-1, 0, 1]), st.floats(-50, 50), st.integers(1, 400), st.integers(0, 399))
def test_a_place_in_the_mirror_is_the_mirrored_place(anchor: int, offset: float, outer: int, less: int) -> None:
    inner = max(1, outer - less)
    axis = Axis(anchor, offset)
    there = outer - inner - axis.reversed().begin(outer, inner, 1.0)
    # In the middle ties are rounded to even numbers, whichever way one looks.
    assert abs(there - axis.begin(outer, inner, 1.0)) <= (0 if anchor else 2)


def carried_out(rows: Rows, recipe: Recipe) -> Rows:
    """Operations that move pixels and change none."""
    for operation in recipe.operations:
        match operation:
            case Crop(left=int(left), top=int(top), width=int(width), height=int(height)):
                rows = [row[left : left + width] for row in rows[top : top + height]]
            case Rotate(angle=angle):
                rows = turned(rows, int(angle), flop=False)
            case Flop():
                rows = turned(rows, 0, flop=True)
            case Flip():
                rows = turned(rows, 0, flop=False, flip=True)
            case _:
                pytest.fail(f"{operation} changes pixels")
    return rows


@pytest.mark.parametrize("is_trimmed", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("angle", ANGLES)
def test_a_crop_is_meant_behind_all_turns(angle: int, orientation: int, is_trimmed: bool) -> None:
    """From a corner, where no rounding is in the way."""
    stored = [[10 * row + column for column in range(9)] for row in range(6)]
    exif = of_exif(orientation)
    upright = turned(stored, exif.angle, exif.flop)
    info = ImageInfo("png", len(upright[0]), len(upright), orientation=orientation)
    for flop, flip, place in itertools.product(SIDES_MIRRORED, SIDES_MIRRORED, ("nowe", "noea", "sowe", "soea")):
        path = f"/_/wm:0/sh:0/rot:{angle}/fl:{flop:d}:{flip:d}/c:3:2:{place}:2:1/t:{'1' * is_trimmed}/plain/a"
        picture = OPEN.parse(path, Negotiable(), 0.0).parameters
        if is_trimmed:
            found = carried_out(stored, DIALECT.trimmed(picture, info, Part(0, 0, Size(9, 6))).recipe)
        else:
            found = carried_out(upright, DIALECT.plan(picture, info).recipe)
        whole = turned(upright, angle, flop, flip)
        left = 2 if place.endswith("we") else len(whole[0]) - 3 - 2
        top = 1 if place.startswith("no") else len(whole) - 2 - 1
        assert found == [row[left : left + 3] for row in whole[top : top + 2]]


def test_composites_are_the_last_step() -> None:
    picture = OPEN.parse("/_/w:10/wm:1/plain/a", Negotiable(), 0.0).parameters
    assert isinstance(DIALECT.plan(picture, ImageInfo("jpeg", 90, 90)).recipe.operations[-1], Composite)
