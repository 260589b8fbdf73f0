"""Clients that do not read their answers: their connections end, and those of slow ones do not."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from imgserve.api.http import unread
from imgserve.api.http.asgi import Receive, Scope, Send, answer
from imgserve.api.http.connection import TimedProtocol
from imgserve.api.http.server import Server
from imgserve.api.http.slots import Slots
from imgserve.api.http.tls import Certificate
from tests.hostile.framings import request
from tests.support.certificates import Authority
from tests.unit.api.test_inlet import PATIENCE_S

WITHIN_S = 0.3
GET = request(b"", b"", b"GET /answer HTTP/1.1")
# Of the buffers of both ends, which the kernel makes somewhat larger.
BUFFER_BYTES = 4_096


async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(8):
        await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def small(_scope: Scope, _receive: Receive, send: Send) -> None:
    await answer(send, 200, (), bytes(40_000))


async def last(_scope: Scope, _receive: Receive, send: Send) -> None:
    await answer(send, 200, ((b"connection", b"close"),), bytes(40_000))


async def unwatched(scope: Scope, receive: Receive, send: Send) -> None:
    scope["unwatched"]()
    await large(scope, receive, send)


@contextlib.asynccontextmanager
async def serving(
    app: Callable[..., object], certificate: Certificate | None = None
) -> AsyncIterator[tuple[Server, socket.socket]]:
    server = Server(app, TimedProtocol, 5.0, certificate, Slots(9, 9))  # type: ignore[arg-type]
    server.config.timeout_keep_alive = 0  # in whole seconds
    with socket.create_server(("127.0.0.1", 0)) as opened, socket.socket() as client:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        client.setblocking(False)
        task = asyncio.create_task(server.serve([opened]))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.get_running_loop().sock_connect(client, opened.getsockname())
                yield server, client
        finally:
            server.stop()
            await task


async def until(happened: Callable[[], bool]) -> None:
    while not happened():  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Runner]:
    monkeypatch.setattr(unread, "WITHIN_S", WITHIN_S)
    with asyncio.Runner(loop_factory=request.param) as each:
        yield each


@pytest.mark.parametrize(
    ("app", "text"),
    [(large, GET), (small, GET), (small, 9 * GET), (last, GET)],
    ids=["large", "idle", "sent ahead", "closed"],
)
def test_a_client_that_reads_nothing_is_hung_up_on(
    runner: asyncio.Runner, app: Callable[..., object], text: bytes
) -> None:
    async def ask() -> None:
        async with serving(app) as (server, client):
            await asyncio.get_running_loop().sock_sendall(client, text)
            await until(lambda: bool(server.server_state.connections))
            await until(lambda: not server.server_state.connections)

    runner.run(ask())


@pytest.mark.parametrize("app", [large, last, unwatched])
def test_a_slow_client_gets_all(runner: asyncio.Runner, app: Callable[..., object]) -> None:
    """It reads more than must be read within the time."""

    async def ask() -> None:
        async with serving(app) as (_, client):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, GET)
            size = 0
            while data := await loop.sock_recv(client, unread.LEAST_BYTES):
                size += len(data)
                if size < 100_000:
                    await asyncio.sleep(WITHIN_S / 20)
            assert size > (40_000 if app is last else 800_000)

    runner.run(ask())


def test_a_slow_client_does_not_get_all_whatever_the_time(
    runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def whole(_scope: Scope, _receive: Receive, send: Send) -> None:
        await answer(send, 200, (), bytes(5_000_000))

    async def ask() -> None:
        async with serving(whole) as (server, client):
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, GET)
            size = 0
            with contextlib.suppress(ConnectionError):
                while data := await loop.sock_recv(client, unread.LEAST_BYTES):
                    size += len(data)
                    await asyncio.sleep(WITHIN_S / 20)
            assert size < 5_000_000
            await until(lambda: not server.server_state.connections)

    monkeypatch.setattr(unread, "AT_MOST_S", 2 * WITHIN_S)
    runner.run(ask())


def test_an_answer_with_limits_of_its_own_may_wait(runner: asyncio.Runner) -> None:
    async def ask() -> None:
        async with serving(unwatched) as (server, client):
            await asyncio.get_running_loop().sock_sendall(client, GET)
            await asyncio.sleep(4 * WITHIN_S)
            assert server.server_state.connections

    runner.run(ask())


@pytest.mark.parametrize("app", [large, small])
def test_nor_is_one_that_came_by_tls(runner: asyncio.Runner, app: Callable[..., object], tmp_path: Path) -> None:
    key, mark, text = Authority(tmp_path).server_file("localhost").read_text().partition("-----BEGIN CERTIFICATE")
    (tmp_path / "cert.pem").write_text(mark + text)
    (tmp_path / "key.pem").write_text(key)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    async def ask() -> None:
        certificate = Certificate(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
        async with serving(app, certificate) as (server, client):
            _, writer = await asyncio.open_connection(sock=client, ssl=trusting, server_hostname="localhost")
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(9 * GET)
            await until(lambda: bool(server.server_state.connections))
            await until(lambda: not server.server_state.connections)
            writer.transport.abort()

    runner.run(ask())
