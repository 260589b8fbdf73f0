"""Workers for one kind of work, who has one, who waits for one. Used by ``pool.py`` only; never blocks, does no I/O.

Callers take turns: a worker goes to whoever has the fewest of them, of such callers to the one whose last turn is the
longest ago. What one caller asks is served in the order in which it came.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

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
    """``is_shared``: callers are several, so each leaves one worker to the others where there are two or more."""

    def __init__(self, wanted: int, is_shared: Callable[[], bool] = lambda: False) -> None:
        self.wanted = wanted
        self.members: set[Child] = set()
        self.idle: deque[Child] = deque()
        self._is_shared = is_shared
        self._busy: dict[Child, str] = {}
        self._waiters: dict[str, deque[asyncio.Future[Child]]] = {}
        self._last_turn: dict[str, int] = {}
        self._turns = 0

    @property
    def lacking(self) -> int:
        return self.wanted - len(self.members)

    def staffing(self, name: str) -> Staffing:
        idle, waiters = len(self.idle), sum(map(len, self._waiters.values()))
        return Staffing(name, idle, len(self.members) - idle, self.lacking, waiters)

    def is_ready_for(self, whose: str) -> bool:
        """Whether there is an idle worker that this caller may have."""
        return bool(self.idle) and self._has_room(whose)

    async def acquire(self, whose: str) -> Child:
        """The next idle worker, alive when this returns; followed by one ``release``."""
        while True:
            child = self._take_idle(whose) if self.is_ready_for(whose) else await self._wait(whose)
            if child.is_alive:
                return child
            self._busy.pop(child, None)

    async def _wait(self, whose: str) -> Child:
        waiter: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(whose, deque()).append(waiter)
        try:
            with waiting():
                return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(waiter.result())
            raise

    def release(self, child: Child) -> None:
        self._busy.pop(child, None)
        if child.is_alive and child in self.members:
            self.idle.append(child)
        self._hand_out()

    def add(self, child: Child) -> None:
        self.members.add(child)
        self.release(child)

    def remove(self, child: Child) -> None:
        self.members.discard(child)
        with contextlib.suppress(ValueError):
            self.idle.remove(child)

    def refuse_all(self, error: ImgserveError) -> None:
        while self._waiters:
            _, waiters = self._waiters.popitem()
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)

    def _hand_out(self) -> None:
        while self.idle and (whose := self._next()) is not None:
            waiters = self._waiters[whose]
            waiter = waiters.popleft()
            if not waiters:
                del self._waiters[whose]
            if not waiter.done():
                waiter.set_result(self._take_idle(whose))

    def _next(self) -> str | None:
        """Whose turn it is; None when nobody waits who may have another one."""
        candidates = [whose for whose in self._waiters if self._has_room(whose)]
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        return min(candidates, key=lambda whose: (self._count(whose), self._last_turn.get(whose, 0)))

    def _has_room(self, whose: str) -> bool:
        return self.wanted < 2 or not self._is_shared() or self._count(whose) < self.wanted - 1

    def _count(self, whose: str) -> int:
        return list(self._busy.values()).count(whose)

    def _take_idle(self, whose: str) -> Child:
        child = self.idle.popleft()
        self._busy[child] = whose
        self._turns += 1
        self._last_turn[whose] = self._turns
        return child
