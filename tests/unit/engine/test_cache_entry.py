"""The format of a cached answer: exactly what was written comes back, and anything else is refused."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.engine.cache.entry import (
    LEAD_BYTES,
    MAX_HEADER_BYTES,
    Damaged,
    Header,
    Key,
    Meta,
    Sum,
    Validator,
    body_at,
    encode,
    is_name,
    lead_of,
    rendering_prefix,
    source_prefix,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
keys = st.builds(Key, texts, texts, texts, texts)
metas = st.builds(
    Meta,
    texts,
    texts,
    st.floats(allow_nan=False),
    st.floats(allow_nan=False),
    validator=st.builds(Validator, texts, texts, texts),
    last_modified_s=st.none() | st.integers(0, 2**60),
    headers=st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=3).map(tuple),
    status=st.integers(100, 599),
)
headers = st.builds(Header, keys, metas, st.integers(0, 2**60))
HEADER = Header(Key("http://a.test/1.jpg", "w:1"), Meta("image/webp", '"e"', 1.0, 2.0), 3)


def parse(data: bytes) -> tuple[Header, bytes]:
    lead = lead_of(data)
    body = data[lead.body_at :]
    total = Sum(lead)
    total.add(body)
    total.check()
    return lead.header, body


@given(headers, st.lists(st.binary(max_size=100), max_size=3))
def test_what_was_written_comes_back(header: Header, pieces: list[bytes]) -> None:
    data = encode(header, pieces) + b"".join(pieces)
    assert parse(data) == (header, b"".join(pieces))
    lead = lead_of(data)
    assert lead.file_bytes == len(data)
    assert body_at(data[:LEAD_BYTES]) == lead.body_at


def test_every_flipped_bit_is_found() -> None:
    data = encode(HEADER, [b"picture"]) + b"picture"
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(Damaged):
                parse(bytes(damaged))


def test_every_cut_is_found() -> None:
    data = encode(HEADER, [b"picture"]) + b"picture"
    for length in range(len(data)):
        with pytest.raises(Damaged):
            parse(data[:length])
    with pytest.raises(Damaged):
        parse(data + b"\0")


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(Damaged):
        parse(noise)


def test_a_header_of_other_fields_is_refused() -> None:
    data = encode(HEADER, [])
    for other in (b"\x90", b"\xc1", b"\x93\x01\x02\x03"):
        # Rightly summed, as a later version might write it.
        lengths = len(other).to_bytes(4, "little") + data[12:24]
        crc = zlib.crc32(other, zlib.crc32(lengths))
        with pytest.raises(Damaged, match="other fields"):
            lead_of(data[:8] + lengths + crc.to_bytes(4, "little") + other)


def test_a_header_without_end_is_refused_before_it_is_read() -> None:
    data = bytearray(encode(HEADER, []))
    data[8:12] = (MAX_HEADER_BYTES + 1).to_bytes(4, "little")
    with pytest.raises(Damaged, match="another format"):
        body_at(data)


@given(keys, keys)
def test_names_differ_as_keys_do(one: Key, other: Key) -> None:
    assert (one.name == other.name) is (one == other)
    assert is_name(one.name)
    assert one.name.startswith(rendering_prefix(one.source, one.rendering))
    assert one.name.startswith(source_prefix(one.source))
    assert one.name.startswith(source_prefix(other.source)) is (one.source == other.source)


def test_parts_do_not_run_into_each_other() -> None:
    names = {
        Key("ab", "c").name,
        Key("a", "bc").name,
        Key("a", "b", "c").name,
        Key("1:a", "b").name,
        Key("", "ab").name,
    }
    assert len(names) == 5
