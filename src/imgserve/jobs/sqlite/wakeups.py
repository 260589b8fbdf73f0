"""Wake-ups in this process: of runner and outbox for work, of writers for a free destination. For ``queue``; no I/O."""

import asyncio
import contextlib


class Wakeups:
    """``is_work_waiting`` is written in the committer's thread and read between two of its commits."""

    def __init__(self) -> None:
        self.is_work_waiting = False
        self.work = asyncio.Event()  # a job may be due
        self.outbox = asyncio.Event()  # an entry may be due
        self._freed: dict[str, asyncio.Future[None]] = {}

    def work_and_free(self, freed: list[str]) -> None:
        """A change of state may have made a job due, and has freed these destinations."""
        self.work.set()
        self.free(freed)

    def released(self, freed: list[str]) -> None:
        """As ``work_and_free``, unless the job that was released has been taken in the same commit."""
        if self.is_work_waiting:
            self.work.set()
        self.free(freed)

    def free(self, freed: list[str]) -> None:
        for key in freed:
            if key in self._freed:
                self._freed.pop(key).set_result(None)

    def is_busy(self, key: str) -> None:
        """Somebody writes to this destination: ``until_free`` waits from now on."""
        if key not in self._freed:
            self._freed[key] = asyncio.get_running_loop().create_future()

    async def until_free(self, key: str, timeout_s: float) -> None:
        freed = self._freed.get(key)
        if freed is not None:
            await asyncio.wait([freed], timeout=timeout_s)

    async def until(self, event: asyncio.Event, timeout_s: float) -> None:
        """Return when ``work`` or ``outbox`` is set, at the latest after ``timeout_s``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):  # Python 3.11's wait_for can lose a cancel that comes with the work
                await event.wait()
        event.clear()
