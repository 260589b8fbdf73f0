"""Passes a body from libcurl on to a ``Fetch``, which reserves memory before it keeps the first byte.

``exchange`` makes one receiver for each fetch. Both kinds raise the fetch's own faults.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future

import pycurl

from imgserve.timeout import limit
from imgserve.transfer.fetch import Fetch

# Each hand-over to the event loop costs two thread switches.
_BATCH_BYTES = 128 * 1024
_BATCH_S = 0.005


class LoopReceiver:
    """Called by libcurl in the event loop. It pauses the transfer until there is memory; ``resume`` continues it."""

    def __init__(self, fetch: Fetch, clock: limit, resume: Callable[[], None]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._resume: Callable[[], None] | None = resume
        self._memory: asyncio.Future[None] | None = None

    def receive(self, data: bytes, length_bytes: int | None) -> int | None:
        if self._memory is None:
            self._memory = self._fetch.reserve(length_bytes)
            if not self._memory.done():
                self._clock.stop()
                self._memory.add_done_callback(self._continue)
        if not self._memory.done():
            return int(pycurl.WRITEFUNC_PAUSE)
        self._fetch.write(data)
        return None

    def end(self) -> None:
        self._resume = None  # it refers back to this object: the cycle would keep the picture's memory
        if self._memory is not None:
            self._memory.cancel()

    def _continue(self, memory: asyncio.Future[None]) -> None:
        if not memory.cancelled() and self._resume is not None:
            self._clock.go_on()
            self._resume()


class ThreadReceiver:
    """Called by libcurl in the thread of an FTP exchange. It hands bytes to the event loop and waits for it."""

    def __init__(self, fetch: Fetch, clock: limit) -> None:
        self._fetch = fetch
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._has_memory = False
        self._is_over = False
        self._handover: Future[None] | None = None
        self._batch = bytearray()
        self._handed_over_at_s = 0.0

    def receive(self, data: bytes, length_bytes: int | None) -> int | None:
        if self._is_over:
            return 0
        self._batch += data
        if len(self._batch) < _BATCH_BYTES and time.monotonic() < self._handed_over_at_s + _BATCH_S:
            return None
        handover = self._handover = asyncio.run_coroutine_threadsafe(self._write(length_bytes), self._loop)
        try:
            handover.result()
        except CancelledError:
            return 0
        self._handed_over_at_s = time.monotonic()
        return None

    def finish(self) -> None:
        """Called in the event loop, after the last byte."""
        if self._batch:
            self._fetch.write(bytes(self._batch))

    def end(self) -> None:
        self._is_over = True
        if self._handover is not None:
            self._handover.cancel()

    async def _write(self, length_bytes: int | None) -> None:
        if self._is_over:
            raise asyncio.CancelledError
        if not self._has_memory:
            memory = self._fetch.reserve(length_bytes)
            if not memory.done():
                self._clock.stop()
                await memory
                self._clock.go_on()
            self._has_memory = True
        self._fetch.write(bytes(self._batch))
        self._batch.clear()
