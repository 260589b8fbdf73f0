"""The classic protocol's recipe: flat args in their order, a list of operations, a preset."""

import pytest

from imgserve.request.classic.recipe import AFTER, BEFORE, PARTS, TYPES, Arg, Own, _operation
from imgserve.request.classic.spelling import number_of, sentence_of
from imgserve.request.encode import Encode
from imgserve.request.faults import RequestInvalid
from imgserve.request.fields import fields_of
from imgserve.request.native import LATER, OPERATIONS, PresetsOnly
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.flatten import Flatten
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.grayscale import Grayscale
from imgserve.request.operations.modulate import Modulate
from imgserve.request.operations.pixelate import Pixelate
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.redact import Redact, Region
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.round import Round
from imgserve.request.operations.sharpen import Sharpen
from imgserve.request.recipe import LoadOptions, Operation, Recipe
from tests.unit.request.samples import parsed_with, refused_with

CARD = Recipe((Resize(60, 40), Resize(6)), Encode("png", 70, "#000000"), LoadOptions(strict=False))
PRESETS = {"card": CARD}
SIZED = {"width": 20, "height": 10}
LIST = [{"operation": "resize", "width": 60}, {"operation": "resize", "height": 5, "if_small": "refuse"}]
ROWS = BEFORE | AFTER
THUMB = Arg("resize", ("width", "height"), is_switch=True)


def recipe_of(args: dict[str, object], **changes: object) -> Recipe:
    (output,) = parsed_with(PRESETS, {"args": args, **changes}).outputs
    return output.recipe


def sentence(args: dict[str, object], **changes: object) -> str:
    invalid = refused_with(PRESETS, {"args": args, **changes})
    assert invalid is not None
    assert number_of(invalid) in (106, 107)
    return sentence_of(invalid)


def test_a_list_is_the_native_one() -> None:
    recipe = recipe_of({"operations": LIST, "quality": 7, "strict": False})
    assert recipe.operations == (Resize(60), Resize(height=5, if_small="refuse"))
    assert (recipe.encode, recipe.load) == (Encode("png", 7), LoadOptions(strict=False))
    assert recipe_of({"operations": []}).operations == ()


def test_what_is_taken_of_the_source() -> None:
    taken: dict[str, object] = {"page": 2, "frames": 5, "orient": False}
    load = recipe_of(SIZED | taken).load
    assert load == LoadOptions(page=2, frames=5, orient=False)
    assert recipe_of(SIZED | {"frames": "first"}).load == LoadOptions(frames="first")
    wrong: tuple[tuple[str, object], ...]
    wrong = (("page", -1), ("page", 10_000), ("frames", 0), ("frames", "all"), ("orient", 1))
    for field, value in wrong:
        assert f"args.{field}: expected " in sentence(SIZED | {field: value})


def test_faults_of_a_list_have_their_paths() -> None:
    wrong = [{"operation": "resize", "width": "x"}, {"operation": "resize"}, {"operation": "x"}]
    text = sentence({"operations": wrong, "quality": 0})
    for path in ("args.operations[0].width: ", "args.operations[2].operation: ", "args.quality: "):
        assert path in text
    assert "args.operations: expected a list of operations, got an object" in sentence({"operations": {}})


@pytest.mark.parametrize("other", ["width", "height", "fit", "gravity", "enlarge", "if_small"])
def test_a_flat_arg_beside_a_list_or_a_preset_is_107(other: str) -> None:
    for whole in ({"operations": LIST}, {"preset": "card"}):
        (name,) = whole
        assert f"args.{other}: expected args.{name} or it, not both" in sentence({**whole, other: 3})


def test_a_list_beside_a_preset_is_107() -> None:
    assert sentence({"operations": LIST, "preset": "card"}) == "args.operations: expected args.preset or it, not both"


def test_args_beside_a_preset_replace_its_options_one_by_one() -> None:
    assert recipe_of({"preset": "card"}) == CARD
    recipe = recipe_of({"preset": "card", "quality": 9, "strict": True, "method": "PUT"})
    assert recipe == Recipe(CARD.operations, Encode("png", 9, "#000000"))


def test_the_preset_of_a_drawing() -> None:
    icon = Recipe((Rasterize(32),))
    drawing = {"operationType": "rasterize", "srcURL": "http://h/a.svg", "args": {"preset": "icon"}}
    job = parsed_with({"icon": icon}, {**drawing, "dstURL": "file:///o/a.png"})
    assert job.outputs[0].recipe.operations == icon.operations


