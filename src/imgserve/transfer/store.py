"""Bounded stores of picture bytes for later use: probed sources from intake, renditions for a next attempt, and drawn
placeholders, so that none is made twice. Live in one event loop.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

SMALLEST_CHARGE_BYTES = 65_536


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
        self._kept: OrderedDict[Hashable, _Kept[T]] = OrderedDict()
        self._newest: dict[str, Hashable] = {}  # place -> name

    def keep(self, name: Hashable, value: T, size_bytes: int, place: str = "") -> None:
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

    def get(self, name: Hashable) -> T | None:
        """The value, which stays, and from now on counts as the newest."""
        kept = self._kept.get(name)
        if kept is None:
            return None
        self._kept.move_to_end(name)
        return kept.value

    def take(self, name: Hashable) -> T | None:
        """Hand the value over; it is no longer kept."""
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
            self._dropped(value)

    def _dropped(self, value: T) -> None:
        if self._on_drop is not None:
            self._on_drop(value)
