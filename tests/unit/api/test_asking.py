"""The parts of a request beside its body: query, Prefer, Idempotency-Key, and the cursor of a list."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.api.http import idempotency, prefer
from imgserve.api.query import number_of, query_of, switch_of, words_of
from imgserve.api.v1 import cursor
from imgserve.api.v1.cursor import Cursor
from imgserve.request.faults import RequestInvalid


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["wait=10"], 10),
        (["respond-async, wait=10"], 10),
        (["respond-async", 'WAIT = "7" ; foo'], 7),
        (["wait=5, wait=9"], 5),
        (["wait=600"], 60),
        (["wait=0"], None),
        (["wait=x, wait=3"], None),
        (["wait"], None),
        (["wait=-1"], None),
        (["waiting=3"], None),
        (["handling=lenient"], None),
        ([], None),
    ],
)
def test_how_long_an_answer_is_held_back(values: list[str], seconds: int | None) -> None:
    headers = [(b"host", b"wait=4"), *((b"prefer", value.encode()) for value in values)]
    assert prefer.wait_s(headers) == seconds


@given(st.binary())
def test_any_prefer_header_is_read(value: bytes) -> None:
    assert prefer.wait_s([(b"prefer", value)]) in (None, *range(1, 61))


@pytest.mark.parametrize("key", ["a", "!~", "x" * 255, '"quoted"'])
def test_the_key_of_a_request(key: str) -> None:
    assert idempotency.key_of([(b"host", b"x"), (b"idempotency-key", key.encode())]) == key
    assert idempotency.key_of([(b"host", b"x")]) is None


@pytest.mark.parametrize("values", [["a", "a"], [""], ["x" * 256], ["a b"], ["caf\u00e9"], ["a\tb"], ["a\n"]])
def test_a_key_that_is_none(values: list[str]) -> None:
    with pytest.raises(RequestInvalid, match=r"^header.Idempotency-Key: expected one key of 1 to 255 visible"):
        idempotency.key_of([(b"idempotency-key", value.encode()) for value in values])


IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
TIMES = st.integers(0, 4_000_000_000_000_000).map(lambda micros: micros / 1_000_000)


@given(IDS, TIMES)
def test_a_cursor_is_read_as_it_was_written(job_id: str, created_at: float) -> None:
    text = cursor.dump(Cursor(job_id, created_at))
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    read = cursor.parse(text)
    assert read.job_id == job_id
    assert abs(read.created_at - created_at) < 1e-6


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_other_cursor_is_a_fault(text: str) -> None:
    with pytest.raises(RequestInvalid, match="the next of another page"):
        cursor.parse(text)


def test_the_fields_of_a_query() -> None:
    names = {"a": "", "b": "", "later": "is not available in this version yet"}
    assert query_of({"query_string": b"a=1&b=%C3%A4"}, names) == {"a": "1", "b": "\u00e4"}
    assert query_of({"query_string": b""}, names) == {}
    for query, sentence in (
        (b"c=1", "query.c: unknown"),
        (b"a=1&a=2", "query: a field is given twice"),
        (b"later=1", "query.later: is not available in this version yet"),
        (b"a=%FF", "query: expected name=value, percent-encoded UTF-8"),
        (b"a", "query: expected name=value, percent-encoded UTF-8"),
    ):
        with pytest.raises(RequestInvalid, match=f"^{re.escape(sentence)}$"):
            query_of({"query_string": query}, names)


def test_the_values_of_a_query() -> None:
    assert number_of("200", 1, 200) == 200
    assert words_of("b,a", ("a", "b", "c")) == ("a", "b")
    assert switch_of("true") is True
    for text in ("0", "201", "", "1.0", " 1", "\u0661", "9" * 400):
        with pytest.raises(RequestInvalid, match="expected a whole number from 1 to 200"):
            number_of(text, 1, 200)
    with pytest.raises(RequestInvalid, match='did you mean "failed"'):
        words_of("faild", ("failed", "queued"))
    with pytest.raises(RequestInvalid, match="expected true or false"):
        switch_of("1")
