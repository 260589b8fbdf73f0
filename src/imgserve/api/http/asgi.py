"""The shapes of ASGI 3, and what all applications here do with them."""

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
NO_CONTENT = 204
Headers = tuple[tuple[bytes, bytes], ...]
_ID_BYTES = 12
_IDS_AT_ONCE = 64  # a call of the system for each would cost a sixth of a short answer
_ids: list[bytes] = []
JSON: Headers = ((b"content-type", b"application/json"),)


async def answer(send: Send, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes = b"") -> None:
    """A whole response. Its length is added, where there may be one (RFC 9110, 8.6)."""
    length = ((b"content-length", str(len(body)).encode()),) if status != NO_CONTENT else ()
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})


async def answer_json(
    send: Send, value: msgspec.Struct, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    await answer(send, status, (*JSON, *headers), msgspec.json.encode(value))


def adding(send: Send, headers: Headers) -> Send:
    """``send``, with these headers before each response's own."""

    async def with_headers(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*headers, *message["headers"]]
        await send(message)

    return with_headers


def new_request_id() -> bytes:
    """For a request without an id of its own."""
    if not _ids:
        text = os.urandom(_ID_BYTES * _IDS_AT_ONCE).hex().encode()
        _ids.extend(text[at : at + 2 * _ID_BYTES] for at in range(0, len(text), 2 * _ID_BYTES))
    return _ids.pop()
