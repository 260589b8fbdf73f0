"""Wakes the runner and the outbox for work, writers for a free destination, and those who wait for a job's end.

For ``queue``; no I/O.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator


class Wakeups:
    """``is_work_waiting`` is written in the committer's thread and read between two of its commits."""

    def __init__(self) -> None:
        self.is_work_waiting = False
        self.work = asyncio.Event()  # a job may be due
        self.outbox = asyncio.Event()  # an entry may be due
        self.uploads = asyncio.Event()  # a picture may be needed no more
        self._suspects: set[int] = set()
        self._are_suspects = asyncio.Event()
        self._freed: dict[str, asyncio.Future[None]] = {}
        self._awaited: dict[str, set[asyncio.Future[bool]]] = {}

    def activated(self, keys: list[str]) -> None:
        """A job is due, unless it was claimed in the same commit, and these destinations are free."""
        if self.is_work_waiting:
            self.work_came()
        self.free(keys)

    def work_came(self) -> None:
        self.work.set()

    def outbox_came(self) -> None:
        self.outbox.set()

    def suspect(self, numbers: Iterable[int]) -> None:
        """Claims of these jobs may be lost."""
        self._suspects.update(numbers)
        self._are_suspects.set()

    async def until_suspect(self) -> frozenset[int]:
        await self._are_suspects.wait()
        self._are_suspects.clear()
        numbers, self._suspects = frozenset(self._suspects), set()
        return numbers

    def free(self, keys: list[str]) -> None:
        for key in keys:
            if key in self._freed:
                self._freed.pop(key).set_result(None)

    def is_busy(self, key: str) -> None:
        """Another write holds this destination: ``until_free`` waits from now on."""
        if key not in self._freed:
            self._freed[key] = asyncio.get_running_loop().create_future()

    async def until_free(self, key: str, timeout_s: float) -> None:
        if key in self._freed:
            await asyncio.wait([self._freed[key]], timeout=timeout_s)

    async def until(self, event: asyncio.Event, timeout_s: float) -> None:
        """Return when the event, one of ours, is set, at the latest after ``timeout_s``."""
        await until_set(event, timeout_s)

    def ended(self, job_id: str) -> None:
        self.uploads.set()
        self._wake_waiters(job_id, has_ended=True)

    def _wake_waiters(self, job_id: str, *, has_ended: bool) -> None:
        for waiter in self._awaited.pop(job_id, ()):
            if not waiter.done():
                waiter.set_result(has_ended)

    @contextlib.contextmanager
    def awaiting(self, job_id: str) -> Iterator[asyncio.Future[bool]]:
        """The future is done when the job has ended; with False when it may have."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiters = self._awaited.setdefault(job_id, set())
        waiters.add(waiter)
        try:
            yield waiter
        finally:
            waiters.discard(waiter)
            if not waiters and self._awaited.get(job_id) is waiters:
                del self._awaited[job_id]


async def until_set(event: asyncio.Event, timeout_s: float) -> None:
    """Return when the event is set, at the latest after ``timeout_s``, and clear it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):  # Python 3.11's wait_for can lose a cancel that comes with the work
            await event.wait()
    event.clear()
