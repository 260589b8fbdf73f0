"""Keyed concurrency limits: so much in all, and so many holders of each key. For slots, workers and memory.

A request names all its keys, holds none while it waits, and is granted at once or when there is room. Room goes to the
request whose first key has the fewest holders; of equals to the key that was served the longest ago; then to the
oldest request. A request without room for its weight holds up all later ones, or a large one would wait for ever.

A limiter may rank by more keys than the first: each one decides between requests that are alike in those before it.
"""

import asyncio
from collections import deque
from functools import partial
from typing import NamedTuple

import msgspec

# First keys whose last grant is remembered. They may be hosts, which come and go.
_REMEMBERED = 1024


class Key(NamedTuple):
    """At most ``limit`` requests may hold the key ``name``; weights do not count."""

    name: str
    limit: int


_NO_KEY = Key("", 1)  # no request holds it


class _Request(msgspec.Struct, frozen=True, eq=False):
    """``ranked`` are the keys that it is ranked by."""

    keys: tuple[Key, ...]
    ranked: tuple[Key, ...]
    weight: int
    number: int
    grant: asyncio.Future[None]


class Limiter:
    """``total`` bounds the sum of all weights. Requests are ranked by their first ``ranked`` keys. Lives in one event
    loop.
    """

    def __init__(self, total: int, ranked: int = 1) -> None:
        self.total = total
        self._ranked = ranked
        self.held = 0
        self._holders: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._lines: dict[tuple[Key, ...], deque[_Request]] = {}  # by ranked keys
        self._served: dict[str, int] = {}  # ranked key -> number of its last grant, the oldest first
        self._last = 0  # number of the last request or grant

    @property
    def waiting(self) -> int:
        return sum(map(len, self._lines.values()))

    def asked(self, key: Key) -> int:
        """How many requests hold the key or wait for it."""
        return self._holders.get(key.name, 0) + self._waiting.get(key.name, 0)

    def is_free(self, *keys: Key, weight: int = 1) -> bool:
        """Whether a request would be granted at once."""
        fits = self.held + weight <= self.total and self._has_room(keys)
        return fits and (not self._lines or self._next() is None)

    def take(self, *keys: Key, weight: int = 1) -> bool:
        """Acquire at once; False, and nothing is done, where that cannot be."""
        if not self.is_free(*keys, weight=weight):
            return False
        self._hold(keys, weight)
        return True

    async def acquire(self, *keys: Key, weight: int = 1) -> None:
        """Wait until granted; every return is followed by one ``release`` of the same."""
        if self.take(*keys, weight=weight):  # the usual case needs no future
            return
        grant = self.request(*keys, weight=weight)
        try:
            await grant
        except asyncio.CancelledError:
            if not grant.cancelled():
                self.release(*keys, weight=weight)
            raise

    def request(self, *keys: Key, weight: int = 1) -> asyncio.Future[None]:
        """A future that is done when granted, perhaps already. Cancel it to give up."""
        grant: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.take(*keys, weight=weight):
            grant.set_result(None)
            return grant
        self._last += 1
        request = _Request(keys, self._ranked_of(keys), weight, self._last, grant)
        self._lines.setdefault(request.ranked, deque()).append(request)
        _count(self._waiting, keys, 1)
        grant.add_done_callback(partial(self._given_up, request))
        self._admit()
        return grant

    def release(self, *keys: Key, weight: int = 1) -> None:
        """Give back what was acquired. A weight of 0 gives back some of the keys before the rest."""
        self.held -= weight
        _count(self._holders, keys, -1)
        if self._lines:
            self._admit()

    def _admit(self) -> None:
        while self.held < self.total and (request := self._next()) is not None:
            if self.held + request.weight > self.total:
                return
            self._remove(request)
            self._hold(request.keys, request.weight)
            request.grant.set_result(None)

    def _next(self) -> _Request | None:
        """The request that is to be granted next, of those whose keys have room."""
        ready = (self._head(line) for ranked, line in self._lines.items() if self._has_room(ranked))
        return min(filter(None, ready), key=self._rank, default=None)

    def _head(self, line: deque[_Request]) -> _Request | None:
        for request in line:
            if self._has_room(request.keys) and not request.grant.cancelled():
                return request
        return None

    def _rank(self, request: _Request) -> list[int]:
        rank: list[int] = []
        for name, _ in request.ranked:
            rank += (self._holders.get(name, 0), self._served.get(name, 0))
        return [*rank, request.number]

    def _ranked_of(self, keys: tuple[Key, ...]) -> tuple[Key, ...]:
        return keys[: self._ranked] if len(keys) >= self._ranked else (*keys, *(_NO_KEY,) * (self._ranked - len(keys)))

    def _has_room(self, keys: tuple[Key, ...]) -> bool:
        for name, limit in keys:  # noqa: SIM110 - a generator takes three times as long
            if self._holders.get(name, 0) >= limit:
                return False
        return True

    def _hold(self, keys: tuple[Key, ...], weight: int) -> None:
        self.held += weight
        _count(self._holders, keys, 1)
        self._last += 1
        for name, _ in self._ranked_of(keys):
            self._served.pop(name, None)
            self._served[name] = self._last
        while len(self._served) > _REMEMBERED:
            del self._served[next(iter(self._served))]

    def _given_up(self, request: _Request, grant: asyncio.Future[None]) -> None:
        if grant.cancelled():
            self._remove(request)
            self._admit()

    def _remove(self, request: _Request) -> None:
        line = self._lines[request.ranked]
        line.remove(request)
        _count(self._waiting, request.keys, -1)
        if not line:
            del self._lines[request.ranked]


def _count(counts: dict[str, int], keys: tuple[Key, ...], by: int) -> None:
    """Forgets a key at zero: hosts come and go."""
    for name, _ in keys:
        count = counts.get(name, 0) + by
        if count:
            counts[name] = count
        else:
            del counts[name]
