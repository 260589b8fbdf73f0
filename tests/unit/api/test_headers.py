"""The strict headers are on what the HTTP server answers by itself too, when an application has failed it."""

import asyncio
import socket

import pytest

from imgserve.api import problems
from imgserve.api.auth import operator
from imgserve.api.config import Config
from imgserve.api.entrance import Entrance
from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.api.http.connection import TimedProtocol
from imgserve.api.http.headers import STRICT
from imgserve.api.http.server import Server
from imgserve.api.protected import NotAuthorised
from imgserve.api.routes import Right, Routes, table
from imgserve.errors import ImgserveError
from imgserve.request.principal import Principal


async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise LookupError("a bug")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "500"),
        (b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"),
        (b"GET / HTTP/1.1\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 70_000, "431"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501"),
    ],
)
async def test_answers_without_a_handler_have_them(request_bytes: bytes, status: str) -> None:
    answer = await answered(Entrance(Routes(table(Config())), operator, broken, problems.deny), request_bytes)
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert "\r\ndate: " in answer
    assert_strict(answer)


async def test_a_refusal_that_fails_has_them() -> None:
    def nobody(_right: Right, _scope: Scope) -> Principal:
        raise NotAuthorised("nobody is known")

    async def deny(_error: ImgserveError, _scope: Scope, _send: Send) -> None:
        raise LookupError("a bug")

    entrance = Entrance(Routes(table(Config())), nobody, broken, deny)
    answer = await answered(entrance, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith("HTTP/1.1 500 ")
    assert_strict(answer)


async def answered(entrance: Entrance, request_bytes: bytes) -> str:
    server = Server(entrance, TimedProtocol, 5.0)
    with socket.create_server(("127.0.0.1", 0)) as opened:
        serving = asyncio.create_task(server.serve([opened]))
        reader, writer = await asyncio.open_connection(*opened.getsockname())
        writer.write(request_bytes)
        answer = (await reader.read()).decode()
        writer.close()
        server.stop()
        await serving
    return answer


def assert_strict(answer: str) -> None:
    assert b"cache-control" in dict(STRICT)
    for name, value in STRICT:
        assert answer.count(f"\r\n{name.decode()}: {value.decode()}\r\n") == 1
