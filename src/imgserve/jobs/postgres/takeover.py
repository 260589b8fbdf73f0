"""Takes over what dead nodes have left: jobs that they took in or rendered, pictures that they received, and
the destinations that they held.

Any node does, in one transaction; docs/guarantees.md says when a node counts as dead.
"""

from collections.abc import Sequence

from imgserve.jobs.config import Config
from imgserve.jobs.postgres import backlog, nodes, strays
from imgserve.jobs.postgres.connection import Connection
from imgserve.jobs.sql import events
from imgserve.jobs.sql.database import rows
from imgserve.jobs.sql.kinds import MESSAGES
from imgserve.jobs.sql.order import Writer, end_if_concluded, overtake_older, supersede_older
from imgserve.jobs.sql.outbox import LEASE_S
from imgserve.jobs.sql.queries import load
from imgserve.telemetry import logs

SQL = load("takeover", "postgres")

# Pending outbox entries are tried for at least so long after no node was alive.
LAST_TRIES_S = 3600.0


def take_over(db: Connection, epochs: Sequence[int], config: Config, now: float) -> None:
    """No write begins for ``quiet_s`` where these nodes were writing: their bytes may still arrive."""
    dead = list(epochs)
    quiet_until = now + config.quiet_s
    for (number,) in rows(db, SQL["numbers"], (dead,)):
        db.lock_order(number)
    for write in rows(db, SQL["unfinished_writes"], (dead,)):
        overtake_older(db, Writer(*write), is_taken=False)
    strays.add(db, dead, now)
    db.execute(SQL["forget_destinations"], (now,))
    db.execute(SQL["quieten_destinations"], (dead, quiet_until))
    db.execute(SQL["requeue_running"], (dead,))
    db.execute(SQL["make_entries_due"], (dead, now, now + LEASE_S))
    db.execute(SQL["delay_accepting"], (dead, quiet_until))
    db.execute(SQL["lose_placeholders"], (dead,))
    for number, is_activated in sorted(rows(db, SQL["activate_accepting"], (dead, now, quiet_until))):
        events.add(db, [(number, None, now, "job.accepted", "")])
        if is_activated:
            supersede_older(db, number, now)
        end_if_concluded(db, number, now)
    db.execute(SQL["give_up_uploads"], (dead, now))
    db.execute(backlog.SQL["take_over"], (dead,))
    nodes.forget(db, dead)
    db.backlog.adoptable = adoptable(db)
    logs.event("nodes_taken_over", epochs=" ".join(map(str, dead)))


def adoptable(db: Connection) -> frozenset[bytes]:
    """Digests of the jobs that dead nodes have not answered."""
    return frozenset(digest for (digest,) in rows(db, SQL["adoptable"]))


def resume(db: Connection, now: float) -> None:
    """No other node is alive: give up nothing for the time in which none was.

    Pending outbox entries get another hour of tries. A job past its deadline gets one attempt: its deadline is now, so
    that the first failure ends it.
    """
    db.execute(SQL["extend_entries"], (now + LAST_TRIES_S,))
    db.execute(SQL["extend_deadlines"], (now,))
    db.execute(SQL["make_all_entries_due"], (now, now + LEASE_S, MESSAGES))
