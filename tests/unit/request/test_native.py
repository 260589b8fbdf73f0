"""Recipes as JSON: every operation's fields there and back, presets, and each fault with its path."""

import contextlib
import json

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from imgserve.request.encode import Encode
from imgserve.request.faults import RequestInvalid
from imgserve.request.json_text import read_object
from imgserve.request.native import OPERATIONS, dump_recipe, parse_recipe
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import LoadOptions, Recipe
from tests.support.sizes import sized
from tests.unit.request.recipes import recipes
from tests.unit.request.test_properties import steady, values

RESIZE = {"operation": "resize", "width": 3}
CARD = Recipe((Resize(60, 40),), Encode("webp", 70, "#000000"), LoadOptions(strict=False))


def faults_of(value: object, presets: dict[str, Recipe] | None = None) -> str:
    with pytest.raises(RequestInvalid) as caught:
        parse_recipe(value, presets or {})
    return caught.value.detail


@settings(steady, max_examples=sized(300, 2000))
@given(recipes())
def test_a_recipe_survives_json(value: dict[str, object]) -> None:
    try:
        recipe = parse_recipe(value)
    except RequestInvalid:
        # Each value is good, so a rule between fields is broken.
        event("refused")
        return
    event("accepted")
    text = json.dumps(dump_recipe(recipe))
    assert parse_recipe(read_object(text.encode())) == recipe
    assert msgspec.json.decode(msgspec.json.encode(recipe), type=Recipe) == recipe


@settings(steady, max_examples=sized(300, 2000))
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["load", "operations", "encode", "preset", "x"], values)))
def test_any_value_is_a_recipe_or_refused(value: dict[str, object]) -> None:
    with contextlib.suppress(RequestInvalid):
        parse_recipe(value, {"card": CARD})


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_each_operation_is_read_by_its_name(name: str) -> None:
    text = faults_of({"operations": [{"operation": name, "unknown_field": 1}]})
    assert "operations[0].unknown_field: unknown" in text
    assert "operations[0].operation" not in text


def test_a_recipe_without_anything_is_the_picture_as_it_is() -> None:
    assert parse_recipe({}) == parse_recipe({"operations": [], "load": {}, "encode": {}}) == Recipe(())


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (3, "expected an object, got 3"),
        ([], "expected an object, got a list"),
        ({"operation": []}, 'operation: unknown, did you mean "operations"?'),
        ({"operations": {}}, "operations: expected a list of operations, got an object"),
        ({"operations": [3]}, "operations[0]: expected an object, got 3"),
        ({"operations": [{}]}, 'operations[0].operation: expected "'),
        ({"operations": [{"operation": "resise"}]}, 'got "resise", did you mean "resize"?'),
        ({"operations": [{"operation": None}]}, "operations[0].operation: expected"),
        ({"operations": [{"operation": ["resize"]}]}, "got a list"),
        ({"operations": [{"operation": "mask"}]}, 'got "mask", which is not available in this version yet'),
        (
            {"operations": [{"operation": "resize", "width": "abc"}]},
            'operations[0].width: expected an integer from 1 to 16384, got "abc"',
        ),
        ({"operations": [{"operation": "resize", "widht": 3}]}, 'operations[0].widht: unknown, did you mean "width"?'),
        ({"operations": [RESIZE] * 33}, "operations: expected at most 32 operations, got 33"),
        ({"operations": [RESIZE, {"operation": "rasterize"}]}, "operations[1]: rasterize draws the source itself"),
        ({"load": {"strict": 1}}, "load.strict: expected true or false, got 1"),
        ({"load": []}, "load: expected an object, got a list"),
        ({"load": {"strikt": False}}, 'load.strikt: unknown, did you mean "strict"?'),
        ({"encode": {"quality": 0}}, "encode.quality: expected an integer from 1 to 100, got 0"),
        ({"encode": {"format": "JPEG"}}, 'got "JPEG", did you mean "jpeg"?'),
        ({"preset": "card"}, 'preset: expected the name of a preset, got "card"; this server has none'),
        ({"preset": None}, "preset: expected the name of a preset, got null"),
    ],
)  # fmt: skip
def test_faults_have_their_paths(value: object, sentence: str) -> None:
    assert sentence in faults_of(value)


def test_all_faults_of_a_recipe_are_reported_at_once() -> None:
    value = {
        "load": {"strict": 1}, "encode": {"quality": 0, "background": "x"}, "preset": "crad", "x": 1,
        "operations": [{"operation": "resize", "width": 0, "gravity": 3}, {"operation": "x"}, 7],
    }  # fmt: skip
    with pytest.raises(RequestInvalid) as caught:
        parse_recipe(value, {"card": CARD})
    assert {fault.path for fault in caught.value.faults} == {
        ("load", "strict"), ("encode", "quality"), ("encode", "background"), ("preset",), ("x",), ("operations",),
        ("operations", 0, "width"), ("operations", 0, "gravity"), ("operations", 1, "operation"), ("operations", 2),
    }  # fmt: skip
    assert 'preset: expected the name of a preset, got "crad", did you mean "card"?' in caught.value.detail


def test_faults_of_urls_and_of_settings_beside_each_other_come_with_those_of_fields() -> None:
    drawn = [{"operation": "composite", "image": "ftp//h/x"}, {"operation": "composite", "image": {"url": "x://h/y"}}]
    text = faults_of({
        "operations": [{"operation": "flip", "x": 1}, *drawn], "encode": {"format": "jpeg", "quality": 0, "colors": 9},
    })  # fmt: skip
    for sentence in (
        "operations[0].x: unknown",
        "operations[1].image: expected a URL that begins with",
        "operations[2].image: ",
        "encode.quality: expected",
        "encode.colors: jpeg does not have it",
    ):
        assert sentence in text
    contradicted = faults_of({"preset": "card", "encode": {"format": "jpg", "colors": 9}}, {"card": CARD})
    assert contradicted.count("encode.") == 1, (
        "no field is judged by the format of the preset that a wrong one replaces"
    )


