"""Open streams of events: their places, and how each is written. Called by ``events``, which makes their texts.

A stream holds its connection and a place. It ends when the client hangs up, when all of it has been sent, and when the
server drains or reads its keys again; then the client connects again, and goes on behind the last event that it has.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

from imgserve.api.http import body, sse
from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.engine.intake import Draining
from imgserve.errors import ImgserveError
from imgserve.limiter import Key, Limiter
from imgserve.request.principal import Principal
from imgserve.telemetry import logs, metrics

MOST, MOST_OF_ONE = 100, 10
PLACE_AGAIN_S = 15.0
# A client on loopback or a LAN takes a full buffer in a few milliseconds.
STALLED_S = 0.25
# For the last bytes of a stream to a client that takes none; the server's shutdown waits for the slowest for a second.
END_S = 0.25


UntilBehind = Callable[[], Coroutine[Any, Any, None]]


class StreamsFull(ImgserveError):
    code = "streams_full"
    status = 503
    is_retryable = True
    retry_after_s = PLACE_AGAIN_S
    title = "Too many streams of events are open"


class StreamQuotaFull(ImgserveError):
    code = "stream_quota_full"
    status = 429
    is_retryable = True
    retry_after_s = PLACE_AGAIN_S
    title = "Too many streams of this key are open"


class _Stalled(Exception):
    """The client takes nothing, and is too far behind."""


class Streams:
    def __init__(self, most: int = MOST, most_of_one: int = MOST_OF_ONE) -> None:
        self._limiter = Limiter(most)
        self._most_of_one = most_of_one
        self._is_draining = False
        self._over = asyncio.Event()

    def end(self) -> None:
        """End all streams, and open none any more: the server drains."""
        self._is_draining = True
        self._over.set()

    def restart(self) -> None:
        """End all streams. Their clients connect again, and are judged by the keys as they are now."""
        self._over.set()
        if not self._is_draining:
            self._over = asyncio.Event()

    @contextlib.contextmanager
    def place(self, principal: Principal) -> Iterator[asyncio.Event]:
        """A place in the block, and the event that ends its stream. Raises Draining, StreamsFull, StreamQuotaFull."""
        if self._is_draining:
            raise Draining("the server is stopping", "connect again in a moment")
        key = Key(principal.id, self._most_of_one)
        if self._limiter.asked(key) >= key.limit:
            raise StreamQuotaFull(f"{key.limit} streams are open with this key", "close one, or use one for all jobs")
        if not self._limiter.take(key):
            raise StreamsFull(f"{self._limiter.total} streams are open", "try again later")
        metrics.EVENT_STREAMS.set(self._limiter.held)
        try:
            yield self._over
        finally:
            self._limiter.release(key)
            metrics.EVENT_STREAMS.set(self._limiter.held)


async def write(
    texts: AsyncIterator[bytes],
    until_behind: UntilBehind,
    over: asyncio.Event,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """Send the texts as they come, and end the stream behind the last, or when ``over`` is set.

    ``until_behind`` returns when the client has missed too much. The connection of one that takes nothing by then is
    cut off: its buffer holds the middle of a text. An error of the queue ends the stream as ``over`` does.
    """
    scope["unwatched"]()
    await send({"type": "http.response.start", "status": 200, "headers": [*sse.HEADERS]})
    writing = asyncio.create_task(_write(texts, until_behind, send))
    gone, ended = asyncio.create_task(body.until_gone(receive)), asyncio.create_task(over.wait())
    tasks = (writing, gone, ended)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        is_gone = gone.done()
        for task in tasks:
            task.cancel()
        [error, *_] = await asyncio.gather(*tasks, return_exceptions=True)
    if isinstance(error, ImgserveError):
        logs.event("stream_failed", level=logs.WARNING, code=error.code)
    elif isinstance(error, Exception) and not isinstance(error, _Stalled):
        raise error
    if not is_gone and (isinstance(error, _Stalled) or not await _has_ended(send)):
        logs.event("stream_stalled", principal=scope["principal"].name)
        scope["abort"]()


async def _write(texts: AsyncIterator[bytes], until_behind: UntilBehind, send: Send) -> None:
    """Raises _Stalled, and the errors of ``texts``."""
    async for text in texts:
        sending = asyncio.ensure_future(send({"type": "http.response.body", "body": text, "more_body": True}))
        try:
            await asyncio.wait([sending], timeout=STALLED_S)
            if not sending.done():
                await _unless_behind(sending, until_behind)
            await sending
        finally:
            sending.cancel()


async def _unless_behind(sending: asyncio.Future[None], until_behind: UntilBehind) -> None:
    """Raises _Stalled if the client is too far behind before it has taken the text."""
    behind = asyncio.create_task(until_behind())
    both: tuple[asyncio.Future[None], ...] = (sending, behind)
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            await behind
            raise _Stalled
    finally:
        behind.cancel()


async def _has_ended(send: Send) -> bool:
    """Whether the client took the end of the stream."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            await send({"type": "http.response.body"})
            return True
    return False
