"""Changes that must reach the disk, however long the disk cannot be written: an end that nobody knows of would be
repeated, a release that got lost would leave a placeholder for ever. Used by intake and runner.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

from imgserve.errors import ImgserveError, Spelling, dotted
from imgserve.jobs.model import Accepted, Adopted, NewJob, PlaceholderResult
from imgserve.jobs.protocol import IntakeQueue, StorageFailing
from imgserve.telemetry import logs

T = TypeVar("T")

PAUSE_S = 1.0


async def until_stored(change: Callable[[], Awaitable[T]]) -> T:
    """The change's value. Tries again as long as the storage fails."""
    while True:
        try:
            return await change()
        except StorageFailing as error:
            logs.event("storage_failing", level=logs.WARNING, detail=error.detail)
            await asyncio.sleep(PAUSE_S)


class PatientStorage:
    """Intake's writes to the queue, while a caller waits for its reply.

    As long as nothing has been sent to a destination, a disk that hangs gets ``timeout_s``. After that the reply must
    be true, and the wait has no bound.
    """

    def __init__(
        self, queue: IntakeQueue, timeout_s: float, clock: Callable[[], float], spelling: Spelling = dotted
    ) -> None:
        self._queue = queue
        self._timeout_s = timeout_s
        self._clock = clock
        self._spelling = spelling
        self._late: set[asyncio.Task[None]] = set()

    async def enqueue(self, job: NewJob) -> Accepted | Adopted:
        """Raises QueueFull, ShareFull, StorageFailing."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._queue.enqueue(job, self._clock(), self._forget)
        except TimeoutError:
            raise self._silent() from None

    async def note_placeholder(self, digest: bytes, size_bytes: int) -> None:
        """Raises StorageFailing."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._queue.note_placeholder(digest, size_bytes, self._clock())
        except TimeoutError:
            raise self._silent() from None

    async def refuse(
        self, entry: Accepted, placeholders: tuple[PlaceholderResult, ...], error: ImgserveError | None
    ) -> None:
        """Return when it is stored, or in time when no destination holds anything: the row goes when it can."""
        code, detail = (error.code, error.sentence(self._spelling)) if error else ("internal", "")
        refusing = self._start(
            until_stored(lambda: self._queue.refuse(entry.number, placeholders, code, detail, self._clock()))
        )
        is_sent = any(result.state in ("written", "unknown") for result in placeholders)
        await asyncio.wait([refusing], timeout=None if is_sent else self._timeout_s)

    def _forget(self, entry: Accepted) -> None:
        """Cancel a job that was stored after its caller got the reply that it was not."""
        self._start(until_stored(lambda: self._queue.refuse(entry.number, (), "storage_failing", "", self._clock())))

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        return task

    @staticmethod
    def _silent() -> StorageFailing:
        return StorageFailing("the disk of the queue does not answer", "look at the disk of the data directory")
