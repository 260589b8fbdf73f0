"""Clients that hang up while a handler works for them, on real connections."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from imgserve.api.http.asgi import Receive, Scope, Send, answer
from imgserve.api.http.connection import TimedProtocol
from imgserve.api.http.hangup import ClientGone, while_connected
from imgserve.api.http.server import Server

ASK = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE_S = 20.0


class Working:
    """Works for ``/slow`` until its client has gone, for ``/late`` after that, and for ``/quick`` not at all."""

    def __init__(self) -> None:
        self.is_begun, self.is_over = asyncio.Event(), asyncio.Event()
        self.ended: list[str] = []

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.is_begun.set()
        if path == "/late":
            is_gone = asyncio.Event()
            scope["on_gone"](is_gone.set)
            await is_gone.wait()
        try:
            async with while_connected(scope["on_gone"]):
                if path != "/quick":
                    await asyncio.Event().wait()
        except ClientGone:
            self.ended.append(path)
            self.is_over.set()
            return
        await answer(send, 200, (), b"done")


@contextlib.asynccontextmanager
async def connected(working: Working) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    server = Server(working, TimedProtocol, 5.0)
    with socket.create_server(("127.0.0.1", 0)) as opened:
        task = asyncio.create_task(server.serve([opened]))
        try:
            async with asyncio.timeout(PATIENCE_S):
                yield await asyncio.open_connection(*opened.getsockname())
        finally:
            server.stop()
            await task


async def test_the_work_ends() -> None:
    working = Working()
    async with connected(working) as (_, writer):
        writer.write(ASK % b"slow")
        await working.is_begun.wait()
        writer.close()
        await working.is_over.wait()
    assert working.ended == ["/slow"]


async def test_it_ends_too_if_the_client_has_gone_before() -> None:
    working = Working()
    async with connected(working) as (_, writer):
        writer.write(ASK % b"late")
        await working.is_begun.wait()
        writer.transport.abort()
        await working.is_over.wait()
    assert working.ended == ["/late"]


async def test_an_answer_that_was_sent_is_not_ended_afterwards() -> None:
    working = Working()
    async with connected(working) as (reader, writer):
        writer.write(ASK % b"quick")
        assert (await reader.readuntil(b"done")).startswith(b"HTTP/1.1 200 ")
        working.is_begun.clear()
        writer.write(ASK % b"slow")
        await working.is_begun.wait()
        writer.close()
        await working.is_over.wait()
    assert working.ended == ["/slow"]
