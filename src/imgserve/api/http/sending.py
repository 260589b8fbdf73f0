"""Sends the bytes of a picture as a response's body, in pieces. Used by ``v1/render`` and ``images``."""

import asyncio
import contextlib

from imgserve.api.http.asgi import Send
from imgserve.blob import Blob
from imgserve.engine.cache.body import OpenBody

SEND_BYTES = 262_144
# The server hangs up on a client that does not read.
SEND_TIMEOUT_S = 300.0


async def send_blob(blob: Blob | OpenBody, send: Send, start: int = 0, end: int | None = None) -> None:
    """The bytes from ``start`` to ``end``, which is not among them; the response's head has been sent."""
    sent, end = start, blob.size if end is None else end
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SEND_TIMEOUT_S):
            while sent < end:
                data = blob.read(min(SEND_BYTES, end - sent), sent)
                sent += len(data)
                await send({"type": "http.response.body", "body": data, "more_body": sent < end})
