"""The rest of a body is read and dropped before the connection closes."""

import asyncio
from typing import Any

import pytest

from imgserve.api.http import lingering
from imgserve.api.http.asgi import answer
from imgserve.api.http.lingering import Lingering, has_body
from tests.support.sizes import FOREVER_S, PATIENCE_S

CLOSE = ((b"connection", b"close"),)


class Connection:
    """Of a client that has sent these chunks of a body which goes on."""

    def __init__(self, *chunks: bytes, is_whole: bool = False, hangs_up: bool = False) -> None:
        self.left = list(chunks)
        self.sent: list[dict[str, Any]] = []
        self._is_whole = is_whole
        self._hangs_up = hangs_up

    async def receive(self) -> dict[str, Any]:
        if self.left:
            body = self.left.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(self.left) or not self._is_whole}
        if not self._hangs_up:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append({**message, "left": len(self.left)})

    async def refuse(self, headers: tuple[tuple[bytes, bytes], ...] = CLOSE) -> list[dict[str, Any]]:
        request = Lingering(self.receive, self.send)
        await request.receive()
        await answer(request.send, 413, headers, b"no")
        return self.sent


async def test_the_answer_goes_first_and_the_end_once_the_rest_has_come() -> None:
    start, body, end = await Connection(b"a", b"b", b"c", is_whole=True).refuse()
    assert (start["status"], start["left"]) == (413, 2)
    assert (body["body"], body["more_body"], body["left"]) == (b"no", True, 2)
    assert (end["body"], end.get("more_body", False), end["left"]) == (b"", False, 0)


async def test_so_many_bytes_are_read() -> None:
    *_, end = await Connection(*[bytes(65_536)] * 40).refuse()
    assert end["left"] == 39 - 16


async def test_a_client_that_has_gone_or_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "AT_MOST_S", FOREVER_S)
    async with asyncio.timeout(PATIENCE_S):
        *_, end = await Connection(b"a", hangs_up=True).refuse()
    assert end["body"] == b""
    monkeypatch.setattr(lingering, "AT_MOST_S", 0.01)
    *_, end = await Connection(b"a").refuse()
    assert end["body"] == b""


async def test_other_answers_wait_for_nothing() -> None:
    assert len(await Connection(b"a", b"b").refuse(headers=())) == 2, "the connection stays open"
    assert len(await Connection(b"a", is_whole=True).refuse()) == 2, "the body has been read"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], False),
        ([(b"content-length", b"0")], False),
        ([(b"content-length", b"9")], True),
        ([(b"transfer-encoding", b"chunked")], True),
    ],
)
def test_requests_with_a_body(headers: list[tuple[bytes, bytes]], expected: bool) -> None:
    assert has_body({"headers": headers}) is expected