def test_fields_beside_each_other_are_judged_with_each_alone() -> None:
    composite = {"operation": "composite", "image": "gopher://h/x.png", "left": 1, "right": 1, "opacity": 9}
    focal = {**RESIZE, "height": 3, "focal": {"x": 0.5, "y": 1}, "gravity": "north", "kernel": "x"}
    crop = {"operation": "crop", "aspect": "1:1", "left": 1, "widht": 1}
    text = faults_of({"operations": [composite, focal, crop]})
    for sentence in (
        "operations[0].opacity: expected", "operations[0].left: contradicts operations[0].right",
        "operations[0].image: the protocol is unknown", "operations[1].kernel: expected",
        "operations[1].focal: contradicts operations[1].gravity", "operations[2].widht: unknown",
        "operations[2].aspect: contradicts operations[2].left",
    ):  # fmt: skip
        assert sentence in text


@pytest.mark.parametrize(
    "operation",
    [
        {"operation": "resize", "width": 0},
        {"operation": "resize", "widht": 1},
        {"operation": "redact", "regions": [], "mode": "colour", "color": "red"},
        {"operation": "resize", "width": 1, "height": 0, "gravity": "attention"},
        {"operation": "extend", "width": 0, "gravity": "north"},
        {"operation": "normalize", "lower": 99, "uper": 100},
        {"operation": "composite", "left": 1, "right": 1},
    ],
)
def test_fields_beside_one_at_fault_are_judged_once_it_is_mended(operation: dict[str, object]) -> None:
    with pytest.raises(RequestInvalid) as caught:
        parse_recipe({"operations": [operation]})
    at_fault = {"regions", "mode"} if operation["operation"] == "redact" else {caught.value.faults[0].path[2]}
    assert {fault.path[2] for fault in caught.value.faults} == at_fault


@pytest.mark.parametrize("gravity", ["center", "north"])
def test_a_focal_point_beside_any_gravity_is_one_fault(gravity: str) -> None:
    resize = {**RESIZE, "height": 3, "focal": {"x": 0.5, "y": 1}}
    assert parse_recipe({"operations": [resize]}).operations != (Resize(3, 3),)
    text = faults_of({"operations": [{**resize, "gravity": gravity}]})
    assert text == "operations[0].focal: contradicts operations[0].gravity; give one of the two"


def test_a_flood_of_operations_is_read_no_further_than_the_limit() -> None:
    with pytest.raises(RequestInvalid) as caught:
        parse_recipe({"operations": [{"operation": "x"}] * 5000})
    assert len(caught.value.faults) == 33


def test_a_list_full_of_faults_is_read_no_further_than_the_first_few() -> None:
    regions = [{"left": "x", "top": "x", "width": "x", "height": "x"}] * 100
    with pytest.raises(RequestInvalid) as caught:
        parse_recipe({"operations": [{"operation": "redact", "regions": regions}] * 32})
    paths = [fault.path for fault in caught.value.faults]
    assert len(paths) == 42
    assert paths[-2:] == [("operations", 0, "regions"), ("operations",)]
    assert caught.value.faults[-1].reason() == "the rest is not checked: mend these first"


def test_fields_beside_a_preset_replace_its_own_one_by_one() -> None:
    presets = {"card": CARD}
    assert parse_recipe({"preset": "card"}, presets) == CARD
    recipe = parse_recipe({"preset": "card", "encode": {"quality": 9}, "load": {"strict": True}}, presets)
    assert recipe == Recipe(CARD.operations, Encode("webp", 9, "#000000"))


def test_operations_beside_a_preset_are_a_fault() -> None:
    value = {"preset": "card", "operations": []}
    assert faults_of(value, {"card": CARD}) == "operations: expected preset or operations, not both"


def test_fields_of_others_stand_beside_it() -> None:
    assert parse_recipe({"source": 1, "operations": []}, beside=("source",)) == Recipe(())
    assert faults_of({"source": 1}) == "source: unknown"


def scaled(width: object, quality: object = 80) -> dict[str, object]:
    """A new object each time."""
    return {"operations": [{"operation": "resize", "width": width}], "encode": {"quality": quality}}


def test_a_recipe_that_comes_again_is_the_one_that_was_read() -> None:
    assert parse_recipe(scaled(321)) is parse_recipe({**scaled(321), "name": "x"}, beside=("name",))
    assert parse_recipe(scaled(321)) != parse_recipe(scaled(322))


@pytest.mark.parametrize("other", [True, "80", [80], {"a": 80}, float("inf"), float("nan")])
def test_a_value_that_looks_like_one_that_was_read_is_still_refused(other: object) -> None:
    parse_recipe(scaled(80))
    for value in (scaled(other), scaled(80, other)):
        with pytest.raises(RequestInvalid):
            parse_recipe(value)


def test_fields_of_others_are_refused_beside_a_recipe_that_was_read() -> None:
    parse_recipe({**scaled(80), "name": "x"}, beside=("name",))
    with pytest.raises(RequestInvalid, match="name"):
        parse_recipe({**scaled(80), "name": "x"})


def test_recipes_with_pictures_are_not_remembered() -> None:
    drawn = {"operations": [{"operation": "composite", "image": "http://user:secret@host.test/logo.png"}]}
    assert parse_recipe(drawn) == parse_recipe(drawn)
    assert parse_recipe(drawn) is not parse_recipe(drawn)
