"""Reads events in their order, for streams. For ``listing``.

Transactions are committed one after the other, so a reader never sees a number before a lower one.
"""

import time

import msgspec

from imgserve.jobs.event_views import Event, EventPage, EventQuery
from imgserve.jobs.model import EVENT_MEMORY_S
from imgserve.jobs.shown import WallOf, event_body
from imgserve.jobs.sql.database import Reader, rows
from imgserve.jobs.sql.queries import load
from imgserve.jobs.sql.reading import Reading, read_all

SQL = load("feed")

# All reads for people share one connection: other principals' events are passed over for so long at most.
SCAN_S = 0.05
CHUNK_EVENTS = 2000


def newest(db: Reader) -> int:
    number: int = db.execute(SQL["newest"]).get
    return number


def page(db: Reader, query: EventQuery, now: float, wall_of: WallOf, scan_s: float = SCAN_S) -> EventPage:
    """A number that no event has had is another queue's: all events are new to such a reader."""
    last = newest(db)
    after, is_gap = query.after if query.after <= last else -1, False
    if not query.job_id:
        after, is_gap = _start(db, after, now)
    ends_at = time.perf_counter() + scan_s
    events: list[Event] = []
    readings: dict[int, Reading] = {}
    while True:
        end: int = last if query.job_id else db.execute(SQL["end_of_chunk"], (after, CHUNK_EVENTS)).get or last
        events += _events(db, query, after, end, query.limit - len(events), wall_of, readings)
        if len(events) == query.limit:
            return EventPage(tuple(events), events[-1].number, last, is_gap)
        after = end
        if after >= last or time.perf_counter() > ends_at:
            return EventPage(tuple(events), after, last, is_gap)


def _start(db: Reader, after: int, now: float) -> tuple[int, bool]:
    """The number after which to read, and whether events are missing before it."""
    gone: int = db.execute(SQL["gone"]).get
    oldest = now - EVENT_MEMORY_S
    first: tuple[int, float] | None = db.execute(SQL["first_from"], (after + 1,)).fetchone()
    if first is None or first[1] >= oldest:
        return after, after < gone
    return _number_before(db, oldest, after + 1), True


def _number_before(db: Reader, at: float, low: int) -> int:
    """The last number before the events of this time, by bisection."""
    high = newest(db) + 1
    while low < high:
        middle = (low + high) // 2
        row: tuple[int, float] | None = db.execute(SQL["first_from"], (middle,)).fetchone()
        if row is None or row[1] >= at:
            high = middle
        else:
            low = row[0] + 1
    return low - 1


def _events(
    db: Reader, query: EventQuery, after: int, end: int, limit: int, wall_of: WallOf,
    readings: dict[int, Reading],
) -> list[Event]:  # fmt: skip
    types = msgspec.json.encode(query.types).decode()
    values: tuple[object, ...] = (after, end, query.principal, types, limit)
    stored = rows(db, SQL["of_job"], (*values, query.job_id)) if query.job_id else rows(db, SQL["of_all"], values)
    readings |= read_all(db, {row[1] for row in stored} - readings.keys(), wall_of)
    events = []
    for number, job, output, at, type_, job_id, principal in stored:
        reading = readings[job]
        body = event_body(type_, at, reading.job, reading.name_of(output), wall_of)
        events.append(Event(number, type_, job_id, principal, body))
    return events
