"""Sends the bytes of a picture as a response's body, in pieces. Used by ``v1/render`` and ``images``."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator

from imgserve.api.http.asgi import Scope, Send
from imgserve.blob import Blob
from imgserve.engine.cache.body import OpenBody
from imgserve.telemetry import logs

SEND_BYTES = 262_144
# The server hangs up on a client that does not read.
SEND_TIMEOUT_S = 300.0
# Of pictures in memory that are being sent. Some are sources as they came, which others wait for memory for: half of
# what there is for sources.
MOST_BYTES = 128_000_000
# For one piece: 50 KB a second. Beyond the limit slower clients are hung up on.
SLOW_S, LOOK_EVERY_S = 5.0, 1.0


async def send_blob(blob: Blob | OpenBody, scope: Scope, send: Send, start: int = 0, end: int | None = None) -> None:
    """The bytes from ``start`` to ``end``, which is not among them; the response's head has been sent."""
    sent, end = start, blob.size if end is None else end
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S) as limit:
            with _held.sending(blob, limit) as sending:
                while sent < end:
                    data = blob.read(min(SEND_BYTES, end - sent), sent)
                    sent += len(data)
                    await send({"type": "http.response.body", "body": data, "more_body": sent < end})
                    sending.note(sent)
    except TimeoutError:
        await _hang_up(scope)


async def _hang_up(scope: Scope) -> None:
    """Return when the connection has ended. uvicorn calls an answer that ends before its connection a fault of ours."""
    gone = asyncio.Event()
    scope["on_gone"](gone.set)
    scope["abort"]()
    await gone.wait()


class _Sending:
    def __init__(self, blob: Blob | OpenBody, limit: asyncio.Timeout) -> None:
        self.blob = blob
        self.limit = limit
        self.note(0)

    def note(self, sent_bytes: int) -> None:
        self.sent_bytes, self.sent_at = sent_bytes, asyncio.get_running_loop().time()


class _Held:
    """The pictures that are being sent from memory. Where there are too many, clients that read slowly lose their own:
    each reads fast enough not to be hung up on for that, and all of them together could take the memory.
    """

    def __init__(self) -> None:
        self._sendings: set[_Sending] = set()
        self._uses: Counter[Blob | OpenBody] = Counter()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def sending(self, blob: Blob | OpenBody, limit: asyncio.Timeout) -> Iterator[_Sending]:
        one = _Sending(blob, limit)
        if isinstance(blob, OpenBody):  # which is a file
            yield one
            return
        self._add(one)
        try:
            yield one
        finally:
            self._drop(one)

    def _make_room(self) -> None:
        """Now, and later as long as there is none."""
        loop, self._timer = asyncio.get_running_loop(), None
        for one in sorted(self._sendings, key=lambda one: one.sent_at):
            if self._bytes <= MOST_BYTES or loop.time() - one.sent_at < SLOW_S:
                break
            self._drop(one)
            if not one.limit.expired():
                logs.event("answer_stalled", unread_bytes=one.blob.size - one.sent_bytes)
                one.limit.reschedule(loop.time())
        if self._bytes > MOST_BYTES:
            self._timer = loop.call_later(LOOK_EVERY_S, self._make_room)

    def _add(self, one: _Sending) -> None:
        self._sendings.add(one)
        self._bytes += 0 if self._uses[one.blob] else one.blob.size
        self._uses[one.blob] += 1
        if self._timer is None and self._bytes > MOST_BYTES:
            self._make_room()

    def _drop(self, one: _Sending) -> None:
        if one not in self._sendings:
            return
        self._sendings.discard(one)
        self._uses[one.blob] -= 1
        if not self._uses[one.blob]:
            del self._uses[one.blob]
            self._bytes -= one.blob.size
        if self._timer is not None and self._bytes <= MOST_BYTES:
            self._timer.cancel()
            self._timer = None


_held = _Held()