@pytest.mark.parametrize("args", [{"operations": LIST}, {"preset": "card"}])
def test_beside_a_list_or_a_preset_operation_type_says_nothing(args: dict[str, object]) -> None:
    posted = {"operationType": "rasterize", "srcURL": "http://h/a.jpg", "dstURL": "file:///o/a.png", "args": args}
    job = parsed_with(PRESETS, posted)
    assert (job.outputs[0].recipe.operations, job.whole_arg) == (recipe_of(args).operations, *args)
    with pytest.raises(RequestInvalid, match="rasterize expects an SVG"):
        parsed_with(PRESETS, {**posted, "args": SIZED})


def test_the_format_of_a_preset_may_not_contradict_the_extension() -> None:
    text = sentence({"preset": "card"}, dstURL="file:///o/a.jpg")
    assert text == "args.preset: png contradicts the extension of dstURL, which means jpeg"


@pytest.mark.parametrize(
    "args",
    [SIZED, {"operations": LIST}, {"preset": "card", "format": "png"}, {"preset": "card", "strict": True}, {},
     {"preset": "card", "gravity": "north"}],
)  # fmt: skip
def test_presets_only(args: dict[str, object]) -> None:
    allowed = {"args": {"preset": "card", "method": "PUT"}}
    assert parsed_with(PRESETS, allowed, presets_only=True).outputs[0].recipe == CARD
    with pytest.raises(PresetsOnly) as caught:
        parsed_with(PRESETS, {"args": args}, presets_only=True)
    assert number_of(caught.value) == 107
    assert "use args.preset" in sentence_of(caught.value)


def test_a_small_source_is_refused_unless_the_job_says_otherwise() -> None:
    def if_small(**args: object) -> object:
        (operation,) = recipe_of({**SIZED, **args}).operations
        assert isinstance(operation, Resize)
        return operation.if_small

    assert if_small() == if_small(enlarge=False) == if_small(if_small="refuse") == "refuse"
    assert if_small(enlarge=True) == if_small(if_small="enlarge") == "enlarge"
    assert if_small(if_small="keep") == "keep"
    for enlarge in (True, False):
        text = sentence({**SIZED, "enlarge": enlarge, "if_small": "keep"})
        assert text == "args.enlarge: contradicts args.if_small; give one of the two"


