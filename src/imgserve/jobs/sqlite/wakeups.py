"""Wakes runner and outbox for work, and writers for a free destination. For ``queue``; no I/O."""

import asyncio
import contextlib


class Wakeups:
    """``is_work_waiting`` is written in the committer's thread and read between two of its commits."""

    def __init__(self) -> None:
        self.is_work_waiting = False
        self.work = asyncio.Event()  # a job may be due
        self.outbox = asyncio.Event()  # an entry may be due
        self._freed: dict[str, asyncio.Future[None]] = {}

    def activated(self, keys: list[str]) -> None:
        """A job is due, unless it was claimed in the same commit, and these destinations are free."""
        if self.is_work_waiting:
            self.work.set()
        self.free(keys)

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
        """Return when ``work`` or ``outbox`` is set, at the latest after ``timeout_s``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):  # Python 3.11's wait_for can lose a cancel that comes with the work
                await event.wait()
        event.clear()
