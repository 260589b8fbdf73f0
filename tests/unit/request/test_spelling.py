"""One fault, spelling by each API and command; and no word of the classic protocol outside of it."""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import get_args

import msgspec
import pytest

import imgserve
from imgserve.cli.render_flags import spelt
from imgserve.errors import FieldRef, ImgserveError, Path, dotted
from imgserve.request import faults
from imgserve.request.classic.codes import MEANING, NUMBER
from imgserve.request.classic.recipe import AFTER, BEFORE
from imgserve.request.classic.spelling import (
    number_of,
    output_spelling,
    sentence_of,
    spelling,
    spelling_of,
)
from imgserve.request.faults import Fault, Faults, RequestInvalid, beneath
from imgserve.request.fields import read_field
from imgserve.request.geometry import Shape, SourceTooSmall
from imgserve.request.job import WholeArg
from imgserve.request.native import parse_operations
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Operation, Recipe
from imgserve.transfer.faults import DeliveryFailed, SourceTooLarge

FIRST = ("outputs", 0)
# The fields that operations with a flat arg require.
SAMPLES: dict[str, dict[str, object]] = {
    "blur": {"sigma": 3}, "pixelate": {"size": 3}, "rotate": {"angle": 90}, "tint": {"color": "#ff0000"},
    "contrast": {"factor": 2}, "gamma": {"gamma": 2}, "watermark": {"image": {"name": "logo"}},
    "round": {"radius": 3}, "redact": {"regions": [{"left": 0, "top": 0, "width": 9, "height": 9}]},
    "crop": {"aspect": "1:1"}, "saturate": {"factor": 2}, "noise": {"amount": 9}, "convolve": {"mask": [[1]]},
    "curve": {"all": [[0, 9], [255, 0]]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "native", "classic", "command"),
    [
        (("source",), "source", "srcURL", "SRC"),
        ((*FIRST, "destination"), "outputs[0].destination", "dstURL", "DST"),
        (
            (*FIRST, "destination", "field_name"), "outputs[0].destination.field_name",
            "args.field_name", "--field-name",
        ),
        (
            (*FIRST, "operations", 0, "operation"), "outputs[0].operations[0].operation",
            "operationType", "--operation",
        ),
        ((*FIRST, "operations", 0, "width"), "outputs[0].operations[0].width", "args.width", "--width"),
        ((*FIRST, "operations", 0), "outputs[0].operations[0]", "args.width, args.height", "--width, --height"),
        ((*FIRST, "encode", "format"), "outputs[0].encode.format", "args.format", "--format"),
        ((*FIRST, "load", "strict"), "outputs[0].load.strict", "args.strict", "--strict"),
        ((*FIRST, "placeholder", "color"), "outputs[0].placeholder.color", "placeholder.color", "--color"),
        ((*FIRST, "on_failure"), "outputs[0].on_failure", "on_failure", "--on-failure"),
        (("outputs", 1, "operations", 0, "width"), *["outputs[1].operations[0].width"] * 2, "--width"),
        (("args", "blur", "sigma"), "args.blur.sigma", "args.blur.sigma", "--blur sigma"),
        ((), "", "", ""),
    ],
)  # fmt: skip
def test_a_path_as_each_one_spells_it(path: Path, native: str, classic: str, command: str) -> None:
    field = FieldRef(path)
    assert (dotted(field), spelling(field), spelt(field)) == (native, classic, command)


@pytest.mark.parametrize(
    ("path", "value", "native", "classic", "command"),
    [
        (("load", "strict"), False, "load.strict = false", "args.strict = false", "--no-strict"),
        (("operations", 0, "enlarge"), True, "operations[0].enlarge = true", "args.enlarge = true", "--enlarge"),
        (
            ("operations", 0, "operation"), "resize", 'operations[0].operation = "resize"', 'operationType = "resize"',
            "--operation resize",
        ),
        (("encode", "format"), "png", 'encode.format = "png"', 'args.format = "png"', "--format png"),
        (("on_failure",), "delete", 'on_failure = "delete"', 'on_failure = "delete"', "--on-failure delete"),
    ],
)  # fmt: skip
def test_a_value_as_each_one_writes_it(path: Path, value: bool | str, native: str, classic: str, command: str) -> None:
    field = FieldRef((*FIRST, *path), value)
    assert (dotted(field), spelling(field), spelt(field)) == (f"outputs[0].{native}", classic, command)
    assert output_spelling(None)(FieldRef(path, value)) == classic


def test_a_field_of_an_operation_as_the_request_wrote_it() -> None:
    def both(*operations: Operation, index: int = 0) -> tuple[str, str]:
        spelling = spelling_of(Recipe(operations))
        path = (*FIRST, "operations", index)
        return spelling(FieldRef(path)), spelling(FieldRef((*path, "if_small"), "enlarge"))

    assert both(Resize(3)) == ("args.width, args.height", "args.enlarge = true")
    assert both(Rasterize(3))[0] == "args.width, args.height"
    in_list = ("args.operations[1]", 'args.operations[1].if_small = "enlarge"')
    assert both(Resize(3), Resize(4), index=1) == both(Rasterize(3), Resize(4), index=1) == in_list


@pytest.mark.parametrize(("whole_arg", "place"), [("operations", "operations"), ("preset", "preset.operations")])
def test_a_field_of_a_list_though_flat_args_could_make_it(whole_arg: WholeArg, place: str) -> None:
    [blurred] = parse_operations([{"operation": "blur", "sigma": 3}])
    spelling = spelling_of(Recipe((Resize(3), blurred)), whole_arg)
    assert spelling(FieldRef((*FIRST, "operations", 1, "sigma"))) == f"args.{place}[1].sigma"
    small = FieldRef((*FIRST, "operations", 0, "if_small"), "enlarge")
    assert spelling(small) == f'args.{place}[0].if_small = "enlarge"'
    assert spelling(FieldRef((*FIRST, "encode", "format"))) == "args.format"


