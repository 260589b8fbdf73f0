"""Headers of a request's own: each rule, and that no fault shows a value."""

import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.request.access import (
    MAX_HEADERS,
    MAX_HEADERS_BYTES,
    Access,
    Headers,
    access_of,
    dump_access,
    read_headers,
)
from imgserve.request.faults import RequestInvalid
from imgserve.request.native_source import parse_source_body
from imgserve.request.webhook import Webhook
from tests.support.sizes import sized
from tests.unit.request.test_properties import steady, values

SECRET = "hunter2\n"
TOKENS = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=12)
PLAIN = st.text(string.printable[:94], min_size=1, max_size=9)


def faults_of(value: object) -> list[str]:
    with pytest.raises(RequestInvalid) as caught:
        read_headers(value)
    return [fault.sentence() for fault in caught.value.faults]


@pytest.mark.parametrize(
    "name",
    [
        "Host", "CONTENT-LENGTH", "content-type", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Trailer",
        "Expect", "Cookie", "Authorization", "Proxy-Authorization", "proxy-connection", "Forwarded", "X-Forwarded-For",
        "x-forwarded-host", "X-Imgserve-State", "webhook-signature", "Webhook-Id",
    ],
)  # fmt: skip
def test_refused_names(name: str) -> None:
    [fault] = faults_of({"X-Good": "1", name: "x"})
    assert fault.startswith(f"{name}: ")
    login = name in ("Cookie", "Authorization")
    assert fault.endswith("use a credential of the settings" if login else "imgserve alone sets this header")


@pytest.mark.parametrize("name", ["Hostess", "X-Host", "tea", "webhooks", "Set-Cookie", "Range", "X-Forward", "proxy"])
def test_names_that_only_look_like_refused_ones(name: str) -> None:
    assert read_headers({name: "x"}) == ((name, "x"),)


@pytest.mark.parametrize("name", ["", "X A", "X:A", "X-Ä", "X\r\nHost", "X(A)", "X/A", '"X"', "X\x00"])
def test_a_name_is_a_token(name: str) -> None:
    assert faults_of({name: "x"}) == ["a header's name is no token: expected letters, digits, - and _"]


@pytest.mark.parametrize(
    "value", ["", " a", "a ", "a\tb", "a\r\nHost: x", "a\n", "ä", "\x7f", "a\x00", 3, None, ["a"], {}]
)
def test_a_value_is_visible_ascii(value: object) -> None:
    assert faults_of({"X-A": value}) == ["X-A: expected visible ASCII characters, with spaces between them"]


def test_a_name_in_two_cases_is_one_header() -> None:
    assert faults_of({"X-A": "1", "x-a": "2"}) == ["x-a: this header is given twice, in another case"]


def test_at_most_20_headers_of_4_kb_together() -> None:
    most = {f"X-{index}": "x" for index in range(MAX_HEADERS)}
    assert len(read_headers(most)) == MAX_HEADERS
    assert faults_of(most | {"Y": "x"}) == ["expected at most 20 headers, got 21"]
    assert read_headers({"X-A": "x" * (MAX_HEADERS_BYTES - 3)})
    [fault] = faults_of({"X-A": "x" * (MAX_HEADERS_BYTES - 2)})
    assert fault == "expected at most 4,096 bytes of names and values together, got 4,097"


@settings(steady, max_examples=sized(100, 2000))
@given(st.dictionaries(st.text(max_size=5) | TOKENS, values, min_size=1, max_size=4) | values)
def test_no_fault_shows_a_value(value: Any) -> None:
    if isinstance(value, dict):
        value = {name: SECRET if isinstance(text, str) else text for name, text in value.items()}
    sentences: list[str] = []
    try:
        read_headers(value)
    except RequestInvalid as invalid:
        sentences = [fault.sentence() for fault in invalid.faults]
    assert not any("hunter2" in sentence for sentence in sentences)


@settings(steady, max_examples=sized(100, 2000))
@given(st.dictionaries(TOKENS, PLAIN, max_size=5), st.from_regex(r"[A-Za-z0-9_-]{0,32}", fullmatch=True))
def test_an_access_survives_its_fields(headers: dict[str, str], credential: str) -> None:
    try:
        fields: dict[str, object] = {"headers": dict(read_headers(headers)), "credential": credential}
    except RequestInvalid:
        return
    value = {"url": "https://h.test/a.png", **{name: one for name, one in fields.items() if one}}
    own = parse_source_body(value).sends
    assert own == Access(tuple(headers.items()), credential)
    assert {"url": "https://h.test/a.png", **dump_access(own)} == value


def test_nothing_shows_a_header() -> None:
    headers: Headers = (("X-Key", "hunter2"),)
    assert "hunter2" not in f"{Access(headers)!r}{Webhook('https://h/hunter2', headers=headers)!r}"
    assert access_of({"headers": (), "credential": ""}) is access_of({})
