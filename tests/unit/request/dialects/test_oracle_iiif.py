"""IIIF's dialect against an oracle that was written apart from it: equal regions and sizes for any request."""

import math
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imgserve.request.dialects.dialect import Negotiable, Planned, UrlRefused
from imgserve.request.dialects.iiif.config import Config
from imgserve.request.dialects.iiif.dialect import Iiif
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.limits import MAX_SIDE_PX
from imgserve.request.limits import Limits as ServerLimits
from tests.support.oracles import iiif as oracle
from tests.support.oracles.iiif import Limits, Sides
from tests.support.oracles.trace import Change, traced
from tests.support.sizes import sized
from tests.unit.request.test_properties import steady

# Of URLs, each for eight pictures: 50,000 results of each property.
EXAMPLES = sized(50, 6_250)
OPEN = ServerLimits(output_pixels=MAX_SIDE_PX**2)

ODD = [1, 2, 3, 5, 7, 11, 13, 31, 97, 101, 997, 16_383, 16_384, 16_385, 65_533, 65_534, 65_535]
SIDE = st.one_of(st.integers(1, 40), st.sampled_from(ODD), st.integers(1, 5000))
EDGE = st.one_of(st.just(0), SIDE)
PICTURES = st.lists(st.builds(Sides, SIDE, SIDE), min_size=8, max_size=8)
LIMITS = st.builds(Limits, st.integers(1, MAX_SIDE_PX), st.integers(1, MAX_SIDE_PX), st.integers(1, 4_000_000))
PERCENT = st.one_of(st.integers(0, 120), st.sampled_from(["0.5", "12.5", "33.3", "99.99", "41.6667", "0.001"]))
DECIMAL = st.one_of(PERCENT, st.decimals(0, 120, places=3)).map(lambda number: f"{number:f}" if number else "0")


def numbers(*strategies: st.SearchStrategy[object]) -> st.SearchStrategy[str]:
    return st.tuples(*strategies).map(lambda values: ",".join(map(str, values)))


REGION = st.one_of(
    st.sampled_from(["full", "square"]),
    numbers(EDGE, EDGE, SIDE, SIDE),
    numbers(*[PERCENT.map(str)] * 4).map("pct:{}".format),
)
SIZE = st.one_of(
    st.just("max"),
    SIDE.map("{},".format),
    SIDE.map(",{}".format),
    numbers(SIDE, SIDE),
    numbers(SIDE, SIDE).map("!{}".format),
    PERCENT.map("pct:{}".format),
)
SIZE_3 = st.builds(lambda mark, size: mark + size, st.sampled_from(["", "^"]), SIZE)
SIZE_2 = st.one_of(st.just("full"), SIZE)
ANGLE = st.one_of(st.sampled_from(["0", "90", "180", "270", "360", "45", "22.5"]), st.integers(0, 360).map(str))
ROTATION = st.builds(lambda mark, angle: mark + angle, st.sampled_from(["", "!"]), ANGLE)


def planned_or_status(dialect: Iiif, path: str, info: ImageInfo) -> Planned | int:
    try:
        return dialect.plan(dialect.parse(path, Negotiable(), 0.0).parameters, info)
    except UrlRefused as error:
        return error.status


