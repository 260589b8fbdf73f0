"""Requests that a client sends ahead: they are answered in their order, and cost little memory before their turn."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import uvloop

from imgserve.api.http.asgi import Receive, Scope, Send, answer
from imgserve.api.http.body import read, until_gone
from imgserve.api.http.connection import Quick, TimedProtocol
from imgserve.api.http.inlet import BUFFER_BYTES
from imgserve.api.http.server import Server
from tests.hostile.framings import TE, chunked, counted, request
from tests.unit.api.test_inlet import LIMITS, PATIENCE_S, answer_in, body_of, digest

AHEAD = 2_000


class Watched(TimedProtocol):
    most_waiting = 0

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        Watched.most_waiting = max(Watched.most_waiting, len(self.pipeline))


class App:
    """Answers with the digest of the body, but not before ``may_answer``; ``/stream`` without an end."""

    def __init__(self) -> None:
        self.may_answer, self.is_asked, self.is_gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read(receive, LIMITS)
        self.is_asked.set()
        if scope["path"] == "/stream":
            await self.stream(receive, send)
            return
        await self.may_answer.wait()
        await answer(send, 200, (), digest(body).encode())

    async def stream(self, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(until_gone(receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not gone.done():
            await send({"type": "http.response.body", "body": b"piece", "more_body": True})
            await asyncio.sleep(0.001)
        self.is_gone.set()


@contextlib.asynccontextmanager
async def connected(
    app: App, quick: Quick | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    server = Server(app, Watched, 5.0, quick=quick)
    with socket.create_server(("127.0.0.1", 0)) as opened:
        task = asyncio.create_task(server.serve([opened]))
        try:
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_connection(*opened.getsockname())
                yield reader, writer
                writer.close()
        finally:
            server.stop()
            await task


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as each:
        yield each


def test_one_request_at_most_waits_for_another(runner: asyncio.Runner) -> None:
    """Each would take some kilobytes, and each answer would let more of them in."""

    async def ask() -> None:
        app, Watched.most_waiting = App(), 0
        bodies = [b"%d" % number for number in range(AHEAD)]
        bodies[7], bodies[8] = body_of(7, BUFFER_BYTES + 5), b""
        framed = [request(counted(body), body) for body in bodies]
        framed[9] = request(TE, chunked(bodies[9]))
        async with connected(app) as (reader, writer):
            writer.write(b"".join(framed))
            await app.is_asked.wait()
            app.may_answer.set()
            for body in bodies:
                assert await answer_in(reader) == digest(body)
        assert Watched.most_waiting == 1

    runner.run(ask())


def test_what_is_no_request_is_refused_in_its_turn(runner: asyncio.Runner) -> None:
    async def ask() -> None:
        app = App()
        async with connected(app) as (reader, writer):
            writer.write(request(counted(b"1"), b"1") + request(TE, b"no chunk\r\n"))
            await app.is_asked.wait()
            app.may_answer.set()
            assert await answer_in(reader) == digest(b"1")
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")

    runner.run(ask())


@pytest.mark.parametrize(
    "last", [request(b"", b"", b"GET /hot HTTP/1.1"), b"no request\r\n\r\n"], ids=["hot", "refused"]
)
def test_an_answer_at_once_does_not_overtake_one_without_a_body(runner: asyncio.Runner, last: bytes) -> None:
    def quick(url: bytes, _: list[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
        return (b"content-length: 0\r\nis: last\r\n", b"") if url == b"/hot" else None

    async def ask() -> None:
        app = App()
        async with connected(app, quick) as (reader, writer):
            writer.write(request(b"") + request(b"", b"", b"HEAD / HTTP/1.1") + last)
            await app.is_asked.wait()
            app.may_answer.set()
            assert await answer_in(reader) == digest(b"")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"content-length: 64\r\n" in head
            head = await reader.readuntil(b"\r\n\r\n")
            assert (b"is: last" in head) is (last.startswith(b"GET"))
            assert (b" 400 " in head) is not (b"is: last" in head)

    runner.run(ask())


def test_a_stream_ends_whose_client_has_sent_ahead_and_gone(runner: asyncio.Runner) -> None:
    async def ask() -> None:
        app = App()
        async with connected(app) as (reader, writer):
            writer.write(request(b"", b"", b"GET /stream HTTP/1.1") + 2 * request(b""))
            await reader.readuntil(b"piece")
            writer.transport.abort()
            await app.is_gone.wait()

    runner.run(ask())
