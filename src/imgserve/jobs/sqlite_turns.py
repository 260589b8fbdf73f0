"""Whose jobs are next: callers take turns, so that a long row of one caller's jobs keeps nobody else waiting.

Asked by each claim (``sqlite_attempts``), inside its transaction: one look into an index for each caller with open
jobs.
"""

import heapq
from collections.abc import Iterator

import apsw
import msgspec

from imgserve.jobs import sqlite_backlog as backlog
from imgserve.jobs.committer import rows

# Each walks down one partial index only.
OF_ONE = (
    "SELECT number FROM job INDEXED BY job_due WHERE status = 'queued' AND caller = ? AND run_at <= ?"
    " ORDER BY run_at, number LIMIT ?"
)
OF_EACH = OF_ONE.replace("number", "run_at, number", 1)
UNDER_WAY = "SELECT caller, count(*) FROM job INDEXED BY job_leased WHERE status = 'running' GROUP BY caller"
NEXT_AT = (
    "SELECT min((SELECT run_at FROM job INDEXED BY job_due WHERE status = 'queued' AND caller = backlog.caller"
    " ORDER BY run_at LIMIT 1)) FROM backlog WHERE open > 0"
)

_Turn = tuple[int, float, int, Iterator[tuple[float, int]]]


class Chosen(msgspec.Struct, frozen=True):
    """Jobs, as a SELECT of their numbers and the values to bind."""

    sql: str
    values: tuple[str | float, ...]


def due(db: apsw.Connection, places: int, now: float, kept: int) -> Chosen:
    """The jobs to be claimed, as ``Queue.take_work`` has it. A caller without others costs no query of its own."""
    callers = backlog.callers(db)
    if len(callers) == 1 and not kept:
        return Chosen(OF_ONE, (callers[0], now, places))
    numbers = _in_turns(db, callers, places, now, kept)
    return Chosen("SELECT value AS number FROM json_each(?)", (msgspec.json.encode(numbers).decode(),))


def _in_turns(db: apsw.Connection, callers: list[str], places: int, now: float, kept: int) -> list[int]:
    under_way: dict[str, int] = dict(rows(db, UNDER_WAY))
    turns: list[_Turn] = []
    for caller in callers:
        _take_place(turns, under_way.get(caller, 0), iter(rows(db, OF_EACH, (caller, now, places))))
    chosen: list[int] = []
    while turns and len(chosen) < places:
        count, _, number, later = heapq.heappop(turns)
        if count >= kept and places - len(chosen) <= kept:
            break  # nobody behind it has fewer
        chosen.append(number)
        _take_place(turns, count + 1, later)
    return chosen


def _take_place(turns: list[_Turn], under_way: int, jobs: Iterator[tuple[float, int]]) -> None:
    for run_at, number in jobs:
        heapq.heappush(turns, (under_way, run_at, number, jobs))
        return
