"""Answers before the whole body has come reach the client: the rest is read and dropped for a while (lingering close).

The kernel resets a connection that is closed with unread bytes, and a reset drops the answer that is on its way
(RFC 9112, 9.6). In: the ASGI calls of one request. Called by ``entrance``.
"""

import asyncio
import contextlib
from typing import Any

from imgserve.api.http.asgi import Receive, Scope, Send

# Enough for the rest of a job, and for a client to see the answer while it sends more.
MOST_BYTES = 1_000_000
AT_MOST_S = 2.0


class Lingering:
    """The ``receive`` and ``send`` of a request that has a body."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._is_read = False
        self._is_last = False  # of the connection, by our own answer

    async def receive(self) -> dict[str, Any]:
        message = await self._receive()
        self._is_read = self._is_read or message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._is_last = (b"connection", b"close") in message["headers"]
        elif self._is_last and not self._is_read and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._drop_rest()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _drop_rest(self) -> None:
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AT_MOST_S):
                while not self._is_read and size < MOST_BYTES:
                    size += len((await self.receive()).get("body", b""))


def has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )
