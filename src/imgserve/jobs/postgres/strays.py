"""Writes that may end after a newer one: those of nodes that counted as dead, and were only stopped.

A takeover notes each write that it gives up. When the stopped node goes on, the write that was under way goes on with
it, and may come over a newer final, or over the failure picture of a newer job. The node finds its claim lost, and then
the newest of these is sent once more.
If the node ends before that, its next takeover does it.
"""

from collections.abc import Sequence

from imgserve.jobs.sql import events
from imgserve.jobs.sql.database import Database, rows
from imgserve.jobs.sql.kinds import GIVING_WAY
from imgserve.jobs.sql.order import end_if_concluded
from imgserve.jobs.sql.queries import load
from imgserve.request.destination import origin_of
from imgserve.telemetry import logs

SQL = load("strays", "postgres")

# A destination is sent its final again for so long, whatever deadline the job had.
DEADLINE_S = 3600.0
# Longer no process stays stopped with a write that its destination still waits for.
MEMORY_S = 7 * 24 * 3600.0


def add(db: Database, epochs: Sequence[int], now: float) -> None:
    """Note the writes of dead nodes. Those that were noted before were of a node that went on, and died then."""
    for key, number, kind in rows(db, SQL["of_nodes"], (list(epochs),)):
        _send_again(db, key, number, kind, now)
    db.execute(SQL["forget"], (now - MEMORY_S,))
    db.execute(SQL["add"], (list(epochs), now))


def follow(db: Database, last: int, own: int) -> None:
    """A node that counted as dead goes on under a new epoch, and so do its writes."""
    db.execute(SQL["follow"], (last, own))


def ended(db: Database, number: int, token: int, now: float) -> None:
    """The writes of a lost claim have ended."""
    for key, job, kind in rows(db, SQL["ended"], (number, token)):
        _send_again(db, key, job, kind, now)


def _send_again(db: Database, key: str, stray: int, kind: str, now: float) -> None:
    """Queue the newest final of this destination, or the newest failure picture, once more."""
    db.lock_keys((key,))
    row: tuple[int, int, int | None] | None = db.execute(SQL["newest_end"], (key, stray, kind, GIVING_WAY)).fetchone()
    if row is None:
        return
    output_id, number, entry = row
    logs.event("sent_again", level=logs.WARNING, output=output_id, number=number, after=stray)
    if entry is not None:
        db.execute(SQL["reopen_entry"], (entry, now, now + DEADLINE_S))
        db.is_outbox_filled = True
        return
    db.lock_job(number)
    db.execute(SQL["reopen_output"], (output_id, now))
    lane = db.execute(SQL["reopen_job"], (number, now, origin_of(key), now + DEADLINE_S)).fetchone()
    if lane is not None:
        db.backlog.add(lane)
    else:
        end_if_concluded(db, number, now)
    events.add(db, [(number, output_id, now, "job.retrying", "")])
