"""Finds the numbers of the jobs that a list shows, newest first. For ``listing``.

Without a destination each part walks down one index and stops at the limit. A destination is searched for in chunks of
jobs, for a bounded time: such a page may hold few jobs, or none, and still have a next one.
"""

import re
import time
from collections.abc import Callable

import msgspec

from imgserve.jobs.model import JobStatus
from imgserve.jobs.shown import shown_destination
from imgserve.jobs.sql.database import Reader, rows
from imgserve.jobs.sql.queries import load
from imgserve.jobs.stored import UNREADABLE, decode_output
from imgserve.jobs.views import HIDDEN_QUERY, SHOWN_S, JobQuery

SQL = load("search")

# All reads for people share one connection, so no search may hold up the others.
SEARCH_S = 0.05
CHUNK_JOBS = 500
# Jobs are numbered when they are stored, a moment after the time that they show; longer when the disk hangs.
DISORDER_S = 300.0
OPEN: tuple[JobStatus, ...] = ("accepting", "queued", "running")
ENDED: tuple[JobStatus, ...] = ("succeeded", "failed", "cancelled", "superseded")
_NEWEST = 2**63 - 1
_PARTS = re.compile(f"://|{re.escape(HIDDEN_QUERY)}")


class Found(msgspec.Struct, frozen=True):
    """``next``: the next page has numbers below this one; None on the last page."""

    numbers: list[int]
    next: int | None


class _Bounds(msgspec.Struct, frozen=True):
    """Numbers between ``low`` and ``high``, and both times included. The times are the queue's."""

    low: int
    high: int
    earliest: float
    latest: float


def find(db: Reader, query: JobQuery, ahead_s: float, search_s: float = SEARCH_S) -> Found:
    """``ahead_s``: by how much the queue's time is ahead of the wall clock; ``search_s``: how long to search."""
    bounds = _bounds_of(db, query, ahead_s)
    has_filter = query.destination or query.destination_prefix or query.idempotency_key
    if has_filter:
        return _search(db, query, bounds, search_s)
    numbers = _newest(db, query, bounds, query.limit + 1)
    return _page(numbers, query.limit, None)


def _page(numbers: list[int], limit: int, after: int | None) -> Found:
    """``after``: the number after which a search goes on when all that it found is on this page."""
    return Found(numbers[:limit], numbers[limit - 1] if len(numbers) > limit else after)


def _search(db: Reader, query: JobQuery, bounds: _Bounds, search_s: float) -> Found:
    ends_at = time.perf_counter() + search_s
    found: list[int] = []
    while True:
        chunk = _newest(db, query, bounds, CHUNK_JOBS)
        found += _matching(db, query, chunk)
        if len(found) > query.limit or len(chunk) < CHUNK_JOBS:
            return _page(found, query.limit, None)
        if time.perf_counter() > ends_at:
            return _page(found, query.limit, chunk[-1])
        bounds = msgspec.structs.replace(bounds, high=chunk[-1])


def _newest(db: Reader, query: JobQuery, bounds: _Bounds, count: int) -> list[int]:
    """The newest jobs by status, principal and time alone."""
    limits = (*msgspec.structs.astuple(bounds), count)
    if query.idempotency_key:
        return _numbers(db, "jobs_of_key", (*limits, query.idempotency_key, query.principal, _json(_statuses(query))))
    if not query.statuses and query.principal is None:
        return _numbers(db, "all_jobs", limits)
    numbers = []
    if any(status in OPEN for status in _statuses(query)):
        numbers += _numbers(db, "open_jobs", (*limits, query.principal, _json(_statuses(query))))
    for status in ENDED:
        if status in _statuses(query):
            name = "ended_jobs" if query.principal is None else "ended_jobs_of_principal"
            numbers += _numbers(db, name, (*limits, query.principal, status))
    return sorted(numbers, reverse=True)[:count]


def _statuses(query: JobQuery) -> tuple[JobStatus, ...]:
    return query.statuses or (*OPEN, *ENDED)


def _numbers(db: Reader, name: str, values: tuple[object, ...]) -> list[int]:
    return [int(row[0]) for row in rows(db, SQL[name], values)]


def _json(values: object) -> str:
    return msgspec.json.encode(values).decode()


def _bounds_of(db: Reader, query: JobQuery, ahead_s: float) -> _Bounds:
    low, high = 0, _NEWEST if query.after is None else query.after
    earliest, latest = float("-inf"), float("inf")
    if query.created_after is not None:
        earliest = query.created_after + ahead_s - SHOWN_S / 2
        low = _number_after(db, earliest - DISORDER_S) - 1
    if query.created_before is not None:
        latest = query.created_before + ahead_s - SHOWN_S / 2
        high = min(high, _number_after(db, latest + DISORDER_S))
    return _Bounds(low, high, earliest, latest)


def _number_after(db: Reader, at: float) -> int:
    """The first number of the jobs that came after this time, by bisection."""
    low, high = 0, (db.execute(SQL["newest"]).get or 0) + 1
    while low < high:
        middle = (low + high) // 2
        row: tuple[int, float] | None = db.execute(SQL["first_from"], (middle,)).fetchone()
        if row is None or row[1] > at:
            high = middle
        else:
            low = row[0] + 1
    return low


def _matching(db: Reader, query: JobQuery, numbers: list[int]) -> list[int]:
    """Those of the jobs that have such a destination."""
    if query.destination:
        text = query.destination
        numbers = _holding(db, numbers, text, lambda place: text in place)
    if query.destination_prefix:
        start = query.destination_prefix
        numbers = _holding(db, numbers, start, lambda place: place.startswith(start))
    return numbers


def _holding(db: Reader, numbers: list[int], text: str, is_meant: Callable[[str], bool]) -> list[int]:
    # Few specs hold these bytes; only they are decoded. A login and a query stand between the shown parts.
    piece = msgspec.json.encode(max(_PARTS.split(text), key=len))[1:-1]
    found = rows(db, SQL["with_text"], (_json(numbers), text, piece))
    jobs = {job for job, spec, place in found if is_meant(place) or (spec is not None and is_meant(_shown(spec)))}
    return sorted(jobs, reverse=True)


def _shown(spec: bytes) -> str:
    try:
        return shown_destination(decode_output(spec).placement.destination)
    except UNREADABLE:
        return ""
