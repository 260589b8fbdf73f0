"""Which due jobs are next: callers take turns, so that a long row of one caller's jobs keeps nobody else waiting, and
jobs for a host that has all it may have are passed over.

Asked by each claim (``attempts``), inside its transaction. The cost: one look into an index for each caller with
open jobs, for each job that is taken, and for each set of hosts (``heads``) with a full one.
"""

import heapq
from collections.abc import Iterator

import apsw
import msgspec

from imgserve.jobs.protocol import HostRoom
from imgserve.jobs.sqlite.connection import rows

PAGE_ROWS = 16
# Each walks down one index only, on from the row that was read last.
HEADS = (
    "SELECT run_at, hosts FROM head INDEXED BY head_order WHERE caller = ? AND (run_at, hosts) > (?, ?)"
    " ORDER BY run_at, hosts LIMIT ?"
)
JOBS = (
    "SELECT run_at, number FROM job INDEXED BY job_due WHERE status = 'queued' AND caller = ? AND hosts = ?"
    " AND run_at <= ? AND (run_at, number) > (?, ?) ORDER BY run_at, number LIMIT ?"
)
UNDER_WAY = "SELECT caller, count(*) FROM job INDEXED BY job_leased WHERE status = 'running' GROUP BY caller"
_BEFORE_ALL = float("-inf")

_Row = Iterator[tuple[float, int]]


class Room:
    """The attempts that each host may still get while jobs are chosen."""

    def __init__(self, hosts: HostRoom) -> None:
        self._most = hosts.most
        self._left = dict(hosts.left)

    def is_full(self, hosts: str) -> bool:
        if " " not in hosts:
            return self._left.get(hosts, self._most) <= 0
        return any(self._left.get(host, self._most) <= 0 for host in hosts.split(" "))

    def take(self, hosts: str) -> None:
        for host in hosts.split(" "):
            self._left[host] = self._left.get(host, self._most) - 1


class Chosen(msgspec.Struct, frozen=True):
    """``numbers`` are those of the jobs to be claimed; ``seen``: the callers and hosts whose jobs were looked at."""

    numbers: list[int]
    seen: list[tuple[str, str]]


def choose(db: apsw.Connection, principals: list[str], places: int, now: float, kept: int, room: Room) -> Chosen:
    """The jobs of ``principals`` to be claimed, as ``Queue.take_work`` has it; they take their part of ``room``."""
    if places <= 0:
        return Chosen([], [])
    seen: list[tuple[str, str]] = []
    if len(principals) == 1 and not kept:
        chosen: list[int] = []
        for _, number, hosts in _due_of(db, principals[0], min(places, PAGE_ROWS), now, room, seen):
            room.take(hosts)
            chosen.append(number)
            if len(chosen) == places:
                break
        return Chosen(chosen, seen)
    under_way: dict[str, int] = dict(rows(db, UNDER_WAY))
    due = [_due_of(db, principal, min(places, PAGE_ROWS), now, room, seen) for principal in principals]
    turns = [
        _Turn(under_way.get(principal, 0), *first, index)
        for index, principal in enumerate(principals)
        if (first := next(due[index], None)) is not None
    ]
    heapq.heapify(turns)
    chosen = []
    while turns and len(chosen) < places:
        turn = heapq.heappop(turns)
        if turn.under_way >= kept and places - len(chosen) <= kept:
            break  # nobody behind it has fewer
        count = turn.under_way
        if not room.is_full(turn.hosts):
            room.take(turn.hosts)
            chosen.append(turn.number)
            count += 1
        job = next(due[turn.principal], None)
        if job is not None:
            heapq.heappush(turns, _Turn(count, *job, turn.principal))
    return Chosen(chosen, seen)


def next_at(db: apsw.Connection, principals: list[str], room: Room) -> tuple[float | None, bool]:
    """When the next queued job falls due whose hosts have room; and whether others are passed over for want of it."""
    times: list[float] = []
    is_held_back = False
    for principal in principals:
        for run_at, hosts in _heads(db, principal):
            if not room.is_full(hosts):
                times.append(run_at)
                break
            is_held_back = True
    return min(times, default=None), is_held_back


class _Turn(msgspec.Struct, frozen=True, order=True):
    """A caller's oldest job that may be taken. The caller with the fewest jobs under way goes first."""

    under_way: int
    run_at: float
    number: int
    hosts: str
    principal: int


def _due_of(
    db: apsw.Connection, principal: str, page_rows: int, now: float, room: Room, seen: list[tuple[str, str]]
) -> Iterator[tuple[float, int, str]]:
    """One caller's due jobs whose hosts have room, the oldest first: the rows of several hosts, merged."""
    heads = _heads(db, principal)
    head = next(heads, None)
    fronts: list[tuple[float, int, str, _Row]] = []
    while True:
        while head is not None and head[0] <= now and (not fronts or head[0] <= fronts[0][0]):
            if not room.is_full(head[1]):
                seen.append((principal, head[1]))
                _push(fronts, head[1], _jobs(db, principal, head[1], page_rows, now), room)
            head = next(heads, None)
        if not fronts:
            return
        run_at, number, hosts, row = heapq.heappop(fronts)
        if not room.is_full(hosts):
            yield run_at, number, hosts
        _push(fronts, hosts, row, room)


def _push(fronts: list[tuple[float, int, str, _Row]], hosts: str, row: _Row, room: Room) -> None:
    job = None if room.is_full(hosts) else next(row, None)
    if job is not None:
        heapq.heappush(fronts, (*job, hosts, row))


def _heads(db: apsw.Connection, principal: str) -> Iterator[tuple[float, str]]:
    last: tuple[float, str] = (_BEFORE_ALL, "")
    while page := rows(db, HEADS, (principal, *last, PAGE_ROWS)):
        yield from page
        if len(page) < PAGE_ROWS:
            return
        last = page[-1]


def _jobs(db: apsw.Connection, principal: str, hosts: str, page_rows: int, now: float) -> _Row:
    last: tuple[float, int] = (_BEFORE_ALL, 0)
    while page := rows(db, JOBS, (principal, hosts, now, *last, page_rows)):
        yield from page
        if len(page) < page_rows:
            return
        last = page[-1]
