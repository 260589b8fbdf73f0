"""Who asks, and how those who ask at the same time share the server's intake.

The doors (``api``) say who a caller is; ``intake`` lets each of several have a part of its turns only, so that a flood
by one leaves turns for the others, and turns away unread who has just heard that its share of the queue is full.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import msgspec

from imgserve.crowd import IntakeFull
from imgserve.jobs.queue import ShareFull

# A full share is believed to be full for so long: a probe for each job that is refused would cost more than the jobs.
FULL_FOR_S = 0.25


class Caller(msgspec.Struct, frozen=True):
    """``id`` tells callers apart; ``name`` is for the log and tells nothing of a key.

    ``is_sharing``: others may ask too, so it must leave them room.
    """

    id: str
    name: str
    is_sharing: bool = False


class Sharing:
    def __init__(
        self, max_at_once: int, max_waiting: int, share: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``share``: the part of the turns, and of the places where one waits for them, that one caller may have."""
        self._all = asyncio.Semaphore(max_at_once)
        self._each = max(int(max_at_once * share), 1)
        self._present_each = self._each + int(max_waiting * share)
        self._present: Counter[str] = Counter()
        self._own: dict[str, asyncio.Semaphore] = {}
        self._full: dict[str, tuple[ShareFull, float]] = {}
        self._clock = clock

    def turn(self, caller: Caller) -> AbstractAsyncContextManager[None]:
        """Wait for a turn, and hold it. Raises IntakeFull, ShareFull."""
        return self._shared_turn(caller) if caller.is_sharing else self._all

    @contextlib.asynccontextmanager
    async def _shared_turn(self, caller: Caller) -> AsyncIterator[None]:
        own = self._own.get(caller.id) or self._own.setdefault(caller.id, asyncio.Semaphore(self._each))
        if self._present[caller.id] >= self._present_each:
            raise IntakeFull(
                f"{self._present[caller.id]} requests of this caller wait for their reply", "try again later"
            )
        self._present[caller.id] += 1
        try:
            async with own, self._all:
                self._check(caller)
                yield
        finally:
            self._present[caller.id] -= 1

    def _check(self, caller: Caller) -> None:
        """Raises ShareFull."""
        told = self._full.get(caller.id)
        if told is not None and self._clock() < told[1]:
            raise ShareFull(told[0].detail, told[0].hint, told[0].part, told[0].retry_after_s)

    def is_full(self, error: ShareFull, caller: Caller) -> None:
        """The queue has refused this caller's job."""
        self._full[caller.id] = (error, self._clock() + FULL_FOR_S)
