"""A bound on concurrent transfers, in all and per peer; first come, first served.

Called by ``curl`` around each exchange. A peer at its limit holds back only transfers to the same peer.
"""

import asyncio
from collections import Counter, deque

import msgspec


class _Waiter(msgspec.Struct, frozen=True):
    peer: str
    per_peer: int
    turn: asyncio.Future[None]


class Slots:
    """Counts running transfers; lives in one event loop."""

    def __init__(self, total: int) -> None:
        self._free = total
        self._busy: Counter[str] = Counter()
        self._waiters: deque[_Waiter] = deque()

    def try_acquire(self, peer: str, per_peer: int) -> bool:
        """Take a slot if one is free and nobody waits; True is followed by one ``release`` of the same peer."""
        is_free = not self._waiters and self._free > 0 and self._busy[peer] < per_peer
        if is_free:
            self._occupy(peer)
        return is_free

    async def acquire(self, peer: str, per_peer: int) -> None:
        """Wait for a slot; every return is followed by one ``release`` of the same peer."""
        if self.try_acquire(peer, per_peer):
            return
        waiter = _Waiter(peer, per_peer, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._admit()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if not waiter.turn.cancelled():
                self.release(peer)
            raise

    def release(self, peer: str) -> None:
        self._free += 1
        self._busy[peer] -= 1
        if not self._busy[peer]:
            del self._busy[peer]
        self._admit()

    @property
    def busy(self) -> int:
        return self._busy.total()

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    def _occupy(self, peer: str) -> None:
        self._free -= 1
        self._busy[peer] += 1

    def _admit(self) -> None:
        held_back: deque[_Waiter] = deque()
        while self._waiters and self._free > 0:
            waiter = self._waiters.popleft()
            if waiter.turn.done():
                continue
            if self._busy[waiter.peer] >= waiter.per_peer:
                held_back.append(waiter)
                continue
            self._occupy(waiter.peer)
            waiter.turn.set_result(None)
        self._waiters.extendleft(reversed(held_back))
