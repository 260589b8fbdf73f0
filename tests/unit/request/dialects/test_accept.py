"""Accept and client hints: tables, and headers made to be expensive or to mislead."""

import pytest

from imgserve.request.dialects import accept
from imgserve.request.dialects.dialect import Header, Negotiable
from imgserve.request.encode import Format

BOTH: tuple[Format, ...] = ("avif", "webp")
WEBP: tuple[Format, ...] = ("webp",)
OTHERS: tuple[Format, ...] = ("png", "gif")
CHROME = b"image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
SAFARI = b"image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,*/*;q=0.5"


@pytest.mark.parametrize(
    ("values", "formats"),
    [
        ((CHROME,), {"avif", "webp"}),
        ((SAFARI,), {"avif", "webp"}),
        ((b"image/webp",), {"webp"}),
        ((b"IMAGE/WebP ; Q=0.5",), {"webp"}),
        ((b"image/avif;q=0.001",), {"avif"}),
        ((b"image/avif;q=1.000, image/webp;q=1.",), {"avif", "webp"}),
        ((b"\timage/avif\t;\tq=1\t,,  ,image/webp",), {"avif", "webp"}),
        ((b"image/png", b"image/webp"), {"webp"}),
        # What proves nothing.
        ((), set()), ((b"",), set()), ((b"*/*",), set()), ((b"image/*",), set()), ((b"image/jpeg,image/png",), set()),
        ((b"image/*;q=1, */*;q=1",), set()),
        ((b"image/webpx, ximage/webp, image/web, application/image/webp",), set()),
        # What refuses.
        ((b"image/avif;q=0",), set()), ((b"image/avif;q=0.000,image/*",), set()),
        ((b"image/avif;q=0,image/avif",), set()), ((b"image/avif, image/avif;q=0",), set()),
        ((b"image/avif;q=0, image/webp",), {"webp"}),
        # What is not of the grammar is passed over.
        ((b"image/avif;q=2",), set()), ((b"image/avif;q=",), set()), ((b"image/avif;q=0.0001",), set()),
        ((b"image/avif;q=-1",), set()), ((b"image/avif;q=1e0",), set()), ((b"image/avif;q= 1",), set()),
        ((b";q=1, image/webp",), {"webp"}), ((b";, ; ;, image/webp; ;q=1",), {"webp"}), ((b";",), set()),
        # Parameters of its own name a part of the format only; what follows the weight is no parameter.
        ((b"image/avif;level=1",), set()), ((b"image/avif;level=1;q=0, image/avif",), {"avif"}),
        ((b"image/webp;q=1;level=1",), {"webp"}), ((b"image/webp;",), {"webp"}),
        # A quoted text hides its commas and semicolons.
        ((b'text/html;x=",image/avif,", image/webp',), {"webp"}),
        ((b'text/html;x="\\",image/avif", image/webp',), {"webp"}),
        ((b'text/html;x=";q=0,image/avif',), set()),
        ((b'text/html;x="\\', b"image/avif"), set()),
        ((b"image/avif\xff, image/webp",), {"webp"}),
    ],
)  # fmt: skip
def test_accepted_formats(values: tuple[bytes, ...], formats: set[Format]) -> None:
    assert accept.accepted(values, BOTH) == formats


def test_only_offered_formats_reach_the_cache() -> None:
    assert accept.accepted((CHROME,), WEBP) == {"webp"}
    assert accept.accepted((CHROME,), ()) == frozenset()
    assert accept.accepted((b"image/png, image/gif",), OTHERS) == frozenset()


def test_a_header_that_is_cut_proves_no_half_range() -> None:
    """``image/webp;q=0`` must not become ``image/webp``, wherever the limit is."""
    for length in range(4_060, 4_100):
        header = b"image/avif," + b"a" * (length - 11) + b",image/webp;q=0"
        assert accept.accepted((header,), BOTH) == {"avif"}
    assert accept.accepted((b"image/png," * 63 + b"image/webp",), BOTH) == {"webp"}
    assert accept.accepted((b"image/png," * 64 + b"image/webp",), BOTH) == frozenset()


@pytest.mark.parametrize("piece", [b'"', b'\\"', b";", b",", b'"\\', b";q=", b'a="', b'","', b" "])
def test_long_headers_are_read_in_bounded_work(piece: bytes) -> None:
    """Of a megabyte only the beginning counts: the answer is that of the beginning."""
    begin = b"image/avif," + piece * 2_000
    assert accept.accepted((begin + piece * 500_000,), BOTH) <= {"avif"}
    assert len(list(accept.ranges((begin + piece * 500_000,)))) <= 64


DPR: list[tuple[list[Header], float | None]] = [
    ([(b"dpr", b"2")], 2.0), ([(b"sec-ch-dpr", b"2.0")], 2.0), ([(b"dpr", b"1.100000023841858")], 1.1),
    ([(b"dpr", b" 3 ")], 3.0), ([(b"dpr", b"8")], 8.0), ([(b"dpr", b"8.0")], 8.0), ([(b"dpr", b"0.25")], 0.25),
    ([(b"dpr", b"1"), (b"sec-ch-dpr", b"2")], 2.0), ([(b"dpr", b"3"), (b"sec-ch-dpr", b"x")], 3.0),
    ([], None), ([(b"dpr", b"")], None), ([(b"dpr", b"0")], None), ([(b"dpr", b"8.001")], None),
    ([(b"dpr", b"8.0004")], 8.0), ([(b"dpr", b"100")], None), ([(b"dpr", b"-1")], None), ([(b"dpr", b"1e0")], None),
    ([(b"dpr", b"nan")], None), ([(b"dpr", b"inf")], None), ([(b"dpr", b"2, 3")], None), ([(b"dpr", b"+2")], None),
    ([(b"dpr", b"2"), (b"dpr", b"2")], None), ([(b"dpr", b"1" * 5_000)], None), ([(b"dpr", b".5")], None),
    ([(b"dpr", b"0.0" + b"0" * 5_000)], None), ([(b"dpr", "\u0662".encode())], None), ([(b"dpr", b"1_0")], None),
    ([(b"width", b"2")], None),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "number"), DPR)
def test_dpr(headers: list[Header], number: float | None) -> None:
    assert accept.dpr(headers) == number


@pytest.mark.parametrize(
    ("headers", "number"),
    [
        ([(b"width", b"640")], 640), ([(b"sec-ch-width", b"1")], 1), ([(b"width", b"65535")], 65_535),
        ([(b"sec-ch-width", b"300"), (b"width", b"200")], 300), ([(b"width", b"0640")], 640),
        ([(b"width", b"0")], None), ([(b"width", b"65536")], None), ([(b"width", b"640.5")], None),
        ([(b"width", b"-640")], None), ([(b"width", b"9" * 5_000)], None), ([(b"viewport-width", b"640")], None),
    ],
)  # fmt: skip
def test_width(headers: list[Header], number: int | None) -> None:
    assert accept.width_px(headers) == number


def test_negotiable() -> None:
    headers = [(b"accept", b"image/png"), (b"dpr", b"2"), (b"width", b"300"), (b"accept", CHROME)]
    assert accept.negotiable(headers, BOTH, takes_hints=True) == Negotiable(frozenset(BOTH), 2.0, 300)
    assert accept.negotiable(iter(headers), BOTH, takes_hints=False) == Negotiable(frozenset(BOTH))
    assert accept.negotiable(headers, (), takes_hints=True) == Negotiable(frozenset(), 2.0, 300)
