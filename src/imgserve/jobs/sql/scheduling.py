"""Fair scheduling: which due jobs are claimed next.

The principal with the fewest running jobs is next, so a long backlog of one principal delays nobody else; priorities
order its own jobs (``lanes``). Jobs for a host without room are passed over. Each claim (``attempts``) asks inside its
transaction. The cost is one look into an index for each lane with open jobs, for each claimed job, and for each set of
hosts (``heads``) without room. One request asks for what all lanes need, since each answer of another machine takes its
time.
"""

import heapq
from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

from imgserve.jobs.lanes import Lane, Turns
from imgserve.jobs.protocol import HostRoom
from imgserve.jobs.sql.database import Database, rows
from imgserve.jobs.sql.queries import load
from imgserve.request.job import Priority

SQL = load("scheduling")

PAGE_ROWS = 16
_BEFORE_ALL = float("-inf")

_Job = tuple[float, int, str]  # due time, number, hosts
_Values = tuple[Any, ...]


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


class Choice:
    """``numbers`` of the jobs to claim; ``heads``: the lanes and hosts whose jobs were looked at.

    ``next_at``: when the oldest due job fell due that is left and has room. None: no such job is left.
    """

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.heads: list[tuple[Lane, str]] = []
        self.next_at: float | None = None
        self._passed_over_at = inf

    @property
    def is_held_back(self) -> bool:
        """Whether a job that fell due before ``next_at`` was passed over for want of room."""
        return self.next_at is not None and self._passed_over_at <= self.next_at

    def has_room(self, run_at: float, hosts: str, room: Room) -> bool:
        """False: the job is passed over."""
        if room.is_full(hosts):
            self._passed_over_at = min(self._passed_over_at, run_at)
            return False
        return True


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

    def left(self, choice: Choice, room: Room) -> Iterator[float]:
        """When the oldest jobs of the lanes fell due that are left and have room."""
        for priority in self._lanes:
            while (job := self._first.get(priority)) is not None:
                if choice.has_room(job[0], job[2], room):
                    yield job[0]
                    break
                self.drop(priority)


def choose(
    db: Database, lanes: Mapping[str, list[Priority]], limit: int, now: float, reserved: int, room: Room,
    turns: Turns,
) -> Choice:  # fmt: skip
    """The jobs to claim, as ``RunnerQueue.take_work`` describes it; they take their part of ``room``.

    ``lanes``: the priorities of each principal's open jobs.
    """
    choice = Choice()
    if limit <= 0:
        return choice
    has_rivals = len(lanes) > 1 or reserved > 0
    running_rows = db.execute(SQL["running_by_principal"]) if has_rivals else None
    found = _Due(db, _all(lanes), min(limit + 1, PAGE_ROWS), now, room, choice)
    running: dict[str, int] = {} if running_rows is None else dict(running_rows.fetchall())
    due: dict[str, _DueJobs] = {}
    heap: list[tuple[int, float, int, str, str, Priority]] = []

    def push(principal: str, count: int) -> None:
        job = due[principal].next()
        if job is not None:
            heapq.heappush(heap, (count, *job[1], principal, job[0]))

    for principal, priorities in lanes.items():
        its_lanes = {priority: found.of((principal, priority)) for priority in priorities}
        due[principal] = _DueJobs(principal, its_lanes, turns)
        push(principal, running.get(principal, 0))
    while heap and len(choice.numbers) < limit:
        count, run_at, number, hosts, principal, priority = heapq.heappop(heap)
        if count >= reserved and limit - len(choice.numbers) <= reserved:
            break  # no other principal has fewer
        if choice.has_room(run_at, hosts, room):
            room.take(hosts)
            choice.numbers.append(number)
            due[principal].claimed(priority)
            count += 1
        due[principal].drop(priority)
        push(principal, count)
    choice.next_at = min((at for jobs in due.values() for at in jobs.left(choice, room)), default=None)
    return choice


