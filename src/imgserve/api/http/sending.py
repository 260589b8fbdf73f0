"""Sends the bytes of a picture as a response's body, in pieces. Used by ``v1/render`` and ``images``."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator

from imgserve.api.http.asgi import Send
from imgserve.blob import Blob
from imgserve.engine.cache.body import OpenBody
from imgserve.telemetry import logs

SEND_BYTES = 262_144
# The server hangs up on a client that does not read.
SEND_TIMEOUT_S = 300.0
# Of pictures in memory that are being sent. Some are sources as they came, which others wait for memory for: half of
# what there is for sources.
MOST_BYTES = 128_000_000


async def send_blob(blob: Blob | OpenBody, send: Send, start: int = 0, end: int | None = None) -> None:
    """The bytes from ``start`` to ``end``, which is not among them; the response's head has been sent."""
    sent, end = start, blob.size if end is None else end
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SEND_TIMEOUT_S) as limit:
            with _held.sending(blob, limit) as sending:
                while sent < end:
                    data = blob.read(min(SEND_BYTES, end - sent), sent)
                    sent += len(data)
                    await send({"type": "http.response.body", "body": data, "more_body": sent < end})
                    sending.taken_bytes += len(data)


class _Sending:
    def __init__(self, blob: Blob | OpenBody, limit: asyncio.Timeout) -> None:
        self.blob = blob
        self.limit = limit
        self.begun_at = asyncio.get_running_loop().time()
        self.taken_bytes = 0

    def bytes_per_s(self, now: float) -> float:
        return self.taken_bytes / (now - self.begun_at + 1.0)


class _Held:
    """The pictures that are being sent from memory. Where there are too many, the client that reads the slowest loses
    its own: each reads fast enough not to be hung up on for that, and all of them together could take the memory.
    """

    def __init__(self) -> None:
        self._sendings: set[_Sending] = set()
        self._uses: Counter[Blob | OpenBody] = Counter()
        self._bytes = 0

    @contextlib.contextmanager
    def sending(self, blob: Blob | OpenBody, limit: asyncio.Timeout) -> Iterator[_Sending]:
        one = _Sending(blob, limit)
        if isinstance(blob, OpenBody):  # which is a file
            yield one
            return
        self._add(one)
        try:
            self._make_room(one)
            yield one
        finally:
            self._drop(one)

    def _make_room(self, newest: _Sending) -> None:
        now = asyncio.get_running_loop().time()
        while self._bytes > MOST_BYTES and len(self._sendings) > 1:
            slowest = min(self._sendings - {newest}, key=lambda one: one.bytes_per_s(now))
            self._drop(slowest)
            if not slowest.limit.expired():
                logs.event("answer_stalled", unread_bytes=slowest.blob.size - slowest.taken_bytes)
                slowest.limit.reschedule(now)

    def _add(self, one: _Sending) -> None:
        self._sendings.add(one)
        self._bytes += 0 if self._uses[one.blob] else one.blob.size
        self._uses[one.blob] += 1

    def _drop(self, one: _Sending) -> None:
        if one not in self._sendings:
            return
        self._sendings.discard(one)
        self._uses[one.blob] -= 1
        if not self._uses[one.blob]:
            del self._uses[one.blob]
            self._bytes -= one.blob.size


_held = _Held()
