"""What happens to jobs, in its order: rows that are added inside the transactions that change the jobs.

They are a job's timeline and go with their job, streams carry them, and webhooks tell of some. A refused request leaves
none, unless it left a placeholder.
"""

from collections.abc import Sequence

from imgserve.jobs.model import EventType
from imgserve.jobs.sql import webhooks
from imgserve.jobs.sql.database import Database
from imgserve.jobs.sql.queries import load
from imgserve.request.webhook import WEBHOOK_EVENTS

SQL = load("events")

# Job, output or None, time, type, code of an error or "".
Event = tuple[int, int | None, float, EventType, str]


def add(db: Database, events: Sequence[Event], *, has_webhook: bool = True) -> None:
    """Called when the rows of the job show the event: the bodies of webhooks are made of them now.

    ``has_webhook``: False if the caller knows that the job has none.
    """
    db.executemany(SQL["add"], events)
    if db.watches:
        for number in {event[0] for event in events}:
            db.watches.note(*db.execute(SQL["job"], (number,)).get)
    ends = [event for event in events if event[3] in WEBHOOK_EVENTS] if has_webhook else []
    for number in {event[0] for event in ends}:
        webhook = db.execute(SQL["webhook"], (number,)).get
        if webhook is not None:
            happened = [webhooks.Happened(output, at, type_) for job, output, at, type_, _ in ends if job == number]
            webhooks.add(db, number, webhook, happened)
