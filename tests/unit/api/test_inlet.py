"""Bodies as they are read from real connections, on both event loops: whole, whatever comes between their pieces."""

import asyncio
import contextlib
import hashlib
import random
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvloop

from imgserve.api.http.asgi import Receive, Scope, Send, answer
from imgserve.api.http.body import Body, Incoming
from imgserve.api.http.connection import TimedProtocol
from imgserve.api.http.inlet import BUFFER_BYTES
from imgserve.api.http.lingering import Lingering
from imgserve.api.http.server import Server
from imgserve.api.http.slots import Slots
from imgserve.api.http.tls import Certificate
from imgserve.errors import ImgserveError
from imgserve.limiter import Limiter
from imgserve.transfer.fetch import Fetch
from tests.hostile.framings import TE, chunked, counted, request
from tests.support.certificates import Authority

LARGE = 3 * BUFFER_BYTES + 1234
LIMITS = Body(2 * LARGE, 5.0, lowest_bytes=1000)
PATIENCE_S = 20.0


def body_of(seed: int, size_bytes: int = LARGE) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


class Reading:
    """An application that reads each body as ``/v1/render`` does, and answers with its digest or its error."""

    def __init__(self, limits: Body = LIMITS) -> None:
        self.limits = limits
        self.kinds: set[type] = set()
        self.errors: list[str] = []
        self.within_s: float | None = None
        self.is_some_read, self.is_answered = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lingering = Lingering(receive, send)
        incoming = Incoming(lingering.receive, self.limits, scope.get("pour"))

        async def fill(into: Fetch) -> None:
            await into.reserve(None)

            def take(piece: bytes | memoryview) -> None:
                self.kinds.add(type(piece))
                into.write(piece)
                self.is_some_read.set()

            await incoming.into(take)

        fetch = Fetch(Limiter(4 * LARGE), 2 * LARGE)
        with fetch:
            fetch.start(fill)
            try:
                async with asyncio.timeout(self.within_s):
                    said = hashlib.sha256((await fetch.finish()).read()).hexdigest()
            except (ImgserveError, TimeoutError) as error:
                said = type(error).__name__
                self.errors.append(said)
        await answer(lingering.send, 200, (), said.encode())
        self.is_answered.set()


@contextlib.asynccontextmanager
async def serving(reading: Reading, certificate: Certificate | None = None) -> AsyncIterator[tuple[str, int]]:
    server = Server(reading, TimedProtocol, 5.0, certificate, Slots(100, 100))
    with socket.create_server(("127.0.0.1", 0)) as opened:
        task = asyncio.create_task(server.serve([opened]))
        try:
            async with asyncio.timeout(PATIENCE_S):
                yield opened.getsockname()
        finally:
            server.stop()
            await task


async def answer_in(reader: asyncio.StreamReader) -> str:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
    return (await reader.readexactly(int(length.partition(b": ")[2]))).decode()


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as each:
        yield each


def test_bodies_of_one_connection_are_whole(runner: asyncio.Runner) -> None:
    async def ask() -> None:
        reading = Reading()
        bodies = [body_of(1), body_of(2, 10), body_of(3, BUFFER_BYTES), body_of(4)]
        framed = [request(counted(body), body) for body in bodies]
        framed[-1] = request(TE, chunked(bodies[-1]))
        async with serving(reading) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"".join(framed))
            for body in bodies:
                assert await answer_in(reader) == digest(body)
            writer.close()
        assert reading.kinds == {bytes, memoryview}

    runner.run(ask())


