"""What happens to jobs, in its order: rows that are added inside the transactions that change the jobs.

They are a job's timeline, and go with their job. A refused request leaves none, unless it left a placeholder.
"""

from collections.abc import Iterable

from imgserve.jobs.model import EventType
from imgserve.jobs.sqlite.connection import Connection
from imgserve.jobs.sqlite.queries import load

SQL = load("events")

# Job, output or None, time, type, code of an error or "".
Event = tuple[int, int | None, float, EventType, str]


def add(db: Connection, events: Iterable[Event]) -> None:
    db.executemany(SQL["add"], events)
