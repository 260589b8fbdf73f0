"""Fields of every type that a Struct may have, read from JSON: this test's own Structs, so that all types are met."""

import json
from datetime import date
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from imgserve.request import color
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.request.fields import read_struct
from imgserve.request.json_text import ParseError, read_object

Percent = Annotated[str, Meta(pattern=r"^\d{1,3}%$", extra={"expected": 'a percentage such as "12%"'})]
Length = Annotated[int, Meta(ge=0, le=99)] | Percent


class Point(Struct, frozen=True, forbid_unknown_fields=True):
    x: Annotated[float, Meta(ge=0, le=1)]
    y: Annotated[float, Meta(ge=0, le=1)] = 0.5


class Named(Struct, frozen=True):
    name: str


def read_named(value: object) -> Named | None:
    """A text or an object, as a field whose JSON differs from its value."""
    if value == {"name": "bad"}:
        raise RequestInvalid(Fault("field_invalid", ("name",), "there is no such name"))
    return Named(value) if isinstance(value, str) else None


class Every(Struct, frozen=True, tag_field="operation", tag="every"):
    whole: Annotated[int, Meta(ge=1, le=20)] | None = None
    large: Annotated[int, Meta(ge=-100_000_000, le=100_000_000)] = 0
    above: Annotated[float, Meta(gt=0)] = 1.0
    below: Annotated[float, Meta(lt=1)] = 0.0
    number: float = 0.0
    flag: bool = False
    word: Literal["one", "two"] = "one"
    either: Literal["auto"] | bool = "auto"
    pages: Literal["all"] | Annotated[int, Meta(ge=1)] = "all"
    any_color: color.Color = "#ffffff"
    paint: color.OpaqueColor | None = None
    corner: Annotated[str, color.meta("corner")] = "corner"
    length: Length | None = None
    ratio: Annotated[str, Meta(pattern=r"^\d+:\d+$", extra={"expected": 'a ratio such as "16:9"'})] | None = None
    text: Annotated[str, Meta(max_length=5)] = ""
    factors: float | Annotated[tuple[float, ...], Meta(min_length=1, max_length=4)] = 1.0
    point: Point | None = None
    points: Annotated[tuple[Point, ...], Meta(max_length=2)] = ()
    named: Annotated[Named | None, Meta(extra={"read": read_named, "expected": "a name"})] = None


def read(text: str) -> Every:
    return read_struct(read_object(text.encode()), Every)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", Every()),
        ('{"operation": "every"}', Every()),
        ('{"whole": 20, "above": 1, "number": -3.5}', Every(whole=20, above=1.0, number=-3.5)),
        ('{"flag": true, "word": "two", "either": false}', Every(flag=True, word="two", either=False)),
        ('{"either": "auto", "pages": 7}', Every(either="auto", pages=7)),
        ('{"any_color": "#F00", "paint": "Navy"}', Every(any_color="#ff0000", paint="#000080")),
        ('{"any_color": "#f008", "corner": "#f00"}', Every(any_color="#ff000088", corner="#ff0000")),
        ('{"any_color": "transparent", "corner": "corner"}', Every(any_color="#00000000")),
        ('{"length": 0}', Every(length=0)),
        ('{"length": "50%", "ratio": "16:9"}', Every(length="50%", ratio="16:9")),
        ('{"factors": 2}', Every(factors=2.0)),
        ('{"factors": [1, 0.5]}', Every(factors=(1.0, 0.5))),
        ('{"point": {"x": 1}}', Every(point=Point(1.0))),
        ('{"named": "logo"}', Every(named=Named("logo"))),
        ('{"points": [{"x": 0, "y": 1}, {"x": 0.25}]}', Every(points=(Point(0.0, 1.0), Point(0.25)))),
    ],
)
def test_values_arrive(text: str, expected: Every) -> None:
    value = read(text)
    assert value == expected
    # 1 and 1.0 are equal, but not in a row's JSON.
    assert msgspec.json.encode(value) == msgspec.json.encode(expected)


