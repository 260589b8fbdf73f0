"""What /v1/render makes of the Accept header. The usual ones are in ``service/test_on_demand.py``.

``request/dialects/test_accept.py`` has the table of the one reader, and its limits.
"""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.api.negotiate import ANY, read_accept
from imgserve.request.dialects.accept import accepted
from imgserve.request.encode import Format

BOTH: tuple[Format, ...] = ("avif", "webp")


def test_so_many_ranges_are_read() -> None:
    others = [b"image/x%d" % number for number in range(63)]
    assert read_accept([b",".join([*others, b"image/png;q=0.5"])]).named == {"png": 0.5}
    assert read_accept([*others, b"image/png"]).named == {"png": 1.0}
    assert read_accept([b",".join([*others, b"image/gif", b"image/png"])]).named == {"gif": 1.0}
    assert read_accept([*others, b"image/gif", b"image/png"]).named == {"gif": 1.0}


def test_what_a_cut_header_has_lost_is_not_guessed() -> None:
    begin = b"image/gif," + b"a" * 4_072
    assert read_accept([begin + b",image/png;q=0.5"]).named == {"gif": 1.0}
    assert read_accept([b"image/png" + b";" * 60_000]).named == {}


@pytest.mark.parametrize(
    ("text", "named", "is_open"),
    [
        (b"image/png;q=0.5, image/png", {"png": 0.5}, False), (b"image/png, image/png;q=0", {"png": 0.0}, False),
        (b"image/jpeg;q=0, image/jpg", {"jpeg": 0.0}, False), (b"image/png;level=1", {}, False),
        (b"image/png;q=2", {}, False), (b"image/png;q=2, */*", {}, True),
        (b"image/png;q=-1, image/gif", {"gif": 1.0}, False),
        (b'text/html;x=",image/png,"', {}, False), (b'text/html;x=",*/*,"', {}, False), (b"*/*;q=0", {}, False),
        (b"image/*;q=0, */*;q=0.1", {}, True), (b";q=1", {}, False), (b"IMAGE/PNG;Q=0.5", {"png": 0.5}, False),
    ],
)  # fmt: skip
def test_named_and_open(text: bytes, named: dict[Format, float], is_open: bool) -> None:
    accept = read_accept([text])
    assert (accept.named, accept.is_open) == (named, is_open)


@pytest.mark.parametrize("values", [(), (b"",), (b" , ,\t", b"")])
def test_without_a_header_any_picture_will_do(values: tuple[bytes, ...]) -> None:
    assert read_accept(values) == ANY


_TYPES = ("image/avif", "IMAGE/WebP", "image/*", "*/*", "image/png", "", '"', 'a/b;x=","')
_WEIGHTS = ("", ";q=0", ";q=0.3", "; Q=1.000", ";q=2", ";q=", ";x=y", ';x=";q=0"', ";;q=0.1;y")
_PIECES = tuple(kind + weight for kind, weight in product(_TYPES, _WEIGHTS))


@given(st.lists(st.lists(st.sampled_from(_PIECES), max_size=6).map(",".join), max_size=3))
def test_gets_and_renders_read_the_same(texts: list[str]) -> None:
    values = [text.encode() for text in texts]
    named = read_accept(values).named
    assert accepted(values, BOTH) == {name for name in BOTH if named.get(name, 0) > 0}
