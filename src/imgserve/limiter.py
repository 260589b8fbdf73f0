"""Keyed concurrency limits: so much in all, and so many holders of each key. For slots, workers and memory.

A request names all its keys, holds none while it waits, and is granted at once or when there is room. Room goes to the
request whose first key has the fewest holders; of equals to the key that was served the longest ago; then to the
oldest request. A request without room for its weight holds up all later ones, or a large one would wait for ever.

A limiter may rank by more keys than the first: each one decides between requests that are alike in those before it.
Thousands may wait, so neither a new request nor a grant looks at all of them.
"""

import asyncio
from bisect import bisect_left, insort
from collections import deque
from functools import partial
from operator import attrgetter
from typing import NamedTuple

import msgspec

# First keys whose last grant is remembered. They may be hosts, which come and go.
_REMEMBERED = 1024
_RANK = attrgetter("rank")


class Key(NamedTuple):
    """At most ``limit`` requests may hold the key ``name``; weights do not count."""

    name: str
    limit: int


_NO_KEY = Key("", 1)  # no request holds it
Keys = tuple[Key, ...]


class _Request(msgspec.Struct, frozen=True, eq=False):
    """``ranked`` are the keys that it is ranked by."""

    keys: Keys
    ranked: Keys
    weight: int
    number: int
    grant: asyncio.Future[None]


def _first_number(queue: deque[_Request]) -> int:
    return queue[0].number


class _Line:
    """Waiting requests that are alike in their ranked keys, of which ``later`` are those behind the first.

    ``rank`` is its place among the lines of its group: holders and last grant of each of these keys, and a number that
    is not above that of any of its requests. Those of the same keys are a queue, of which only the first is looked at.
    ``order`` has the queues by the numbers of their first.
    """

    __slots__ = ("later", "order", "queues", "rank")

    def __init__(self, later: Keys) -> None:
        self.later = later
        self.queues: dict[Keys, deque[_Request]] = {}
        self.order: list[deque[_Request]] = []
        self.rank: tuple[int, ...] = ()

    def add(self, request: _Request) -> None:
        queue = self.queues.get(request.keys)
        if queue is None:
            queue = self.queues[request.keys] = deque()
            self.order.append(queue)  # no other has so high a number
        queue.append(request)

    def remove(self, request: _Request) -> None:
        queue = self.queues[request.keys]
        if queue[0] is not request:
            queue.remove(request)
            return
        del self.order[bisect_left(self.order, request.number, key=_first_number)]
        queue.popleft()
        if queue:
            insort(self.order, queue, key=_first_number)
        else:
            del self.queues[request.keys]


class _Group:
    """The lines of one first key, in the order of their ranks."""

    __slots__ = ("key", "lines", "order")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.lines: dict[Keys, _Line] = {}
        self.order: list[_Line] = []

    def place(self, line: _Line, rank: tuple[int, ...]) -> None:
        """Put it where its rank belongs, from where it was."""
        if line.rank:
            del self.order[bisect_left(self.order, line.rank, key=_RANK)]
        line.rank = rank
        if rank:
            insort(self.order, line, key=_RANK)


