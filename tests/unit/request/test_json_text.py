"""The number of values that a text may have."""

import json
import time

import pytest

from imgserve.request.json_text import MOST_VALUES, ParseError, read_object

WORDS = 'a "b", c: [{"d"}, \\", \\\\'


def values(count: int, value: object) -> bytes:
    """``count`` separators: each item but the first has a comma, and two brackets open."""
    return json.dumps({"a": [value] * (count - 1)}).encode()


@pytest.mark.parametrize("value", [1, WORDS, "\\", '"', ","])
def test_so_many_values_are_read(value: object) -> None:
    assert read_object(values(MOST_VALUES, value)) == {"a": [value] * (MOST_VALUES - 1)}
    with pytest.raises(ParseError, match=r"^it has too many values, expected at most 20,000$"):
        read_object(values(MOST_VALUES + 1, value), "it")


def test_keys_and_objects_count() -> None:
    for text in (json.dumps({str(number): 1 for number in range(MOST_VALUES + 1)}), '{"a":' * (MOST_VALUES + 1)):
        with pytest.raises(ParseError, match="too many values"):
            read_object(text.encode())


def test_a_key_that_is_given_twice_is_named_in_linear_time() -> None:
    def spent_s(count: int) -> float:
        keys = [f'"k{number}":1' for number in range(count)]
        began_s = time.thread_time()
        with pytest.raises(ParseError, match='the key "z" appears twice'):
            read_object(b"{" + ",".join([*keys, '"z":1', '"z":1']).encode() + b"}")
        return time.thread_time() - began_s

    of_many, of_few = (min(spent_s(count) for _ in range(3)) for count in (16_000, 2_000))
    assert of_many < 32 * of_few


def test_so_many_digits_are_read() -> None:
    assert read_object(b'{"a": -' + b"9" * 999 + b"}") == {"a": -int("9" * 999)}
    with pytest.raises(ParseError, match=r"^it is not JSON: a number has 1,001 digits$"):
        read_object(b'{"a": ' + b"9" * 1_001 + b"}", "it")


def test_a_long_text_is_one_value() -> None:
    text = WORDS * MOST_VALUES
    assert read_object(json.dumps({"a": text}).encode()) == {"a": text}


def test_text_that_does_not_end() -> None:
    with pytest.raises(ParseError, match="unterminated string"):
        read_object(b'{"a": "' + b"[" * 2 * MOST_VALUES)
