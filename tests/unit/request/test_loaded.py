"""The header of what a recipe's load options take of a source, and the size that follows."""

import pytest

from imgserve.request.encode import Encode
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.operations.crop import Crop
from imgserve.request.recipe import Frames, LoadOptions, Recipe
from imgserve.request.rendering import loaded, resolve

AS_STORED = LoadOptions(orient=False)


@pytest.mark.parametrize(
    ("orientation", "sides"), [(1, (60, 90)), (2, (60, 90)), (4, (60, 90)), (5, (90, 60)), (6, (90, 60)), (8, (90, 60))]
)
def test_the_stored_sides_count_where_the_picture_is_not_turned(orientation: int, sides: tuple[int, int]) -> None:
    info = ImageInfo("jpeg", 60, 90, orientation=orientation)
    assert loaded(info, AS_STORED) == ImageInfo("jpeg", *sides)
    assert loaded(loaded(info, AS_STORED), AS_STORED) == loaded(info, AS_STORED)
    assert loaded(info, LoadOptions()) == info
    assert resolve(Recipe((), load=AS_STORED), info, Limits()).size == Size(*sides)


def test_a_crop_of_the_stored_picture() -> None:
    recipe = Recipe((Crop(left=70, top=0, width=20, height=60),), load=AS_STORED)
    assert resolve(recipe, ImageInfo("jpeg", 60, 90, orientation=6), Limits()).size == Size(20, 60)


@pytest.mark.parametrize(("frames", "taken"), [("auto", 100), ("first", 1), (7, 7), (200, 100)])
def test_frames(frames: Frames, taken: int) -> None:
    info = ImageInfo("webp", 60, 90, frames=100)
    assert loaded(info, LoadOptions(frames=frames)).frames == taken


def test_only_the_frames_that_are_taken_count_for_the_limit() -> None:
    recipe = Recipe((), Encode("webp"), LoadOptions(frames="first"))
    assert resolve(recipe, ImageInfo("webp", 1_000, 1_000, frames=100), Limits()).size == Size(1_000, 1_000)
