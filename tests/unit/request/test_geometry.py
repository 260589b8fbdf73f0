"""Final sizes against hand-made figures."""

from typing import Literal

import pytest

from imgserve.request.classic.spelling import number_of
from imgserve.request.encode import Encode
from imgserve.request.faults import RequestInvalid
from imgserve.request.geometry import NotSvg, SourceTooSmall
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Operation, Recipe
from imgserve.request.rendering import resolve, steps_of

LIMITS = Limits()


def final_size(operation: Operation, info: ImageInfo, limits: Limits) -> Size:
    return size_of((operation,), info, limits)


def size_of(operations: tuple[Operation, ...], info: ImageInfo, limits: Limits = LIMITS) -> Size:
    size = resolve(Recipe(operations, Encode("png")), info, limits).size
    assert size is not None
    return size


@pytest.mark.parametrize(
    ("operation", "info", "expected"),
    [
        (Resize(width=200, height=120), ImageInfo("png", 640, 480), (200, 120)),
        (Resize(width=640, height=480), ImageInfo("png", 640, 480), (640, 480)),
        (Resize(width=320), ImageInfo("png", 640, 480), (320, 240)),
        (Resize(height=240), ImageInfo("png", 640, 480), (320, 240)),
        (Resize(width=1), ImageInfo("png", 1000, 10), (1, 1)),
        (Resize(width=10), ImageInfo("jpeg", 100, 25), (10, 3)),
        (Resize(width=10), ImageInfo("jpeg", 100, 24), (10, 2)),
        (Resize(height=10), ImageInfo("jpeg", 33, 100), (3, 10)),
        (Resize(width=800, height=600, if_small="enlarge"), ImageInfo("png", 10, 10), (800, 600)),
        (Resize(width=20, if_small="enlarge"), ImageInfo("png", 10, 5), (20, 10)),
        (Resize(width=90), ImageInfo("svg", 30.0, 20.0), (90, 60)),
        (Rasterize(width=90, height=10), ImageInfo("svg", 30.0, 20.0), (90, 10)),
        (Rasterize(width=61), ImageInfo("svg", 30.5, 20.25), (61, 41)),
        (Rasterize(height=16384), ImageInfo("svg", 1, 10_000), (2, 16384)),
    ],
)
def test_sizes(operation: Operation, info: ImageInfo, expected: tuple[int, int]) -> None:
    assert final_size(operation, info, LIMITS) == Size(*expected)


@pytest.mark.parametrize(
    ("operation", "is_small"),
    [
        (Resize(width=101, height=50, if_small="refuse"), True),
        (Resize(width=50, height=81, if_small="refuse"), True),
        (Resize(width=100, height=80, if_small="refuse"), False),
        (Resize(width=101, if_small="refuse"), True),
        (Resize(width=100, if_small="refuse"), False),
        (Resize(height=81, if_small="refuse"), True),
        (Resize(height=80, if_small="refuse"), False),
        (Resize(width=101, height=81, if_small="enlarge"), False),
    ],
)
def test_203_when_narrower_or_lower(operation: Resize, is_small: bool) -> None:
    info = ImageInfo("jpeg", 100, 80)
    if is_small:
        with pytest.raises(SourceTooSmall) as caught:
            final_size(operation, info, LIMITS)
        assert number_of(caught.value) == 203
        assert "100 x 80 px" in caught.value.detail
    else:
        assert final_size(operation, info, LIMITS)


def test_204_when_rasterize_meets_a_raster() -> None:
    with pytest.raises(NotSvg) as caught:
        final_size(Rasterize(width=1), ImageInfo("webp", 100, 80), LIMITS)
    assert number_of(caught.value) == 204


@pytest.mark.parametrize(
    ("operation", "limits"),
    [
        (Resize(width=100, height=101), Limits(output_pixels=10_000)),
        (Resize(width=101, height=10), Limits(output_side_px=100)),
        (Resize(width=200), Limits(output_side_px=399)),
    ],
)
def test_107_when_the_result_is_too_large(operation: Resize, limits: Limits) -> None:
    info = ImageInfo("png", 1000, 2000)
    assert final_size(operation, info, Limits())
    with pytest.raises(RequestInvalid) as caught:
        final_size(operation, info, limits)
    assert number_of(caught.value) == 107


