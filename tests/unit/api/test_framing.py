"""Requests however their packets fall: they are read as the same, and httptools agrees on where each one ends."""

import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.api.http.framing import MAX_CHUNKS, Framing, Piece
from imgserve.api.http.request_head import Head, RequestRefused
from tests.hostile.framings import TE, chunked, counted, framings, request
from tests.hostile.framings import Framing as Case

SMUGGLED = request(counted(b"{}"), b"{}")
CASES = framings(SMUGGLED)


class Request(NamedTuple):
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Reader:
    """The requests that httptools reads if it is given the bodies too, and the status that ends the connection."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.status = 0
        self._is_between, self._is_chunked = True, False
        self._parser = httptools.HttpRequestParser(self)
        self._framing = Framing()

    def read(self, data: bytes) -> None:
        try:
            for piece in () if self.status else self._framing.split(data):
                for part in self._parts(piece):
                    self._parser.feed_data(part)
                assert self._is_between == self._framing.is_between_requests
        except RequestRefused as error:
            self.status = error.status
        except httptools.HttpParserError:  # an unknown method
            self.status = 400

    def _parts(self, piece: Piece) -> Iterator[bytes]:
        if isinstance(piece, Head):
            self._is_chunked = piece.body_bytes is None
            lines = [name + b": " + value + b"\r\n" for name, value in piece.body_fields]
            yield b"".join((piece.text.removesuffix(b"\r\n"), *lines, b"\r\n"))
        elif not self._is_chunked:
            yield piece
        else:
            yield b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
            yield b"0\r\n\r\n" if self._framing.is_between_requests else b""

    def on_message_begin(self) -> None:
        self._is_between = False
        self._target, self._body, self._headers = b"", b"", list[tuple[bytes, bytes]]()

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._is_between = True
        self.requests.append(Request(self._target, tuple(self._headers), self._body))


def read(*packets: bytes) -> Reader:
    reader = Reader()
    for packet in packets:
        reader.read(packet)
    return reader


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CASES), st.lists(st.integers(1, 400), max_size=6))
def test_packets_change_nothing(case: Case, cuts: list[int]) -> None:
    whole = b"".join(case.parts) + SMUGGLED
    at = [0, *sorted(cut % len(whole) for cut in cuts), len(whole)]
    apart = read(*(whole[a:b] for a, b in pairwise(at)))
    together = read(whole)
    assert apart.status == together.status
    assert apart.requests == together.requests


@pytest.mark.parametrize("case", [case for case in CASES if case.goes_on], ids=lambda case: case.name)
def test_what_is_let_through(case: Case) -> None:
    reader = read(*case.parts, SMUGGLED)
    assert (len(reader.requests), reader.status) == (2, 0)
    assert reader.requests[1].body == b"{}"
    for seen in reader.requests:
        names = [name for name, _ in seen.headers]
        assert names.count(b"host") == 1
        assert b"upgrade" not in names
        assert seen.target in (b"/", b"/health")


def test_a_body_is_what_was_sent() -> None:
    body = bytes(range(256)) * 40
    for whole in (request(counted(body), body), request(TE, chunked(body)), request(TE, chunked(body, b"X: y\r\n"))):
        assert read(whole).requests[0].body == body
        assert read(*(whole[at : at + 7] for at in range(0, len(whole), 7))).requests[0].body == body


@pytest.mark.parametrize(
    "packets",
    [
        [b"G" + b"x" * 63_999, *[b"x"] * 2000],
        [b"GET / HTTP/1.1\r\nX: ", *[b"x"] * 60_000],
        [request(TE), *[b"1\r\nx\r\n"] * MAX_CHUNKS],
        [request(TE) + b"1\r\nx\r\n" * MAX_CHUNKS],
        [b"\r\n" * 100_000],
        [request(TE) + b"0\r\n" + b"X: y\r\n" * 10_000],
        [SMUGGLED * 3000],
    ],
    ids=["a line", "a header by bytes", "chunks", "chunks at once", "blank lines", "trailers", "requests"],
)
def test_odd_requests_cost_little(packets: list[bytes]) -> None:
    """None of it grows with its square: what costs 0.5 s here would cost a minute."""
    began = time.process_time()
    read(*packets)
    assert time.process_time() - began < 3


def test_a_body_that_is_skipped_ends_where_it_would() -> None:
    framing = Framing()
    head, piece = framing.split(request(counted(bytes(10))) + bytes(4))
    assert isinstance(head, Head)
    assert (piece, head.body_fields) == (bytes(4), [(b"content-length", b"10")])
    framing.skip(5)
    assert (framing.left_bytes, framing.is_between_requests) == (1, False)
    framing.skip(1)
    assert framing.is_between_requests
    assert len(list(framing.split(SMUGGLED))) == 2


def test_httptools_is_told_of_no_body() -> None:
    for whole in (request(counted(b"ab"), b"ab"), request(TE, chunked(b"ab"))):
        head = next(Framing().split(whole))
        assert isinstance(head, Head)
        assert b"length" not in head.text.lower()
        assert b"chunked" not in head.text.lower()


def test_more_chunks_than_a_job_has_are_refused() -> None:
    assert read(request(TE) + b"1\r\nx\r\n" * (MAX_CHUNKS + 1)).status == 400


def test_no_connection_keeps_what_was_read() -> None:
    whole = request(counted(bytes(100_000)), bytes(100_000))
    before, framing = sys.getrefcount(whole), Framing()
    pieces = list(framing.split(whole))
    assert sys.getrefcount(whole) == before
    assert list(framing.split(whole[:50])) == [], "half of a header is kept"
    assert list(framing.split(whole[50:])) == pieces
