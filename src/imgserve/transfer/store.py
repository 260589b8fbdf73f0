"""Bounded stores of pictures for later use: prefetched sources, renditions for a next attempt, and placeholders."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, Protocol, TypeVar


class Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closable)

# A small value is charged for its descriptor too.
SMALLEST_CHARGE_BYTES = 65_536


class _Entry(NamedTuple, Generic[T]):
    value: T
    size_bytes: int
    group: str


class Store(Generic[T]):
    """Owns values by name until they are taken: at most so many, and so many bytes. The oldest is closed first."""

    def __init__(self, capacity_bytes: int, capacity: int = 1_000_000) -> None:
        self.capacity_bytes = capacity_bytes
        self.capacity = capacity
        self.size_bytes = 0
        self._entries: OrderedDict[Hashable, _Entry[T]] = OrderedDict()
        self._newest: dict[str, Hashable] = {}  # group -> name

    def keep(self, name: Hashable, value: T, size_bytes: int, group: str = "") -> None:
        """Own ``value``, or close one that is larger than the whole store. Of one ``group`` only the newest stays."""
        self.drop(name)
        self.drop(self._newest.get(group, ""))
        entry = _Entry(value, max(size_bytes, SMALLEST_CHARGE_BYTES), group)
        self._entries[name] = entry
        self.size_bytes += entry.size_bytes
        if group:
            self._newest[group] = name
        if entry.size_bytes > self.capacity_bytes:
            self.drop(name)
        while self.size_bytes > self.capacity_bytes or len(self._entries) > self.capacity:
            self.drop(next(iter(self._entries)))

    def get(self, name: Hashable) -> T | None:
        """The value, which stays the store's, and from now on counts as the newest."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        self._entries.move_to_end(name)
        return entry.value

    def take(self, name: Hashable) -> T | None:
        """Hand the value over to the caller."""
        entry = self._entries.pop(name, None)
        if entry is None:
            return None
        self.size_bytes -= entry.size_bytes
        if self._newest.get(entry.group) == name:
            del self._newest[entry.group]
        return entry.value

    def drop(self, name: Hashable) -> None:
        value = self.take(name)
        if value is not None:
            value.close()

    def close(self) -> None:
        for name in tuple(self._entries):
            self.drop(name)
