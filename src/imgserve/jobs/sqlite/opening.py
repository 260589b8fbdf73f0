"""Takes a queue's file over for one server process: migrates and repairs it, requeues the dead server's jobs.

Called by ``queue``. The lock on the data directory proves that no other process lives, so its leases need not run out.
"""

from importlib.metadata import version

import msgspec

from imgserve.clock import Clock
from imgserve.jobs.config import Config
from imgserve.jobs.lanes import Lane
from imgserve.jobs.sql import events
from imgserve.jobs.sql.database import rows
from imgserve.jobs.sql.kinds import MESSAGES
from imgserve.jobs.sql.order import Writer, end_if_concluded, overtake_older, supersede_older
from imgserve.jobs.sql.outbox import LEASE_S
from imgserve.jobs.sql.placeholders import RecentPlaceholders
from imgserve.jobs.sql.queries import load
from imgserve.jobs.sqlite import clock as clocks
from imgserve.jobs.sqlite import heads, texts
from imgserve.jobs.sqlite.connection import Connection, transaction
from imgserve.jobs.sqlite.schema import migrate
from imgserve.jobs.stored import FORMAT
from imgserve.telemetry import logs

SQL = load("opening", "sqlite")

# A reader may have seen events that a power cut took away: of commits that were not synced, some hundred at most. Their
# numbers are not given again, or it would pass over the new ones.
SKIPPED_EVENTS = 100_000


class Ownership(msgspec.Struct, frozen=True):
    """``id`` is the data directory's, ``epoch`` this server's among all that have had the file."""

    id: str
    epoch: int
    now: float


def take_over(db: Connection, start: float | Clock, config: Config, placeholders: RecentPlaceholders) -> Ownership:
    """One transaction. ``start`` is the time, or a clock, which then goes on where the last server's ended."""
    with transaction(db):
        migrate(db)
        if isinstance(start, Clock):
            clocks.resume(db, start, config)
        now = start() if isinstance(start, Clock) else start
        texts.repair(db)
        clocks.extend_deadlines(db, now)
        epoch, id_ = db.execute(SQL["next_epoch"]).get
        _register(db, epoch, now)
        db.execute(SQL["skip_events"], (SKIPPED_EVENTS,))
        _requeue(db, epoch, config, now)
        db.execute(SQL["forget_uploads"])
        heads.watch(db)
        adoptable = frozenset(digest for (digest,) in rows(db, SQL["adoptable"]))
        lanes: dict[Lane, int] = {(row[0], row[1]): row[2] for row in rows(db, SQL["open_by_lane"])}
        db.backlog.load(lanes, adoptable)
        placeholders.load(db)
        return Ownership(id_, epoch, now)


def _register(db: Connection, epoch: int, now: float) -> None:
    """The row of this process replaces that of the last but one."""
    last = db.execute(SQL["last_process"]).fetchone()
    if last is not None:
        logs.event("queue_taken_over", from_version=last[0], seen_s_ago=round(now - last[1]))
    db.execute(SQL["forget_processes"])
    db.execute(SQL["add_process"], (epoch, version("imgserve"), FORMAT, now))


def _requeue(db: Connection, epoch: int, config: Config, now: float) -> None:
    """Requeue jobs and entries of servers before ``epoch``. No write begins for ``quiet_s`` where they were writing."""
    quiet_until = now + config.quiet_s
    for write in rows(db, SQL["unfinished_writes"]):
        overtake_older(db, Writer(*write), is_taken=False)
    db.execute(SQL["forget_destinations"], (now,))
    db.execute(SQL["quieten_destinations"], (quiet_until,))
    db.execute(SQL["requeue_running"])
    db.execute(SQL["make_entries_due"], (now, LEASE_S, MESSAGES))
    db.execute(SQL["delay_accepting"], (quiet_until, epoch))
    db.execute(SQL["lose_placeholders"], (epoch,))
    for number, is_activated in sorted(rows(db, SQL["activate_accepting"], (now, quiet_until, epoch))):
        events.add(db, [(number, None, now, "job.accepted", "")])
        if is_activated:
            supersede_older(db, number, now)
        end_if_concluded(db, number, now)
