"""Fair scheduling: which due jobs are claimed next.

The principal with the fewest running jobs is next, so a long backlog of one principal delays nobody else; priorities
order its own jobs (``lanes``). Jobs for a host without room are passed over. Each claim (``attempts``) asks inside its
transaction. The cost is one look into an index for each lane with open jobs, for each claimed job, and for each set of
hosts (``heads``) without room.
"""

import heapq
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from imgserve.jobs.lanes import Lane, Turns
from imgserve.jobs.protocol import HostRoom
from imgserve.jobs.sql.database import Reader, rows
from imgserve.jobs.sql.queries import load
from imgserve.request.job import Priority

SQL = load("scheduling")

PAGE_ROWS = 16
_BEFORE_ALL = float("-inf")

_Job = tuple[float, int, str]  # due time, number, hosts


class Room:
    """The attempts that each host may still get while jobs are choice."""

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


class Choice(msgspec.Struct, frozen=True):
    """``numbers`` of the jobs to claim; ``heads``: the lanes and hosts whose jobs were looked at."""

    numbers: list[int]
    heads: list[tuple[Lane, str]]


class _DueJobs:
    """One principal's due jobs: of each of its lanes the oldest that is left."""

    def __init__(self, principal: str, lanes: dict[Priority, Iterator[_Job]], turns: Turns) -> None:
        self._principal = principal
        self._lanes = lanes
        self._turns = turns
        self._first: dict[Priority, _Job] = {}
        for priority in lanes:
            self.drop(priority)

    def next(self) -> tuple[Priority, _Job] | None:
        if not self._first:
            return None
        priority = self._turns.next(self._principal, self._first)
        return priority, self._first[priority]

    def claimed(self, priority: Priority) -> None:
        self._turns.claimed(self._principal, priority, self._first)

    def drop(self, priority: Priority) -> None:
        """Go on to this lane's next job."""
        job = next(self._lanes[priority], None)
        if job is not None:
            self._first[priority] = job
        else:
            self._first.pop(priority, None)


def choose(
    db: Reader, lanes: Mapping[str, list[Priority]], limit: int, now: float, reserved: int, room: Room,
    turns: Turns,
) -> Choice:  # fmt: skip
    """The jobs to claim, as ``RunnerQueue.take_work`` describes it; they take their part of ``room``.

    ``lanes``: the priorities of each principal's open jobs.
    """
    choice = Choice([], [])
    if limit <= 0:
        return choice
    has_rivals = len(lanes) > 1 or reserved > 0
    running: dict[str, int] = dict(rows(db, SQL["running_by_principal"])) if has_rivals else {}

    def due_of(lane: Lane) -> Iterator[_Job]:
        return _due_of(db, lane, min(limit, PAGE_ROWS), now, room, choice)

    due: dict[str, _DueJobs] = {}
    heap: list[tuple[int, float, int, str, str, Priority]] = []

    def push(principal: str, count: int) -> None:
        job = due[principal].next()
        if job is not None:
            heapq.heappush(heap, (count, *job[1], principal, job[0]))

    for principal, priorities in lanes.items():
        its_lanes = {priority: due_of((principal, priority)) for priority in priorities}
        due[principal] = _DueJobs(principal, its_lanes, turns)
        push(principal, running.get(principal, 0))
    while heap and len(choice.numbers) < limit:
        count, _, number, hosts, principal, priority = heapq.heappop(heap)
        if count >= reserved and limit - len(choice.numbers) <= reserved:
            break  # no other principal has fewer
        if not room.is_full(hosts):
            room.take(hosts)
            choice.numbers.append(number)
            due[principal].claimed(priority)
            count += 1
        if len(choice.numbers) < limit:
            due[principal].drop(priority)
            push(principal, count)
    return choice


def next_at(db: Reader, lanes: Mapping[str, list[Priority]], room: Room) -> tuple[float | None, bool]:
    """When the next queued job falls due whose hosts have room; and whether others are passed over for want of it."""
    times: list[float] = []
    is_held_back = False
    for lane in ((principal, priority) for principal, priorities in lanes.items() for priority in priorities):
        for run_at, hosts in _heads(db, lane):
            if not room.is_full(hosts):
                times.append(run_at)
                break
            is_held_back = True
    return min(times, default=None), is_held_back


def _due_of(db: Reader, lane: Lane, page_rows: int, now: float, room: Room, choice: Choice) -> Iterator[_Job]:
    """One lane's due jobs whose hosts have room, the oldest first: the jobs of several hosts, merged."""
    heads = _heads(db, lane)
    head = next(heads, None)
    merged: list[tuple[float, int, str, Iterator[tuple[float, int]]]] = []

    def push(hosts: str, jobs: Iterator[tuple[float, int]]) -> None:
        job = None if room.is_full(hosts) else next(jobs, None)
        if job is not None:
            heapq.heappush(merged, (*job, hosts, jobs))

    while True:
        while head is not None and head[0] <= now and (not merged or head[0] <= merged[0][0]):
            if not room.is_full(head[1]):
                choice.heads.append((lane, head[1]))
                push(head[1], _paged(db, "jobs", (*lane, head[1], now), (_BEFORE_ALL, 0), page_rows))
            head = next(heads, None)
        if not merged:
            return
        run_at, number, hosts, jobs = heapq.heappop(merged)
        if not room.is_full(hosts):
            yield run_at, number, hosts
        push(hosts, jobs)


def _heads(db: Reader, lane: Lane) -> Iterator[tuple[float, str]]:
    return _paged(db, "heads", lane, (_BEFORE_ALL, ""), PAGE_ROWS)


def _paged(
    db: Reader, name: str, values: tuple[object, ...], last: tuple[object, ...], page_rows: int
) -> Iterator[Any]:
    """The rows of a statement that is bound to ``values``, the row before, and the number of rows of a page."""
    while page := rows(db, SQL[name], (*values, *last, page_rows)):
        yield from page
        if len(page) < page_rows:
            return
        last = page[-1]
