"""Bounded stores of picture bytes for later use: probed sources from intake, renditions for a next attempt, and drawn
placeholders, so that none is made twice. Live in one event loop.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, Protocol, TypeVar


class Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closable)

# A small value is charged for its descriptor too.
SMALLEST_CHARGE_BYTES = 65_536


class _Kept(NamedTuple, Generic[T]):
    value: T
    size_bytes: int
    place: str


class Store(Generic[T]):
    """Owns values by name until they are taken: at most so many, and so many bytes. The oldest is closed first."""

    def __init__(self, capacity_bytes: int, capacity: int = 1_000_000) -> None:
        self.capacity_bytes = capacity_bytes
        self.capacity = capacity
        self.size_bytes = 0
        self._kept: OrderedDict[Hashable, _Kept[T]] = OrderedDict()
        self._newest: dict[str, Hashable] = {}  # place -> name

    def keep(self, name: Hashable, value: T, size_bytes: int, place: str = "") -> None:
        """Own ``value``; one larger than the whole store is closed. Of the values for one ``place`` only the newest is
        kept.
        """
        self.drop(name)
        self.drop(self._newest.get(place, ""))
        kept = _Kept(value, max(size_bytes, SMALLEST_CHARGE_BYTES), place)
        self._kept[name] = kept
        self.size_bytes += kept.size_bytes
        if place:
            self._newest[place] = name
        if kept.size_bytes > self.capacity_bytes:
            self.drop(name)
        while self.size_bytes > self.capacity_bytes or len(self._kept) > self.capacity:
            self.drop(next(iter(self._kept)))

    def get(self, name: Hashable) -> T | None:
        """The value, which stays the store's, and from now on counts as the newest."""
        kept = self._kept.get(name)
        if kept is None:
            return None
        self._kept.move_to_end(name)
        return kept.value

    def take(self, name: Hashable) -> T | None:
        """Hand the value over to the caller."""
        kept = self._kept.pop(name, None)
        if kept is None:
            return None
        self.size_bytes -= kept.size_bytes
        if self._newest.get(kept.place) == name:
            del self._newest[kept.place]
        return kept.value

    def drop(self, name: Hashable) -> None:
        value = self.take(name)
        if value is not None:
            value.close()

    def close(self) -> None:
        for name in tuple(self._kept):
            self.drop(name)
