"""multipart/form-data in pieces of any size, whole and broken."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgserve.api.http.body import Body, Incoming
from imgserve.api.http.parts import BodyInvalid, Parts

BOUNDARY = "a-boundary"
PARTS = [("job", b'{"a": 1}'), ("photo", bytes(range(256)) * 3 + b"\r\n--a-bound\r\n--"), ("empty", b"")]


def form(parts: list[tuple[str, bytes]], end: bytes = b"--\r\n") -> bytes:
    pieces = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + data for name, data in parts
    ]
    return b"\r\n".join([*pieces, f"--{BOUNDARY}".encode() + end])


def parts_of(chunks: list[bytes], boundary: str = BOUNDARY) -> Parts:
    waiting = list(chunks)

    async def receive() -> dict[str, Any]:
        chunk = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

    return Parts(Incoming(receive, Body(10_000_000, 5.0)), boundary)


async def read(parts: Parts) -> list[tuple[str, bytes]]:
    found = []
    while (name := await parts.begin()) is not None:
        pieces = []
        while piece := await parts.chunk():
            pieces.append(piece)
        found.append((name, b"".join(pieces)))
    return found


@given(st.lists(st.integers(1, 900), max_size=12))
def test_a_form_in_pieces_of_any_size(cuts: list[int]) -> None:
    body, chunks = form(PARTS), []
    for cut in cuts:
        chunks.append(body[:cut])
        body = body[cut:]
    assert asyncio.run(read(parts_of([*chunks, body]))) == PARTS


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Unexpected end"),
        (b"words", "Unexpected end"),
        (form(PARTS, b""), "Unexpected end"),
        (form(PARTS)[:60], "Unexpected end"),
        (form(PARTS).replace(b"form-data", b"attachment"), "Wrong type"),
        (form(PARTS).replace(b"Content-Disposition", b"X"), "Missing"),
        (form([(str(number), b"") for number in range(40)]), "segment"),
        (form([("a" * 5000, b"")]), "header"),
    ],
)
async def test_what_is_no_form(body: bytes, reason: str) -> None:
    with pytest.raises(BodyInvalid, match=reason) as invalid:
        await read(parts_of([body]))
    assert len(invalid.value.detail) < 200, "nothing of the body is repeated"


@pytest.mark.parametrize("boundary", ["", "a\nb"])
async def test_what_is_no_boundary(boundary: str) -> None:
    with pytest.raises(BodyInvalid):
        parts_of([], boundary)