def test_by_tls_too(runner: asyncio.Runner, tmp_path: Path) -> None:
    key, mark, certificate = (
        Authority(tmp_path).server_file("localhost").read_text().partition("-----BEGIN CERTIFICATE")
    )
    (tmp_path / "cert.pem").write_text(mark + certificate)
    (tmp_path / "key.pem").write_text(key)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    async def ask() -> None:
        bodies = [body_of(1), body_of(2, 10), body_of(3)]
        secured = Certificate(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
        async with serving(Reading(), secured) as address:
            reader, writer = await asyncio.open_connection(*address, ssl=trusting)
            writer.write(b"".join(request(counted(body), body) for body in bodies))
            for body in bodies:
                assert await answer_in(reader) == digest(body)
            writer.close()

    runner.run(ask())


def test_bodies_of_many_connections_are_not_mixed(runner: asyncio.Runner) -> None:
    """They are read into one buffer, in turns."""

    async def ask() -> None:
        reading = Reading()
        bodies = [body_of(seed) for seed in range(6)]
        async with serving(reading) as address:
            streams = [await asyncio.open_connection(*address) for _ in bodies]
            for at in range(0, LARGE, 50_000):
                for body, (_, writer) in zip(bodies, streams, strict=True):
                    writer.write((b"" if at else request(counted(body))) + body[at : at + 50_000])
                await asyncio.sleep(0)
            for body, (reader, writer) in zip(bodies, streams, strict=True):
                assert await answer_in(reader) == digest(body)
                writer.close()
        assert memoryview in reading.kinds

    runner.run(ask())


def test_a_client_that_hangs_up_is_noticed(runner: asyncio.Runner) -> None:
    async def ask() -> None:
        reading = Reading()
        body = body_of(1)
        async with serving(reading) as address:
            _, writer = await asyncio.open_connection(*address)
            writer.write(request(counted(body)) + body[:-1])
            await reading.is_some_read.wait()
            writer.close()
            await reading.is_answered.wait()
        assert reading.errors == ["BodyCutOff"]

    runner.run(ask())


@pytest.mark.parametrize(
    ("limits", "framing", "error"),
    [
        (Body(LARGE - 1, 5.0), counted(bytes(LARGE)), "BodyTooLarge"),
        (Body(LARGE - 1, 5.0), b"", "BodyTooLarge"),
        (Body(4 * LARGE, 5.0), counted(bytes(2 * LARGE + 1)), "SourceTooLarge"),
    ],
    ids=["by the body's limit", "in chunks", "by the picture's limit"],
)
def test_an_error_of_the_taker_is_the_readers(runner: asyncio.Runner, limits: Body, framing: bytes, error: str) -> None:
    """The answer comes, and the next request of the connection is read."""

    async def ask() -> None:
        reading = Reading(limits)
        body, small = bytes(2 * LARGE + 1 if error == "SourceTooLarge" else LARGE), b"small"
        whole = request(framing, body) if framing else request(TE, chunked(body))
        async with serving(reading) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(whole + request(counted(small), small))
            assert await answer_in(reader) == error
            assert await answer_in(reader) == digest(small)
            writer.close()

    runner.run(ask())


@pytest.mark.parametrize(
    ("limits", "within_s", "error"),
    [
        (Body(2 * LARGE, 0.05), None, "BodyTooSlow"),
        (Body(2 * LARGE, 0.05, lowest_bytes=LARGE), None, "BodyTooSlow"),
        (Body(2 * LARGE, 5.0, lowest_bytes=1000, at_most_s=0.05), None, "BodyTooSlow"),
        (LIMITS, 0.05, "TimeoutError"),
    ],
    ids=["in all", "a lowest speed", "at most", "given up"],
)
def test_a_body_that_stops_is_waited_for_so_long(
    runner: asyncio.Runner, limits: Body, within_s: float | None, error: str
) -> None:
    """The rest that comes later is dropped, and the next request is read."""

    async def ask() -> None:
        reading = Reading(limits)
        reading.within_s = within_s
        body, small = body_of(1), b"small"
        async with serving(reading) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(request(counted(body)) + body[:-BUFFER_BYTES])
            assert await answer_in(reader) == error
            writer.write(body[-BUFFER_BYTES:] + request(counted(small), small))
            assert await answer_in(reader) == digest(small)
            writer.close()

    runner.run(ask())


def test_a_client_that_waits_to_be_told_sends_its_body_then(runner: asyncio.Runner) -> None:
    async def ask() -> None:
        body = body_of(1)
        async with serving(Reading()) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(request(counted(body) + b"Expect: 100-continue\r\n"))
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(body)
            assert await answer_in(reader) == digest(body)
            writer.close()

    runner.run(ask())