class Limiter:
    """``total`` bounds the sum of all weights. Requests are ranked by their first ``ranked`` keys. Lives in one event
    loop.
    """

    def __init__(self, total: int, ranked: int = 1) -> None:
        self.total = total
        self._ranked = ranked
        self.held = 0
        self.waiting = 0
        self._holders: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._groups: dict[Key, _Group] = {}
        self._lines: dict[str, list[tuple[_Group, _Line]]] = {}  # by the names of their later ranked keys
        # Whether a request may wait whose keys have room, but not its weight.
        self._may_be_held_up = False
        self._served: dict[str, int] = {}  # ranked key -> number of its last grant, the oldest first
        self._last = 0  # number of the last request or grant

    def asked(self, key: Key) -> int:
        """How many requests hold the key or wait for it."""
        return self._holders.get(key.name, 0) + self._waiting.get(key.name, 0)

    def is_free(self, *keys: Key, weight: int = 1) -> bool:
        """Whether a request would be granted at once."""
        fits = self.held + weight <= self.total and self._has_room(keys)
        return fits and (not self._may_be_held_up or self._next() is None)

    def take(self, *keys: Key, weight: int = 1) -> bool:
        """Acquire at once; False, and nothing is done, where that cannot be."""
        if self.held + weight > self.total or not self._has_room(keys):
            return False
        if self._may_be_held_up and self._next() is not None:
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
        self._add(request)
        grant.add_done_callback(partial(self._given_up, request))
        if self._has_room(keys):  # it is held up, or may come before the one that holds up the others
            self._may_be_held_up = True
            self._admit()
        return grant

    def release(self, *keys: Key, weight: int = 1) -> None:
        """Give back what was acquired. A weight of 0 gives back some of the keys before the rest."""
        self.held -= weight
        holders = self._holders
        for name, _ in keys:  # as ``_count`` does: a job comes here some ten times
            count = holders.get(name, 0) - 1
            if count:
                holders[name] = count
            else:
                del holders[name]
        if self.waiting:
            self._rank_anew(keys)
            self._admit()

    def _admit(self) -> None:
        while self.held < self.total:
            request = self._next()
            if request is None:
                self._may_be_held_up = False
                return
            if self.held + request.weight > self.total:
                self._may_be_held_up = True
                return
            self._remove(request)
            self._hold(request.keys, request.weight)
            request.grant.set_result(None)
        self._may_be_held_up = self.waiting > 0  # of a full limiter that need not be known

    def _next(self) -> _Request | None:
        """The request that is to be granted next, of those whose keys have room."""
        best: _Request | None = None
        least: list[int] = []
        for group in self._groups.values():
            if not self._has_room((group.key,)) or (least and self._turn(group.key) > least[:2]):
                continue
            request = self._first(group)
            if request is not None and (not least or self._rank(request) < least):
                best, least = request, self._rank(request)
        return best

    def _first(self, group: _Group) -> _Request | None:
        """The same of one group."""
        best: _Request | None = None
        least: tuple[int, ...] = ()
        for line in group.order:
            if best is not None and line.rank > least:
                break
            head = self._head(line) if self._has_room(line.later) else None
            if head is not None and (best is None or head.number < best.number):
                best, least = head, (*line.rank[:-1], head.number)
        return best

    def _head(self, line: _Line) -> _Request | None:
        """The oldest request of the line whose keys have room."""
        best: _Request | None = None
        for queue in line.order:  # at most as many without room as there are holders
            if best is not None and queue[0].number > best.number:
                break
            head = _oldest(queue) if self._has_room(queue[0].keys) else None
            if head is not None and (best is None or head.number < best.number):
                best = head  # not of the first queue, where requests have been given up in this turn
        return best

    def _rank(self, request: _Request) -> list[int]:
        return [*(count for key in request.ranked for count in self._turn(key)), request.number]

    def _turn(self, key: Key) -> list[int]:
        return [self._holders.get(key.name, 0), self._served.get(key.name, 0)]

    def _ranked_of(self, keys: Keys) -> Keys:
        return keys[: self._ranked] if len(keys) >= self._ranked else (*keys, *(_NO_KEY,) * (self._ranked - len(keys)))

    def _has_room(self, keys: Keys) -> bool:
        for name, limit in keys:  # noqa: SIM110 - a generator takes three times as long
            if self._holders.get(name, 0) >= limit:
                return False
        return True

    def _hold(self, keys: Keys, weight: int) -> None:
        self.held += weight
        holders, served = self._holders, self._served
        for name, _ in keys:
            holders[name] = holders.get(name, 0) + 1
        self._last += 1
        ranked = keys if len(keys) == self._ranked else self._ranked_of(keys)
        for name, _ in ranked:
            served.pop(name, None)
            served[name] = self._last
        while len(served) > _REMEMBERED:
            del served[next(iter(served))]
        if self._lines:
            self._rank_anew(keys if len(keys) >= self._ranked else ranked)

    def _rank_anew(self, keys: Keys) -> None:
        """After a grant or a release: the place of the lines that have one of the keys behind their first."""
        for name, _ in keys:
            for group, line in self._lines.get(name, ()):
                self._place(group, line, line.rank[-1])

    def _place(self, group: _Group, line: _Line, number: int) -> None:
        group.place(line, (*(count for key in line.later for count in self._turn(key)), number))

    def _given_up(self, request: _Request, grant: asyncio.Future[None]) -> None:
        if grant.cancelled():
            self._remove(request)
            self._admit()

    def _add(self, request: _Request) -> None:
        first, later = request.ranked[0], request.ranked[1:]
        group = self._groups.get(first)
        if group is None:
            group = self._groups[first] = _Group(first)
        line = group.lines.get(later)
        if line is None:
            line = group.lines[later] = _Line(later)
            self._place(group, line, request.number)
            for name, _ in later:
                self._lines.setdefault(name, []).append((group, line))
        line.add(request)
        self.waiting += 1
        _count(self._waiting, request.keys, 1)

    def _remove(self, request: _Request) -> None:
        group = self._groups[request.ranked[0]]
        line = group.lines[request.ranked[1:]]
        line.remove(request)
        self.waiting -= 1
        _count(self._waiting, request.keys, -1)
        if line.queues:
            return
        group.place(line, ())
        del group.lines[line.later]
        for name, _ in line.later:
            lines = self._lines[name]
            lines.remove((group, line))
            if not lines:
                del self._lines[name]
        if not group.lines:
            del self._groups[group.key]


def _oldest(queue: deque[_Request]) -> _Request | None:
    return next((request for request in queue if not request.grant.cancelled()), None)


def _count(counts: dict[str, int], keys: Keys, by: int) -> None:
    """Forgets a key at zero: hosts come and go."""
    for name, _ in keys:
        count = counts.get(name, 0) + by
        if count:
            counts[name] = count
        else:
            del counts[name]