def next_at(db: Database, lanes: Mapping[str, list[Priority]], room: Room) -> tuple[float | None, bool]:
    """When the next queued job falls due whose hosts have room; and whether others are passed over for want of it."""
    times: list[float] = []
    is_held_back = False
    for heads in _heads(db, _all(lanes)).values():
        for run_at, hosts in heads:
            if not room.is_full(hosts):
                times.append(run_at)
                break
            is_held_back = True
    return min(times, default=None), is_held_back


class _Due:
    """The due jobs of these lanes. Their first pages are read here."""

    def __init__(self, db: Database, lanes: list[Lane], page_rows: int, now: float, room: Room, choice: Choice) -> None:
        self._db = db
        self._page_rows = page_rows
        self._now = now
        self._room = room
        self._choice = choice
        self._heads = _heads(db, lanes)
        self._first = {lane: self._next_head(lane) for lane in lanes}
        due = [(lane, head[1]) for lane, head in self._first.items() if head is not None]
        pages = db.query_each(SQL["jobs"], [self._values(lane, hosts) for lane, hosts in due])
        self._pages = dict(zip(due, pages, strict=True))

    def of(self, lane: Lane) -> Iterator[_Job]:
        """One lane's due jobs whose hosts have room, the oldest first: the jobs of several hosts, merged."""
        head = self._first[lane]
        merged: list[tuple[float, int, str, Iterator[tuple[float, int]]]] = []

        def push(hosts: str, jobs: Iterator[tuple[float, int]]) -> None:
            job = next(jobs, None)
            if job is not None and self._choice.has_room(job[0], hosts, self._room):
                heapq.heappush(merged, (*job, hosts, jobs))

        while True:
            while head is not None and (not merged or head[0] <= merged[0][0]):
                push(head[1], self._jobs(lane, head[1]))
                head = self._next_head(lane)
            if not merged:
                return
            run_at, number, hosts, jobs = heapq.heappop(merged)
            if self._choice.has_room(run_at, hosts, self._room):
                yield run_at, number, hosts
            push(hosts, jobs)

    def _next_head(self, lane: Lane) -> tuple[float, str] | None:
        """The lane's next hosts with a due job and with room."""
        for run_at, hosts in self._heads[lane]:
            if run_at > self._now:
                return None
            if self._choice.has_room(run_at, hosts, self._room):
                return run_at, hosts
        return None

    def _jobs(self, lane: Lane, hosts: str) -> Iterator[tuple[float, int]]:
        self._choice.heads.append((lane, hosts))
        page = self._pages.pop((lane, hosts), None)
        values = self._values(lane, hosts)
        if page is None:
            page = rows(self._db, SQL["jobs"], values)
        return _paged(self._db, "jobs", values, page)

    def _values(self, lane: Lane, hosts: str) -> _Values:
        return (*lane, hosts, self._now, _BEFORE_ALL, 0, self._page_rows)


def _all(lanes: Mapping[str, list[Priority]]) -> list[Lane]:
    return [(principal, priority) for principal, priorities in lanes.items() for priority in priorities]


def _heads(db: Database, lanes: list[Lane]) -> dict[Lane, Iterator[tuple[float, str]]]:
    values = [(*lane, _BEFORE_ALL, "", PAGE_ROWS) for lane in lanes]
    pages = db.query_each(SQL["heads"], values)
    return {lane: _paged(db, "heads", bound, page) for lane, bound, page in zip(lanes, values, pages, strict=True)}


def _paged(db: Database, name: str, values: _Values, page: list[Any]) -> Iterator[Any]:
    """The rows of a statement, on from its first page. Bound are its values, the row before, and the page's size."""
    *fixed, _, _, page_rows = values
    while page:
        yield from page
        if len(page) < page_rows:
            return
        page = rows(db, SQL[name], (*fixed, *page[-1], page_rows))