def test_106_without_a_side() -> None:
    with pytest.raises(RequestInvalid) as caught:
        final_size(Resize(), ImageInfo("png", 1, 1), LIMITS)
    assert number_of(caught.value) == 106


def test_a_source_without_size_needs_both_sides() -> None:
    with pytest.raises(SourceTooSmall):
        final_size(Rasterize(width=5), ImageInfo("svg", 0, 0), LIMITS)
    assert final_size(Rasterize(width=5, height=6), ImageInfo("svg", 0, 0), LIMITS) == Size(5, 6)


@pytest.mark.parametrize(
    ("operations", "info", "expected"),
    [
        ((Resize(width=200, height=120), Resize(width=50)), ImageInfo("png", 640, 480), [(200, 120), (50, 30)]),
        ((Resize(width=100), Resize(height=30)), ImageInfo("png", 640, 480), [(100, 75), (40, 30)]),
        ((Resize(width=3), Resize(width=300, if_small="enlarge")), ImageInfo("png", 640, 480), [(3, 2), (300, 200)]),
        ((Rasterize(width=61), Resize(height=20)), ImageInfo("svg", 30.5, 20.25), [(61, 41), (30, 20)]),
        ((Resize(width=90), Resize(width=45)), ImageInfo("svg", 30, 20), [(90, 60), (45, 30)]),
    ],
)
def test_a_recipe_is_the_fold_of_its_operations(
    operations: tuple[Operation, ...], info: ImageInfo, expected: list[tuple[int, int]]
) -> None:
    """Each side that is not given follows the picture as it is there, not the source."""
    sizes = [step.size for step in steps_of(operations, info)]
    assert sizes == [Size(*size) for size in expected]
    assert size_of(operations, info) == sizes[-1]


def test_the_promised_size_stays_whatever_the_source_has_become() -> None:
    operations = (Resize(width=100, if_small="enlarge"), Resize(width=50))
    steps = steps_of(operations, ImageInfo("png", 10, 30), Size(50, 40))
    assert [step.size for step in steps] == [Size(100, 300), Size(50, 40)]


@pytest.mark.parametrize("source", ["png", "svg"])
def test_a_later_resize_may_not_enlarge_what_an_earlier_one_made(source: Literal["png", "svg"]) -> None:
    info = ImageInfo(source, 640, 480)
    with pytest.raises(SourceTooSmall, match="the operation before leaves is 100 x 75 px"):
        size_of((Resize(width=100), Resize(width=101, if_small="refuse")), info)
    assert size_of((Resize(width=100), Resize(width=101, if_small="enlarge")), info) == Size(101, 76)


def test_a_later_rasterize_has_no_svg_left() -> None:
    with pytest.raises(NotSvg, match="drawn already"):
        size_of((Resize(width=100), Rasterize(width=50)), ImageInfo("svg", 640, 480))


def test_limits_hold_for_every_picture_on_the_way() -> None:
    operations = (Resize(width=300, height=300, if_small="enlarge"), Resize(width=10))
    assert size_of(operations, ImageInfo("gif", 100, 100)) == Size(10, 10)
    for limits in (Limits(output_pixels=89_999), Limits(output_side_px=299)):
        with pytest.raises(RequestInvalid) as caught:
            size_of(operations, ImageInfo("gif", 100, 100), limits)
        assert [fault.path for fault in caught.value.faults] == [("operations", 0)]


def test_the_frames_of_every_picture_on_the_way_count_together() -> None:
    recipe = Recipe((Resize(width=100, if_small="enlarge"), Resize(width=10)), Encode("gif"))
    film = ImageInfo("gif", 50, 50, 5)
    assert resolve(recipe, film, Limits(output_pixels=50_000)).size == Size(10, 10)
    with pytest.raises(RequestInvalid, match="5 frames of 100 x 100 px") as caught:
        resolve(recipe, film, Limits(output_pixels=49_999))
    assert [fault.path for fault in caught.value.faults] == [("operations", 0)]


def test_a_picture_that_does_not_grow_may_be_as_large_as_sources_may() -> None:
    recipe = Recipe((Resize(width=100), Resize(width=10)), Encode("png"))
    info = ImageInfo("png", 100, 100)
    assert resolve(recipe, info, Limits(output_pixels=100)).size == Size(10, 10)
    with pytest.raises(RequestInvalid, match="10 x 10 px, expected at most 99"):
        resolve(recipe, info, Limits(output_pixels=99))
