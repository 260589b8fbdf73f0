"""``data:`` URLs."""

import base64
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.request.faults import RequestInvalid
from imgserve.request.picture import parse_info
from imgserve.request.sent import Inline


def bytes_of(url: str) -> bytes:
    source = parse_info({"source": url})
    assert isinstance(source, Inline)
    return source.data


@given(st.text("%=0Af3g \r\n\tü_", max_size=12))
def test_escapes_are_those_of_url_libraries(text: str) -> None:
    assert bytes_of("data:," + text) == unquote_to_bytes(text)


@given(st.binary(max_size=40))
def test_every_byte_can_be_escaped(data: bytes) -> None:
    assert bytes_of("DATA:image/png," + quote_from_bytes(data)) == data
    assert bytes_of("data:,%" + data.hex("%") if data else "data:,") == data
    in_base64 = base64.b64encode(data).decode()
    assert bytes_of("data:image/png;BASE64," + in_base64) == data
    assert bytes_of("data:;charset=x;base64," + quote_from_bytes(in_base64.encode(), safe="")) == data


@pytest.mark.parametrize("url", ["data:x", "data:;base64;", "data:;base64,a", "data:;base64,%%", "data:,\ud800"])
def test_other_text_is_a_fault(url: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        bytes_of(url)
    assert [(fault.code, fault.path) for fault in caught.value.faults] == [("source_invalid", ("source",))]
