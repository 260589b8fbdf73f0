"""A bound on concurrent work, with fair scheduling between principals. Used by ``pool.py`` only; does no I/O.

A lane has places. The holder of a place gets a process from the stock (``stock.py``). A free place goes to the
principal with the fewest places; among equals, to the one whose last turn is the longest ago. The requests of one
principal are served in the order in which they came.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable

from imgserve.errors import ImgserveError
from imgserve.timeout import waiting


class Lane:
    """``is_shared``: principals are several, so each leaves one place to the others where there are two or more."""

    def __init__(self, name: str, places: int, is_shared: Callable[[], bool] = lambda: False) -> None:
        self.name = name
        self.places = places
        self._is_shared = is_shared
        self.busy = 0
        self._busy: Counter[str] = Counter()
        self._waiters: dict[str, deque[asyncio.Future[None]]] = {}
        self._last_turn: dict[str, int] = {}
        self._turns = 0

    @property
    def idle(self) -> int:
        return self.places - self.busy

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiters.values()))

    def is_ready_for(self, whose: str) -> bool:
        """Whether there is a place that this principal may have at once."""
        return self.idle > 0 and self._has_room(whose)

    async def acquire(self, whose: str) -> None:
        """Wait for a place; followed by one ``release``. Raises the error of ``refuse_all``."""
        if self.is_ready_for(whose):
            self._take(whose)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(whose, deque()).append(waiter)
        try:
            with waiting():
                await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(whose)
            raise

    def release(self, whose: str) -> None:
        self.busy -= 1
        self._busy[whose] -= 1
        if not self._busy[whose]:
            del self._busy[whose]
        if self._waiters:
            self._hand_out()

    def refuse_all(self, error: ImgserveError) -> None:
        while self._waiters:
            _, waiters = self._waiters.popitem()
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)

    def _hand_out(self) -> None:
        while self.idle > 0 and (whose := self._next()) is not None:
            waiters = self._waiters[whose]
            waiter = waiters.popleft()
            if not waiters:
                del self._waiters[whose]
            if not waiter.done():
                self._take(whose)
                waiter.set_result(None)

    def _next(self) -> str | None:
        """The principal whose turn it is; None when no waiting principal may have another place."""
        candidates = [whose for whose in self._waiters if self._has_room(whose)]
        return min(candidates, key=lambda whose: (self._busy[whose], self._last_turn.get(whose, 0)), default=None)

    def _has_room(self, whose: str) -> bool:
        return self.places < 2 or not self._is_shared() or self._busy[whose] < self.places - 1

    def _take(self, whose: str) -> None:
        self.busy += 1
        self._busy[whose] += 1
        self._turns += 1
        self._last_turn[whose] = self._turns