def test_the_background_of_the_result_is_opaque() -> None:
    assert recipe_of({**SIZED, "background": "#ABC"}).encode.background == "#aabbcc"
    assert recipe_of({**SIZED, "background": "#abc8"}).encode.background == Encode().background
    assert "args.background: expected a colour" in sentence({**SIZED, "background": "puce"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [(7, Resize(7, 7)), (False, None), ({"width": 3}, Resize(3))],
)
def test_a_flat_arg_is_an_object_or_one_value(value: object, expected: Resize | None) -> None:
    assert _operation("thumb", THUMB, {"thumb": value}, Own()) == expected


@pytest.mark.parametrize(("value", "expected"), [(True, Flip()), (False, None), ({}, Flip())])
def test_a_switch_is_an_object_too(value: object, expected: Flip | None) -> None:
    assert _operation("flip", Arg("flip", is_switch=True), {"flip": value}, Own()) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", 'thumb: expected an integer from 1 to 16384, got "x"'),
        (None, "thumb: expected an integer from 1 to 16384, got null"),
        ([], "thumb: expected an integer from 1 to 16384, got a list"),
        ({"width": "x"}, 'thumb.width: expected an integer from 1 to 16384, got "x"'),
        ({"widht": 3}, 'thumb.widht: unknown, did you mean "width"?'),
        ({"operation": "resize"}, "thumb.operation: unknown: the arg names the operation"),
    ],
)
def test_one_value_is_at_fault_once(value: object, expected: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        _operation("thumb", THUMB, {"thumb": value}, Own())
    assert caught.value.detail == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [(Arg("resize"), "thumb: expected an object, got 3"),
     (Arg("resize", is_switch=True), "thumb: expected true, false or an object, got 3")],
)  # fmt: skip
def test_an_arg_without_a_single_value(row: Arg, expected: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        _operation("thumb", row, {"thumb": 3}, Own())
    assert caught.value.detail == expected


@pytest.mark.parametrize("name", sorted(ROWS))
def test_each_row_fits_its_operation(name: str) -> None:
    row = ROWS[name]
    fields = fields_of(OPERATIONS[row.operation])
    assert set(row.value) <= set(fields)
    assert not row.has_space or "background" in fields
    if row.is_switch:
        assert isinstance(_operation(name, row, {name: True}, Own()), OPERATIONS[row.operation])


def test_flat_args_are_carried_out_in_a_fixed_order() -> None:
    args: dict[str, object] = {
        "flatten": True, "round": "50%", "pixelate": 3, "sharpen": True, "blur": 2, "flop": False, "flip": True,
        "redact": {"regions": [{"left": 0, "top": 0, "width": "10%", "height": 9}]}, "brightness": 1.5, "hue": 90,
        "crop": "16:9", "grayscale": "luma", "background": "navy",
    }  # fmt: skip
    expected = (
        Crop(aspect="16:9"), Resize(20, 10, if_small="refuse"), Flip(), Redact((Region(0, 0, "10%", 9),)),
        Modulate(brightness=1.5, hue=90.0), Grayscale("luma"), Blur(2.0), Sharpen(), Pixelate(3), Round("50%"),
        Flatten("#000080"),
    )  # fmt: skip
    assert recipe_of({**SIZED, **args}).operations == expected
    assert recipe_of({**dict(reversed(args.items())), **SIZED}).operations == expected


def test_the_background_of_an_object_comes_before_that_of_all() -> None:
    assert recipe_of({**SIZED, "flatten": {"background": "red"}, "background": "navy"}).operations[-1] == Flatten(
        "#ff0000"
    )


def test_a_drawing_comes_before_all_that_is_done_to_it() -> None:
    drawing: dict[str, object] = {"operationType": "rasterize", "srcURL": "http://h/a.svg", "dstURL": "file:///o/a"}
    args: dict[str, object] = {"width": 9, "crop": {"left": 1}, "blur": 2}
    assert recipe_of(args, **drawing).operations == (Rasterize(9), Crop(left=1), Blur(2.0))


def test_a_watermark_is_a_name_or_an_object() -> None:
    def watermark(value: object) -> Operation:
        return recipe_of({**SIZED, "watermark": value}).operations[-1]

    assert watermark("logo") == watermark({"image": {"name": "logo"}})
    for url in ("http://h/logo.png", {"url": "http://h/logo.png"}):
        drawn = watermark({"image": url, "opacity": 0.5})
        assert isinstance(drawn, Composite)
        assert drawn.opacity == 0.5
    for wrong in (5, None, True, "http://h/logo.png"):
        text = sentence({**SIZED, "watermark": wrong})
        assert text.startswith("args.watermark: expected the name of a picture of the settings, or an object such as")
        assert "logo" not in text
    assert "args.watermark.opacity: expected a number from 0 to 1" in sentence({
        **SIZED, "watermark": {"image": {"name": "logo"}, "opacity": 2},
    })  # fmt: skip


def test_faults_of_the_watermarks_url_and_of_encode_come_with_the_others() -> None:
    args = {"width": 0, "watermark": {"image": "ftp//h/x"}, "format": "png", "effort": "slow", "max_bytes": 900}
    invalid = refused_with(PRESETS, {"args": args})
    assert invalid is not None
    text = sentence_of(invalid)
    for path in (
        "args.width: ",
        "args.watermark.image: expected a URL",
        "args.effort: ",
        "args.max_bytes: png does not",
    ):
        assert path in text


def test_all_faults_of_flat_args_are_reported_at_once() -> None:
    text = sentence({
        "width": 0, "blur": 900, "crop": {"left": 1, "aspect": "1:1"}, "round": {"rx": 3}, "modulate": {}, "hue": 999,
        "flip": "yes", "sharpen": {"sigmar": 1},
    })  # fmt: skip
    for path in (
        "args.width: expected", "args.blur: expected a number from 0.3 to 250, got 900",
        "args.crop.aspect: contradicts args.crop.left", "args.round.ry: expected both args.round.rx and args.round.ry",
        "args.modulate: contradicts args.hue", "args.flip: expected true, false or an object", "args.sharpen.sigmar: ",
    ):  # fmt: skip
        assert path in text


def test_each_operation_has_its_flat_arg() -> None:
    assert {row.operation for row in ROWS.values()} | set(TYPES) == set(OPERATIONS)


@pytest.mark.parametrize("name", sorted(PARTS))
def test_each_part_is_a_field(name: str) -> None:
    assert name in fields_of(OPERATIONS[PARTS[name]])


@pytest.mark.parametrize("name", sorted(LATER))
def test_what_is_missing_is_said_to_come(name: str) -> None:
    assert sentence({**SIZED, name: 1}) == f"args.{name}: not available in this version yet"
