"""A body on its way from libcurl into a ``Fetch``: memory is reserved before the first byte is kept.

``exchange`` makes one of the two for each fetch. ``FromLoop`` is called by libcurl in the event loop, ``FromThread`` in
a thread of an FTP exchange. Both raise the fetch's own faults.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future

import pycurl

from imgserve.timeout import limit
from imgserve.transfer.fetch import Fetch

_GATHERED_BYTES = 128 * 1024
_GATHERED_S = 0.005


class FromLoop:
    """While there is no memory the transfer is paused; ``resume`` lets it go on."""

    def __init__(self, fetch: Fetch, clock: limit, resume: Callable[[], None]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._resume: Callable[[], None] | None = resume
        self._memory: asyncio.Future[None] | None = None

    def take(self, data: bytes, length_bytes: int | None) -> int | None:
        if self._memory is None:
            self._memory = self._fetch.reserve(length_bytes)
            if not self._memory.done():
                self._clock.stop()
                self._memory.add_done_callback(self._go_on)
        if not self._memory.done():
            return int(pycurl.WRITEFUNC_PAUSE)
        self._fetch.write(data)
        return None

    def finish(self) -> None:
        """Nothing is held back here."""

    def end(self) -> None:
        self._resume = None  # it leads back here: a ring would keep the picture's memory
        if self._memory is not None:
            self._memory.cancel()

    def _go_on(self, memory: asyncio.Future[None]) -> None:
        if not memory.cancelled() and self._resume is not None:
            self._clock.go_on()
            self._resume()


class FromThread:
    """Hands over to the event loop and waits for it. Small pieces are gathered while they come fast."""

    def __init__(self, fetch: Fetch, clock: limit) -> None:
        self._fetch = fetch
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._has_memory = False
        self._is_over = False
        self._handover: Future[None] | None = None
        self._gathered = bytearray()
        self._handed_at = 0.0

    def take(self, data: bytes, length_bytes: int | None) -> int | None:
        if self._is_over:
            return 0
        self._gathered += data
        if len(self._gathered) < _GATHERED_BYTES and time.monotonic() < self._handed_at + _GATHERED_S:
            return None
        handover = self._handover = asyncio.run_coroutine_threadsafe(self._keep(length_bytes), self._loop)
        try:
            handover.result()
        except CancelledError:
            return 0
        self._handed_at = time.monotonic()
        return None

    def finish(self) -> None:
        """In the event loop, when all has come."""
        if self._gathered:
            self._fetch.write(bytes(self._gathered))

    def end(self) -> None:
        self._is_over = True
        if self._handover is not None:
            self._handover.cancel()

    async def _keep(self, length_bytes: int | None) -> None:
        if self._is_over:
            raise asyncio.CancelledError
        if not self._has_memory:
            memory = self._fetch.reserve(length_bytes)
            if not memory.done():
                self._clock.stop()
                await memory
                self._clock.go_on()
            self._has_memory = True
        self._fetch.write(bytes(self._gathered))
        self._gathered.clear()
