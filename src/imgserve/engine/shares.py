"""Keyed concurrency limits. A request acquires all of its keys at once, or waits until it can.

``callers`` uses it for callers, source hosts and destination hosts. No request holds one key while it waits for
another, so that requests for one host do not keep those for other hosts waiting.
"""

import asyncio
from collections import deque

import msgspec

from imgserve.engine.admission import IntakeFull


class Part(msgspec.Struct, frozen=True):
    """``turns`` requests may hold ``key`` at once; ``places`` bounds holders and waiters. ``what`` is for people."""

    key: str
    turns: int
    places: int
    what: str


Parts = tuple[Part, ...]


class _Waiter(msgspec.Struct, frozen=True):
    parts: Parts
    turn: asyncio.Future[None]


class Shares:
    """Lives in one event loop. A request waits at the first of its keys that is full, until a holder ends."""

    def __init__(self) -> None:
        self._present: dict[str, int] = {}
        self._busy: dict[str, int] = {}
        self._parked: dict[str, deque[_Waiter]] = {}

    async def take(self, parts: Parts) -> None:
        """Wait for a turn of each; every return is followed by ``give_back`` of each. Raises IntakeFull."""
        for part in parts:
            if (present := self._present.get(part.key, 0)) >= part.places:
                raise IntakeFull(f"{present} requests {part.what} wait for their reply", "try again later")
        for part in parts:
            _count(self._present, part.key, 1)
        full = self._full(parts)
        if full is None:
            self._occupy(parts)
            return
        waiter = _Waiter(parts, asyncio.get_running_loop().create_future())
        self._parked.setdefault(full, deque()).append(waiter)
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if not waiter.turn.cancelled():
                self.give_back(parts)
            else:
                for part in parts:
                    _count(self._present, part.key, -1)
            raise

    def give_back(self, parts: Parts) -> None:
        for part in parts:
            _count(self._present, part.key, -1)
            _count(self._busy, part.key, -1)
        for part in parts:
            if part.key in self._parked:
                self._admit(part.key)

    def _admit(self, key: str) -> None:
        """Those parked here go on: to their turn, or to where they have to wait next."""
        parked = self._parked[key]
        while parked:
            waiter = parked[0]
            if not waiter.turn.done():
                full = self._full(waiter.parts)
                if full == key:
                    return
                if full is None:
                    self._occupy(waiter.parts)
                    waiter.turn.set_result(None)
                else:
                    self._parked.setdefault(full, deque()).append(waiter)
            parked.popleft()
        del self._parked[key]

    def _full(self, parts: Parts) -> str | None:
        for part in parts:
            if self._busy.get(part.key, 0) >= part.turns:
                return part.key
        return None

    def _occupy(self, parts: Parts) -> None:
        for part in parts:
            _count(self._busy, part.key, 1)


def _count(counts: dict[str, int], key: str, by: int) -> None:
    """Removes keys that reach zero: hosts come and go."""
    count = counts.get(key, 0) + by
    if count:
        counts[key] = count
    else:
        del counts[key]