def check(region: str, size: str, rotation: str, pictures: list[Sides], limits: Limits, **kind: bool | int) -> None:
    version: Literal[2, 3] = 2 if kind.get("version") == 2 else 3
    enlarges = kind.get("enlarges", True) is True
    config = Config(
        max_width=limits.max_width,
        max_height=limits.max_height,
        max_area=limits.max_area,
        upscaling=enlarges,
        extra_formats=(),  # WebP has a limit of its own
    )
    dialect = Iiif(config, allow_unsigned=True, version=version, limits=OPEN)
    path = f"/id/{region}/{size}/{rotation}/default.png"
    for picture in pictures:
        info = ImageInfo("jpeg", *picture)
        expected = oracle.result(region, size, rotation, picture, limits, version=version, enlarges=enlarges)
        case = (path, picture, limits, kind, expected)
        planned = planned_or_status(dialect, path, info)
        if isinstance(planned, int):
            assert planned == 400, case
            assert expected is None, case
            continue
        assert expected is not None, case
        assert oracle.is_allowed(expected.size, limits), case
        found = traced(planned.recipe, info)
        assert [one for one in found.changes if one.name != "turn"] == _changes(expected, picture), case
        assert found.largest <= MAX_SIDE_PX, case
        spread = [side - exact for side, exact in zip(found.size, expected.spread, strict=True)]
        is_quarter = float(rotation.removeprefix("!")) % 90 == 0
        assert max(map(abs, spread)) <= (1e-6 if is_quarter else 0.5 + 1e-6), case


def _changes(expected: oracle.Result, picture: Sides) -> list[Change]:
    changes = []
    sides = Sides(expected.region.width, expected.region.height)
    if sides != picture:
        changes.append(Change("crop", expected.region))
    if expected.size != sides:
        changes.append(Change("resize", expected.size))
    return changes


@settings(steady, max_examples=EXAMPLES)
@given(REGION, SIZE_3, ROTATION, PICTURES, LIMITS)
# Thin ones, of which a side that is rounded passes the area, or the width that another limit has met before.
@example("full", "max", "0", [Sides(6, 1153)], Limits(3, 574, 1721))
@example("full", "max", "0", [Sides(6, 957)], Limits(2, 438, 1263))
def test_version_3(region: str, size: str, rotation: str, pictures: list[Sides], limits: Limits) -> None:
    check(region, size, rotation, pictures, limits)


@settings(steady, max_examples=EXAMPLES)
@given(REGION, SIZE_3, PICTURES)
def test_version_3_with_far_limits(region: str, size: str, pictures: list[Sides]) -> None:
    check(region, size, "0", pictures, Limits(MAX_SIDE_PX, MAX_SIDE_PX, MAX_SIDE_PX**2))


@settings(steady, max_examples=EXAMPLES)
@given(REGION, SIZE_2, ROTATION, PICTURES, LIMITS, st.booleans())
def test_version_2(
    region: str, size: str, rotation: str, pictures: list[Sides], limits: Limits, enlarges: bool
) -> None:
    check(region, size, rotation, pictures, limits, version=2, enlarges=enlarges)


TILED = [(1, 1), (513, 1), (1, 1025), (512, 512), (1024, 1025), (997, 1531), (7001, 3001), (16_384, 9), (3, 16_383)]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("sides", TILED)
def test_tiles_at_all_scale_factors(sides: tuple[int, int], version: Literal[2, 3]) -> None:
    """The tiles in the corners and the middle, as a viewer asks for them: ``w,h`` of 3.0, ``w,`` of 2.1."""
    dialect = Iiif(Config(), allow_unsigned=True, version=version, limits=OPEN)
    info, scale = ImageInfo("jpeg", *sides), 1
    while scale == 1 or max(sides) > 512 * scale // 2:
        across, down = (math.ceil(side / (512 * scale)) for side in sides)
        for column in {0, across // 2, across - 1}:
            for row in {0, down // 2, down - 1}:
                left, top = column * 512 * scale, row * 512 * scale
                width, height = min(512 * scale, sides[0] - left), min(512 * scale, sides[1] - top)
                tile = math.ceil(width / scale), math.ceil(height / scale)
                size = f"{tile[0]},{tile[1]}" if version == 3 else f"{tile[0]},"
                path = f"/id/{left},{top},{width},{height}/{size}/0/default.jpg"
                found = traced(dialect.plan(dialect.parse(path, Negotiable(), 0.0).parameters, info).recipe, info)
                by_ratio = max(1, math.floor(tile[0] * height / width + 0.5))
                assert found.size == (tile if version == 3 else (tile[0], by_ratio)), path
        scale *= 2