@pytest.mark.parametrize("arg", sorted(BEFORE | AFTER))
def test_the_operation_of_a_flat_arg_is_called_by_it(arg: str) -> None:
    row = (BEFORE | AFTER)[arg]
    sample = msgspec.json.decode(json.dumps({"operation": row.operation} | SAMPLES.get(arg, {})), type=Operation)
    operations = (sample, Resize(3)) if arg in BEFORE else (Resize(3), sample)
    spelling = spelling_of(Recipe(operations))
    assert spelling(FieldRef((*FIRST, "operations", operations.index(sample)))) == f"args.{arg}"
    turned = spelling_of(Recipe(operations[::-1]))
    assert turned(FieldRef((*FIRST, "operations", 1))) == "args.operations[1]"


def test_the_fields_of_a_remedy_move_with_the_error() -> None:
    with pytest.raises(SourceTooSmall) as caught, beneath("outputs", 1), beneath("operations", 0):
        Resize(50, 50, if_small="refuse").check(Shape(4, 4, "png"))
    assert 'outputs[1].operations[0].if_small = "enlarge"' in caught.value.sentence()
    with pytest.raises(SourceTooSmall) as caught:
        Faults().attempt((*FIRST, "operations", 0), Resize(50).after, Shape(0, 0, "svg"))
    assert "give both args.width and args.height" in sentence_of(caught.value)
    assert "give both --width and --height" in caught.value.sentence(spelt)


def test_the_fields_of_a_note_move_with_its_fault() -> None:
    found = Faults()
    found.attempt((*FIRST, "operations", 0), Resize().after, Shape(4, 4, "png"))
    [fault] = found
    assert fault.sentence(spelling) == "args.width: resize needs args.width, args.height or both"


def test_one_fault_in_three_spellings() -> None:
    with pytest.raises(RequestInvalid) as caught, beneath("outputs", 0, "operations", 0):
        read_field(Resize, "width", "abc")
    sentence = 'expected an integer from 1 to 16384, got "abc"'
    assert caught.value.detail == f"outputs[0].operations[0].width: {sentence}"
    assert sentence_of(caught.value) == f"args.width: {sentence}"
    assert caught.value.sentence(spelt) == f"--width: {sentence}"
    assert caught.value.faults == (
        Fault(
            "field_invalid", (*FIRST, "operations", 0, "width"), expected="an integer from 1 to 16384", got="abc",
        ),
    )  # fmt: skip


def test_findings_keep_the_order_and_the_classic_protocol_sorts() -> None:
    found = Faults()
    found.append(Fault("tag_unknown", (*FIRST, "destination"), "an unknown tag"))
    found.append(Fault("source_invalid", ("source",), "expected a URL, got nothing"))
    with pytest.raises(RequestInvalid) as caught:
        found.raise_any()
    assert caught.value.detail == "outputs[0].destination: an unknown tag; source: expected a URL, got nothing"
    assert sentence_of(caught.value) == "srcURL: expected a URL, got nothing; dstURL: an unknown tag"
    assert number_of(caught.value) == 104


def test_an_error_of_source_or_destination_stands_behind_its_field() -> None:
    assert sentence_of(DeliveryFailed("it is full", "wait")) == "dstURL: it is full (wait)"
    assert sentence_of(SourceTooLarge("it is too large")) == "srcURL: it is too large"
    assert sentence_of(ImgserveError("a bug")) == "a bug"
    assert number_of(ImgserveError("a bug")) is None


def test_a_log_repeats_no_text_and_no_name_of_the_sender() -> None:
    note = "; write it without quotes: s3cret"
    fault = Fault("field_invalid", ("args", "key"), note, expected="true or false", got="s3cret")
    foreign = Fault("field_unknown", ("args", "s3cret"), "unknown", is_foreign=True)
    assert RequestInvalid(fault, foreign).sentence(is_discreet=True) == (
        "args.key: expected true or false, got another text; args.another name: unknown"
    )


def test_each_number_is_that_of_something_and_each_fault_has_one() -> None:
    errors = {error.code for error in all_errors()}
    fault_codes = set(get_args(faults.Code))
    # The path decides about the first; jobs of this protocol have no webhook.
    of_others = {"credential_not_allowed", "webhook_refused"}
    assert fault_codes - NUMBER.keys() == of_others
    assert NUMBER.keys() - errors - fault_codes == set()
    assert set(NUMBER.values()) == set(MEANING)


def all_errors() -> Iterator[type[ImgserveError]]:
    for module in pkgutil.walk_packages(imgserve.__path__, "imgserve."):
        if not module.name.startswith(("imgserve.imaging.worker", "imgserve.__main__")):
            importlib.import_module(module.name)
    left = [ImgserveError]
    while left:
        error = left.pop()
        left += error.__subclasses__()
        yield error


def test_its_words_stand_in_the_classic_protocol_alone() -> None:
    top = FilePath(imgserve.__file__).parent
    # ``render`` writes a classic job; that protocol's parser reads it.
    own = ("request/classic/", "api/classic.py", "cli/render.py")
    words = re.compile(r"(?<!\.)\bargs\.|srcURL|dstURL|operationType")
    places = {path.relative_to(top).as_posix(): path for path in top.rglob("*.py")}
    assert [name for name, path in places.items() if not name.startswith(own) and words.search(path.read_text())] == []
    assert any(words.search(path.read_text()) for name, path in places.items() if name.startswith(own))
