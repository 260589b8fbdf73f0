"""Passes the body of an FTP exchange from its thread on to a ``Fetch`` in the event loop. Called by ``exchange``."""

import asyncio
import time
from concurrent.futures import CancelledError, Future

from imgserve.timeout import limit
from imgserve.transfer.fetch import Fetch

# Each hand-over to the event loop costs two thread switches.
_BATCH_BYTES = 128 * 1024
_BATCH_S = 0.005


class ThreadReceiver:
    """``receive`` runs in the thread, the rest in the event loop. Memory is reserved before the first write."""

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
        """For libcurl: 0 aborts the transfer. Raises the fetch's own faults."""
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
        """Called after the last byte. Raises the fetch's own faults."""
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
