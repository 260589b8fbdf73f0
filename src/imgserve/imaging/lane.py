"""Workers for one kind of work, and who waits for one. Used by ``pool.py`` only; never blocks, does no I/O."""

import asyncio
import contextlib
from collections import deque

import msgspec

from imgserve.errors import ImgserveError
from imgserve.imaging.process import Child
from imgserve.turns import waiting


class Staffing(msgspec.Struct, frozen=True):
    """A lane's workers by what they do, and how many pictures wait for one."""

    lane: str
    idle: int
    busy: int
    missing: int
    waiting: int


class Lane:
    """Workers for one kind of work: idle ones, and those who wait for one, first come first served."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.members: set[Child] = set()
        self.idle: deque[Child] = deque()
        self.waiters: deque[asyncio.Future[Child]] = deque()

    @property
    def lacking(self) -> int:
        return self.wanted - len(self.members)

    def staffing(self, name: str) -> Staffing:
        idle = len(self.idle)
        return Staffing(name, idle, len(self.members) - idle, self.lacking, len(self.waiters))

    async def acquire(self) -> Child:
        """The next idle worker, alive when this returns."""
        while True:
            child = self.idle.popleft() if self.idle else await self._wait()
            if child.is_alive:
                return child

    async def _wait(self) -> Child:
        waiter: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        try:
            with waiting():
                return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(waiter.result())
            raise

    def release(self, child: Child) -> None:
        if not child.is_alive or child not in self.members:
            return
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(child)
                return
        self.idle.append(child)

    def add(self, child: Child) -> None:
        self.members.add(child)
        self.release(child)

    def remove(self, child: Child) -> None:
        self.members.discard(child)
        with contextlib.suppress(ValueError):
            self.idle.remove(child)

    def refuse_all(self, error: ImgserveError) -> None:
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)
