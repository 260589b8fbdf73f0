"""Bounded memory for picture bytes: a budget for transfers, and stores for later use.

``Budget`` is asked by ``fetch`` before a source's body is read. ``Store`` keeps probed sources for intake and
renditions for the runner, so that neither is made twice. Both live in one event loop; only ``Reservation.release``
may be called from any thread, because a blob closes wherever its last reference goes.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import msgspec

T = TypeVar("T")

SMALLEST_CHARGE_BYTES = 65_536


class Budget:
    """So many bytes in all, given out in the order they were asked for."""

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self._free = capacity_bytes
        # Releases may come from a finalizer in another thread, or in the middle of our own code: a deque's append is
        # atomic, and only the event loop counts.
        self._returned: deque[int] = deque()
        self._waiters: deque[_Wish] = deque()

    @property
    def free_bytes(self) -> int:
        self._collect()
        return self._free

    def reservation(self) -> "Reservation":
        return Reservation(self)

    def _collect(self) -> None:
        while self._returned:
            self._free += self._returned.popleft()

    def _grant(self) -> None:
        self._collect()
        while self._waiters:
            wish = self._waiters[0]
            if wish.turn.done() or wish.holder.is_released:
                self._waiters.popleft()
                continue
            if wish.size_bytes > self._free:
                return
            self._waiters.popleft()
            self._free -= wish.size_bytes
            wish.holder.size_bytes += wish.size_bytes
            wish.turn.set_result(None)

    def _wish(self, wish: "_Wish") -> None:
        self._waiters.append(wish)
        self._grant()

    def _give_back(self, size_bytes: int) -> None:
        self._returned.append(size_bytes)
        for wish in tuple(self._waiters):
            loop = wish.turn.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._grant)
            return


class _Wish(msgspec.Struct, frozen=True):
    holder: "Reservation"
    size_bytes: int
    turn: asyncio.Future[None]


class Reservation:
    """One holder's share of a budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.is_released = False
        self.size_bytes = 0

    def take(self, size_bytes: int) -> asyncio.Future[None]:
        """Reserve; the future is done at once, or when the bytes are free. More than the whole budget counts as all."""
        wish = _Wish(self, min(size_bytes, self._budget.capacity_bytes), asyncio.get_running_loop().create_future())
        self._budget._wish(wish)
        return wish.turn

    def shrink(self, size_bytes: int) -> None:
        """Keep only so much: the rest was reserved for a length that was not known."""
        surplus = self.size_bytes - size_bytes
        if surplus > 0 and not self.is_released:
            self.size_bytes = size_bytes
            self._budget._give_back(surplus)

    def release(self) -> None:
        """Give everything back, once."""
        if not self.is_released:
            self.is_released = True
            self._budget._give_back(self.size_bytes)


class _Kept(NamedTuple, Generic[T]):
    value: T
    size_bytes: int
    place: str


class Store(Generic[T]):
    """Values kept by name until taken, at most so many of them and so many bytes; the oldest goes first.

    ``on_drop`` gets each value that is dropped untaken, to end its download if that still runs.
    """

    def __init__(
        self, capacity_bytes: int, capacity: int = 1_000_000, on_drop: Callable[[T], None] | None = None
    ) -> None:
        self.capacity_bytes = capacity_bytes
        self.capacity = capacity
        self._on_drop = on_drop
        self.size_bytes = 0
        self._kept: OrderedDict[str, _Kept[T]] = OrderedDict()
        self._newest: dict[str, str] = {}  # place -> name

    def keep(self, name: str, value: T, size_bytes: int, place: str = "") -> None:
        """Hold ``value``; one larger than the whole store is not kept. A small one is charged for its descriptor.

        Of the values for one ``place`` only the newest is kept.
        """
        self.drop(name)
        self.drop(self._newest.get(place, ""))
        kept = _Kept(value, max(size_bytes, SMALLEST_CHARGE_BYTES), place)
        if kept.size_bytes > self.capacity_bytes:
            self._dropped(value)
            return
        self._kept[name] = kept
        self.size_bytes += kept.size_bytes
        if place:
            self._newest[place] = name
        while self.size_bytes > self.capacity_bytes or len(self._kept) > self.capacity:
            self.drop(next(iter(self._kept)))

    def take(self, name: str) -> T | None:
        """Hand the value over; it is no longer kept."""
        kept = self._kept.pop(name, None)
        if kept is None:
            return None
        self.size_bytes -= kept.size_bytes
        if self._newest.get(kept.place) == name:
            del self._newest[kept.place]
        return kept.value

    def drop(self, name: str) -> None:
        value = self.take(name)
        if value is not None:
            self._dropped(value)

    def _dropped(self, value: T) -> None:
        if self._on_drop is not None:
            self._on_drop(value)
