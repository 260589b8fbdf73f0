"""The fixed headers are on what the HTTP server answers by itself too, when an application has failed it."""

import asyncio
import socket
from functools import partial

import uvicorn

from imgserve.api.auth import Receive, Scope, Send
from imgserve.api.http.connection import Server, TimedProtocol
from imgserve.api.http.headers import fixed


async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise LookupError("a bug")


async def test_a_500_of_the_server_itself_has_them() -> None:
    config = uvicorn.Config(
        broken,
        http=partial(TimedProtocol, header_timeout_s=5.0),  # type: ignore[arg-type]
        lifespan="off",
        log_config=None,
        headers=fixed(),
    )
    server = Server(config, None, 5.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = (await reader.read()).decode()
        writer.close()
        server.should_exit = True
        await serving
    assert answer.startswith("HTTP/1.1 500 ")
    assert "cache-control" in dict(fixed())
    for name, value in fixed():
        assert f"\r\n{name}: {value}\r\n" in answer