LENGTH = 'expected an integer from 0 to 99 or a percentage such as "12%"'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"whole": "abc"}', 'whole: expected an integer from 1 to 20, got "abc"'),
        ('{"whole": "7"}', 'whole: expected an integer from 1 to 20, got "7"; write it without quotes: 7'),
        ('{"whole": 7.0}', "whole: expected an integer from 1 to 20, got 7.0"),
        ('{"whole": true}', "whole: expected an integer from 1 to 20, got true"),
        ('{"whole": null}', "whole: expected an integer from 1 to 20, got null"),
        ('{"whole": 21}', "whole: expected an integer from 1 to 20, got 21"),
        ('{"whole": 0}', "whole: expected an integer from 1 to 20, got 0"),
        ('{"large": "a"}', 'large: expected an integer from -100000000 to 100000000, got "a"'),
        ('{"whole": {}}', "whole: expected an integer from 1 to 20, got an object"),
        ('{"above": 0}', "above: expected a number above 0, got 0"),
        ('{"below": 1}', "below: expected a number below 1, got 1"),
        ('{"number": "1.5"}', 'number: expected a number, got "1.5"; write it without quotes: 1.5'),
        ('{"number": false}', "number: expected a number, got false"),
        ('{"number": 1' + "0" * 400 + "}", "number: expected a number, got a number of 401 digits"),
        ('{"number": 1e999}', "number: expected a number, got Infinity"),
        ('{"flag": 1}', "flag: expected true or false, got 1"),
        ('{"flag": "true"}', 'flag: expected true or false, got "true"; write it without quotes: true'),
        ('{"word": "tow"}', 'word: expected "one" or "two", got "tow", did you mean "two"?'),
        ('{"word": []}', 'word: expected "one" or "two", got a list'),
        ('{"either": "true"}', 'either: expected "auto" or true or false, got "true"; write it without quotes: true'),
        ('{"either": "atuo"}', 'either: expected "auto" or true or false, got "atuo", did you mean "auto"?'),
        ('{"pages": 0}', 'pages: expected "all" or an integer from 1, got 0'),
        ('{"pages": "3"}', 'pages: expected "all" or an integer from 1, got "3"; write it without quotes: 3'),
        ('{"any_color": "puce"}', f'any_color: expected {color.EXPECTED}, got "puce"'),
        ('{"any_color": 3}', f"any_color: expected {color.EXPECTED}, got 3"),
        ('{"paint": "#f008"}', f'paint: expected {color.EXPECTED_OPAQUE}, got "#f008"'),
        ('{"corner": "edge"}', f'corner: expected "corner" or {color.EXPECTED}, got "edge"'),
        ('{"length": "12"}', f'length: {LENGTH}, got "12"; write it without quotes: 12'),
        ('{"length": -1}', f"length: {LENGTH}, got -1"),
        ('{"length": 1.5}', f"length: {LENGTH}, got 1.5"),
        ('{"length": "12%\\n"}', f"length: {LENGTH}, got a text of 4 characters"),
        ('{"ratio": "16/9"}', 'ratio: expected a ratio such as "16:9", got "16/9"'),
        ('{"text": "abcdef"}', 'text: expected printable text of at most 5 characters, got "abcdef"'),
        ('{"text": "\\u0000"}', "text: expected printable text of at most 5 characters, got a text of 1 characters"),
        ('{"factors": "x"}', 'factors: expected a number or a list, got "x"'),
        ('{"factors": []}', "factors: expected from 1 to 4 in the list, got 0"),
        ('{"factors": [1, "x", null]}',
         'factors[1]: expected a number, got "x"; factors[2]: expected a number, got null'),
        ('{"point": 3}', "point: expected an object, got 3"),
        ('{"point": {"y": 2}}', "point.y: expected a number from 0 to 1, got 2; point.x: this field is missing"),
        ('{"point": {"x": 1, "z": 1}}', "point.z: unknown"),
        ('{"points": {}}', "points: expected a list, got an object"),
        ('{"points": [{"x": 1}, {"x": 2}]}', "points[1].x: expected a number from 0 to 1, got 2"),
        ('{"points": [1, 2, 3]}', "points: expected at most 2 in the list, got 3"),
        ('{"named": 3}', "named: expected a name, got 3"),
        ('{"named": {"name": "bad"}}', "named.name: there is no such name"),
        ('{"widht": 3, "flga": 1}', 'widht: unknown; flga: unknown, did you mean "flag"?'),
        ('{"": 1}', "a field's name is unknown"),
    ],
)  # fmt: skip
def test_what_is_not_of_the_type_is_refused_with_its_path(text: str, sentence: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        read(text)
    assert caught.value.detail == sentence


def test_values_that_only_toml_has_are_refused_too() -> None:
    with pytest.raises(RequestInvalid) as caught:
        read_struct({"whole": date(2026, 1, 2), "number": float("nan"), "word": date(2026, 1, 2)}, Every)
    assert caught.value.detail == (
        'whole: expected an integer from 1 to 20, got "2026-01-02"; number: expected a number, got NaN; '
        'word: expected "one" or "two", got "2026-01-02"'
    )


@pytest.mark.parametrize("text", ['{"point": {"x": 1, "x": 1}}', '{"flag": true, "flag": true}', '{"number": NaN}'])
def test_a_key_given_twice_is_refused_wherever_it_is(text: str) -> None:
    with pytest.raises(ParseError):
        read(text)


def test_all_faults_are_reported_at_once() -> None:
    bad = {"whole": 0, "number": "x", "flag": 3, "points": [{}, {"x": 9}], "what": 1}
    with pytest.raises(RequestInvalid) as caught:
        read(json.dumps(bad))
    assert [fault.path for fault in caught.value.faults] == [
        ("whole",), ("number",), ("flag",), ("points", 0, "x"), ("points", 1, "x"), ("what",),
    ]  # fmt: skip
