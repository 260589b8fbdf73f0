"""A wish and a header make a rendering, the same whether it was made before or not."""

from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imgserve.request.encode import NO_DEFAULTS, Defaults, Encode
from imgserve.request.faults import RequestInvalid
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.limits import Limits
from imgserve.request.native import parse_recipe
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering, resolve
from imgserve.request.wish import Given, is_settled, rendering_of
from tests.unit.request.recipes import objects, recipes

LIMITS = Limits()
INFOS = st.sampled_from([
    ImageInfo("jpeg", 400, 300), ImageInfo("jpeg", 400, 300, orientation=6), ImageInfo("png", 30, 40, has_alpha=True),
    ImageInfo("gif", 64, 64, frames=9), ImageInfo("svg", 24.5, 24.0),
])  # fmt: skip
RESIZES = objects(Resize).map(lambda fields: {"operation": "resize", **fields})
steady = settings(derandomize=True, deadline=None, max_examples=200, database=None)


def resolved(recipe: Recipe, info: ImageInfo, defaults: Defaults) -> Rendering | str:
    try:
        return resolve(recipe, info, LIMITS, defaults)
    except RequestInvalid as error:
        return str(error)


def wished(recipe: Recipe, info: ImageInfo, defaults: Defaults) -> Rendering | str | None:
    try:
        return rendering_of(Given(recipe), info, LIMITS, defaults)
    except RequestInvalid as error:
        return str(error)


@steady
@given(recipes(), st.lists(RESIZES, max_size=3), st.booleans(), INFOS)
def test_it_is_what_the_recipe_resolves_to(
    fields: dict[str, Any], resizes: list[dict[str, object]], is_plain: bool, info: ImageInfo
) -> None:
    try:
        recipe = parse_recipe({**fields, "operations": resizes} if is_plain else fields, {})
    except RequestInvalid:
        assume(False)
    for defaults in (NO_DEFAULTS, Defaults({"jpeg": 95, "webp": 90}, "speed"), NO_DEFAULTS):
        expected = resolved(recipe, info, defaults) if is_settled(recipe) else None
        assert wished(recipe, info, defaults) == expected


def test_equal_ones_are_resolved_once() -> None:
    recipe, info = Recipe((Resize(width=20),), Encode(format="png")), ImageInfo("jpeg", 400, 300)
    unpacked = msgspec.msgpack.decode(msgspec.msgpack.encode(recipe), type=Recipe)
    first = rendering_of(Given(recipe), info, LIMITS, NO_DEFAULTS)
    assert rendering_of(Given(unpacked), info, LIMITS, NO_DEFAULTS) is first
    with pytest.raises(RequestInvalid):
        rendering_of(Given(recipe), info, Limits(output_side_px=10), NO_DEFAULTS)
