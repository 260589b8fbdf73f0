"""A download while it runs: a blob that grows, and a way to wait for more of it.

``dispatch`` starts one, a protocol fills it (``reserve``, ``write``), intake's probe and the runner read it (``more``,
``finish``). Memory is reserved before the first byte is written, and released with the last handle.

A small source becomes a blob when its blob is asked for: most headers of a job that waits, or is refused, are read
without one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

from imgserve.blob import Blob
from imgserve.errors import ImgserveError
from imgserve.limiter import Limiter
from imgserve.transfer.digest import sha256_of
from imgserve.transfer.faults import SourceDigestMismatch, SourceTooLarge, SourceUnavailable
from imgserve.transfer.memory import Reservation, Together
from imgserve.transfer.version import UNKNOWN, Version

# Whether a source may be read from a URL that a redirect leads to.
Follows = Callable[[str], bool]
_BATCH_BYTES = 128 * 1024
# A blob for so few bytes costs more than the bytes, and a worker gets them in its request.
SMALL_BYTES = 32 * 1024


def anywhere(_url: str) -> bool:
    """The guard of connections alone decides."""
    return True


class Fetch:
    """Lives in the event loop that made it. Its owner closes it, also after its end.

    ``held``: the version that the owner has already. If the source ``is_unchanged`` since, no bytes come. ``version``
    is that of the bytes that came, as far as the protocol tells. ``hops`` are the URLs that redirects led to.
    """

    def __init__(
        self, budget: Limiter | Together, limit_bytes: int, held: Version = UNKNOWN, follows: Follows = anywhere
    ) -> None:
        self.held = held
        self.hops: tuple[str, ...] = ()
        self._follows = follows
        self.version = UNKNOWN
        self.is_unchanged = False
        self._reservation = Reservation(budget)
        self._blob: Blob | None = None
        self.limit_bytes = limit_bytes
        self._length: int | None = None
        self._batch: list[bytes | memoryview] = []
        self._size = 0
        self._awaited_size = limit_bytes  # readers wait for more than this
        self._next_flush = 0
        self._progress = asyncio.Event()
        self._task: asyncio.Future[None] | None = None
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def reserved_bytes(self) -> int:
        """The memory that this download has reserved: its size once complete, before that its possible size."""
        return self._reservation.size_bytes

    @property
    def size_bytes(self) -> int | None:
        """The whole source's, as far as it is known."""
        return self._readable_bytes if self.is_complete else self._length

    @property
    def _readable_bytes(self) -> int:
        """What ``content`` has. A file is copied into the blob, past ``write``."""
        return self._size if self._blob is None else self._blob.size

    @property
    def is_complete(self) -> bool:
        """Whether every byte has arrived."""
        task = self._task
        return task is not None and task.done() and not task.cancelled() and task.exception() is None

    @property
    def blob(self) -> Blob:
        """Of the bytes so far; closed with this download. Raises OutOfDescriptors, SourceUnavailable as ``write``, and
        ValueError when the download is closed.
        """
        if self._blob is None and self._is_closed:
            raise ValueError("the download is closed")
        return self._blob or self._to_blob()

    @property
    def content(self) -> Blob | bytes:
        """The bytes so far. Those of a small source need no blob to be read here."""
        return b"".join(self._batch) if self._blob is None else self._blob

    def start(self, transfer: Callable[["Fetch"], Awaitable[None]]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run(transfer))
        task.add_done_callback(self._ended)
        self._task = task
        return task

    def take(self, data: bytes) -> bool:
        """In place of ``start``: all bytes, which have come already. False, and nothing is done, if they have to wait
        for memory. Raises as ``write``.
        """
        if not self.reserve_at_once(len(data)):
            return False
        self.write(data)
        self._flush()
        self._task = asyncio.get_running_loop().create_future()
        self._task.set_result(None)
        return True

    async def more(self, beyond: int) -> None:
        """Wait for more than ``beyond`` bytes, or for all of them. Raises the transfer's error."""
        assert self._task is not None
        while not self._task.done():
            if self._size > beyond:
                self._flush()
            if self._readable_bytes > beyond:
                return
            self._awaited_size = min(self._awaited_size, beyond)
            self._next_flush = min(self._next_flush, beyond)
            self._progress.clear()
            await self._progress.wait()
        if self._task.cancelled():
            raise _cancelled()
        self._task.result()

    async def finish(self) -> Blob:
        """The whole source, which is closed with this download. Raises the transfer's error."""
        await self.whole()
        return self.blob

    async def whole(self) -> Blob | bytes:
        """As ``finish``. The bytes of a small source need no blob."""
        await self.more(self.limit_bytes)
        if self._is_closed:  # since it ended, before this reader was woken
            raise _cancelled()
        return self.content

    def close(self) -> None:
        """End the download if it still runs. Its memory is kept as long as it may write there."""
        self._is_closed = True
        if self._task is None or self._task.done():
            self._drop()
        else:
            self._task.cancel()

    def led_to(self, url: str) -> bool:
        """Whether this redirect may be followed, which is noted. The protocol asks for each one, in order."""
        self.hops += (url,)
        return self._follows(url)

    def reserve(self, length: int | None) -> asyncio.Future[None]:
        """The protocol calls this once before the body, with its length in bytes if it is known.

        The future is done when there is memory. Raises SourceTooLarge.
        """
        self.check_size(length or 0)
        self._length = length
        return self._reservation.take(self.limit_bytes if length is None else length)

    def reserve_at_once(self, most_bytes: int) -> bool:
        """Before the length is known: whether a body of so many bytes, or of the limit, needs no wait. If not, or if it
        is longer, ``reserve`` it.
        """
        return self._reservation.take_at_once(min(most_bytes, self.limit_bytes))

    def write(self, data: bytes | memoryview) -> None:
        """A view is read before the call returns, so that its memory can be used again.

        Raises SourceTooLarge beyond the limit, SourceUnavailable when the machine has no memory left.
        """
        self._batch.append(data)
        self._size += len(data)
        if isinstance(data, memoryview):
            try:
                self._flush()
            except ImgserveError:
                self._batch.clear()  # readers that have not heard of it yet would find other bytes in the view
                raise
        elif self._size > self._next_flush:
            self._flush()

    async def check_digest(self, sha256: str) -> None:
        """Of all bytes, in hexadecimal. The protocol has written them. Raises SourceDigestMismatch."""
        self._flush()
        if (await sha256_of(self.blob)).hex() != sha256:
            detail = "The source's bytes have another SHA-256 than the job expects"
            raise SourceDigestMismatch(detail, "compare digest with the picture, and post the job again")

    def check_size(self, size_bytes: int) -> None:
        """Raises SourceTooLarge."""
        if size_bytes > self.limit_bytes:
            raise SourceTooLarge(f"The source is larger than {self.limit_bytes:,} bytes", "use a smaller picture")

    def _flush(self) -> None:
        """Write the batch of small pieces to the blob, if there are more than a few, and wake the readers.

        Raises as ``write``, and OutOfDescriptors.
        """
        self.check_size(self._size)
        if self._blob is not None:
            self._fill(self._blob)
        elif self._size > SMALL_BYTES:
            self._to_blob()
        else:
            self._batch = [b"".join(self._batch)]  # pieces of a few bytes take many times their size
        if self._size > self._awaited_size:
            self._awaited_size = self.limit_bytes
            self._progress.set()
        self._next_flush = min(self._size + _BATCH_BYTES, self._awaited_size)

    def _to_blob(self) -> Blob:
        with Blob(on_close=self._reservation.release) as blob:
            self._fill(blob)  # first: one that lacks bytes must not be found here later
            self._blob = blob.share()
        return self._blob

    def _fill(self, blob: Blob) -> None:
        """Raises SourceUnavailable."""
        if not self._batch:
            return
        try:
            blob.append(*self._batch)
        except OSError as error:
            reason = "This machine has no memory left for the source"
            raise SourceUnavailable(reason, is_retryable=True) from error
        self._batch.clear()

    def _drop(self) -> None:
        self._batch.clear()
        if self._blob is None:
            self._reservation.release()
        else:
            self._blob.close()

    async def _run(self, transfer: Callable[["Fetch"], Awaitable[None]]) -> None:
        is_whole = False
        try:
            await transfer(self)
            self._flush()
            is_whole = True
        except ImgserveError:
            self._reservation.forgo()
            raise
        finally:
            if not is_whole:
                self._batch.clear()
            # A failed download may stay in a store for a while, and needs no memory there.
            self._reservation.shrink(self._readable_bytes if is_whole else 0)

    def _ended(self, task: asyncio.Future[None]) -> None:
        if not task.cancelled():
            task.exception()  # asyncio logs an error that nobody retrieves, but a fetch may fail without a reader
        if self._is_closed:
            self._drop()
        self._progress.set()


def _cancelled() -> SourceUnavailable:
    return SourceUnavailable("The transfer of the source was cancelled", is_retryable=True)
