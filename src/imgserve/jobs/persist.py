"""Retries queue writes until they are stored. Used by intake and runner.

A lost end would be repeated, and a lost activation would leave a placeholder for ever.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

from imgserve.errors import ImgserveError, Spelling, dotted
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.model import Accepted, Answer, NewJob, PlaceholderResult
from imgserve.jobs.protocol import IntakeQueue
from imgserve.telemetry import logs

T = TypeVar("T")

PAUSE_S = 1.0


async def until_stored(change: Callable[[], Awaitable[T]]) -> T:
    """The change's value. Retries as long as the storage fails."""
    failures = logs.Failures()
    while True:
        try:
            return await change()
        except StorageFailing as error:
            failures.event("storage_failing", detail=error.detail)
            await asyncio.sleep(PAUSE_S)


class PatientStorage:
    """Intake's writes to the queue, while a client waits for its reply.

    As long as nothing has been sent to a destination, the wait for a queue that hangs ends after ``timeout_s``. After
    that the reply must be true, and the wait has no bound.
    """

    def __init__(
        self, queue: IntakeQueue, timeout_s: float, clock: Callable[[], float], spelling: Spelling = dotted
    ) -> None:
        self._queue = queue
        self._timeout_s = timeout_s
        self._clock = clock
        self._spelling = spelling
        self._late: set[asyncio.Task[None]] = set()

    async def enqueue(self, job: NewJob) -> Accepted | Answer:
        """Raises QueueFull, QuotaFull, StorageFailing."""
        return await self._in_time(self._queue.enqueue(job, self._clock(), self._forget))

    async def note_placeholder(self, digest: bytes, size_bytes: int) -> None:
        """Raises StorageFailing."""
        await self._in_time(self._queue.note_placeholder(digest, size_bytes, self._clock()))

    async def refuse(
        self, entry: Accepted, placeholders: tuple[PlaceholderResult, ...], error: ImgserveError | None
    ) -> None:
        """Return when it is stored; after the time-out already if no destination holds anything."""
        code, detail = (error.code, error.sentence(self._spelling)) if error else ("internal", "")
        refusing = self._start(
            until_stored(lambda: self._queue.refuse(entry.number, placeholders, code, detail, self._clock()))
        )
        is_sent = any(result.state in ("written", "unknown") for result in placeholders)
        await asyncio.wait([refusing], timeout=None if is_sent else self._timeout_s)

    def _forget(self, entry: Accepted) -> None:
        """Delete a job that was stored after its client was told that it was not."""
        self._start(until_stored(lambda: self._queue.refuse(entry.number, (), "storage_failing", "", self._clock())))

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        return task

    async def _in_time(self, change: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await change
        except TimeoutError:
            detail = "the queue does not answer"
            raise StorageFailing(detail, "look at the disk of the data directory, or at the database") from None
