"""A download while it runs: a blob that grows, and a way to wait for more of it.

``dispatch`` starts one, the protocol's function fills it (``begin``, ``write``), intake's probe and the runner wait
on it (``more``, ``finish``). Memory is reserved before the first byte is kept, and released with the last handle.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

from imgserve.blob import Blob
from imgserve.limiter import Limiter
from imgserve.transfer.faults import SourceTooLarge, SourceUnavailable
from imgserve.transfer.memory import Reservation, Together

_GATHERED_BYTES = 128 * 1024


class Fetch:
    """One source on its way in. Lives in the event loop that made it. Its owner closes it, also after its end."""

    def __init__(self, budget: Limiter | Together, limit_bytes: int) -> None:
        self._reservation = Reservation(budget)
        self.blob = Blob(on_close=self._reservation.release)
        self.limit_bytes = limit_bytes
        self._gathered: list[bytes] = []
        self._size = 0
        self._wanted = limit_bytes
        self._next_look = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def reserved_bytes(self) -> int:
        """This download's part of the budget: its size once complete, before that its possible size."""
        return self._reservation.size_bytes

    @property
    def is_complete(self) -> bool:
        """Whether every byte has arrived."""
        task = self._task
        return task is not None and task.done() and not task.cancelled() and task.exception() is None

    def start(self, transfer: Callable[["Fetch"], Awaitable[None]]) -> None:
        self._task = asyncio.create_task(self._run(transfer))
        self._task.add_done_callback(self._ended)

    async def more(self, beyond: int) -> None:
        """Return when more than ``beyond`` bytes are there, or all are. Raises the transfer's error."""
        assert self._task is not None
        while not self._task.done():
            if self._size > beyond:
                self._keep()
            if self.blob.size > beyond:
                return
            self._wanted = min(self._wanted, beyond)
            self._next_look = min(self._next_look, beyond)
            self._news.clear()
            await self._news.wait()
        if self._task.cancelled():
            raise SourceUnavailable("The transfer of the source was cancelled", is_retryable=True)
        self._task.result()

    async def finish(self) -> Blob:
        """The whole source, which is closed with this download. Raises the transfer's error."""
        await self.more(self.limit_bytes)
        return self.blob

    def close(self) -> None:
        """End the download if it still runs. Its memory is kept as long as it may write there."""
        self._is_closed = True
        if self._task is None or self._task.done():
            self.blob.close()
        else:
            self._task.cancel()

    def on_end(self, callback: Callable[["Fetch"], None]) -> None:
        assert self._task is not None
        self._task.add_done_callback(lambda _: callback(self))

    async def ended(self) -> None:
        """Return when nothing runs any more, however it went."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def reserve(self, length: int | None) -> asyncio.Future[None]:
        """Called once by the protocol before the body, with its length in bytes if the server gave one.

        The future is done when there is memory. Raises SourceTooLarge.
        """
        self.check_size(length or 0)
        return self._reservation.take(self.limit_bytes if length is None else length)

    def write(self, data: bytes) -> None:
        """Keep bytes. Raises SourceTooLarge beyond the limit, SourceUnavailable when the machine has no memory left."""
        self._gathered.append(data)
        self._size += len(data)
        if self._size > self._next_look:
            self._keep()

    def _keep(self) -> None:
        """Write the gathered small pieces to the blob. Raises SourceTooLarge, SourceUnavailable."""
        self.check_size(self._size)
        if self._gathered:
            try:
                self.blob.append(*self._gathered)
            except OSError as error:
                raise _no_memory() from error
            self._gathered.clear()
        if self._size > self._wanted:
            self._wanted = self.limit_bytes
            self._news.set()
        self._next_look = min(self._size + _GATHERED_BYTES, self._wanted)

    async def _run(self, transfer: Callable[["Fetch"], Awaitable[None]]) -> None:
        is_whole = False
        try:
            await transfer(self)
            self._keep()
            is_whole = True
        except OSError as error:
            raise _no_memory() from error
        finally:
            self._gathered.clear()
            # What failed may lie in a store for a while, and needs no memory there.
            self._reservation.shrink(self.blob.size if is_whole else 0)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # marks it as seen: a fetch that nobody waits for any more may fail in silence
        if self._is_closed:
            self.blob.close()
        self._news.set()

    def check_size(self, size_bytes: int) -> None:
        """Raises SourceTooLarge."""
        if size_bytes > self.limit_bytes:
            raise SourceTooLarge(f"The source is larger than {self.limit_bytes:,} bytes", "use a smaller picture")


def _no_memory() -> SourceUnavailable:
    return SourceUnavailable("This machine has no memory left for the source", is_retryable=True)
