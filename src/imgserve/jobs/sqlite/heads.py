"""When the next queued job of each lane and each set of hosts falls due, without a look at the jobs behind it.

A temporary table (in memory) holds it, and a rollback undoes its changes too. A claim reads it in order
(``scheduling``), so a claim costs the same however many jobs wait for a host without room.

An entry is never too late: a trigger sees each job that becomes due. It may be too early, when jobs were claimed,
cancelled or superseded; the next claim that looks there corrects it.
"""

import apsw

from imgserve.jobs.lanes import Lane
from imgserve.jobs.sql.queries import load

SQL = load("heads", "sqlite")


def watch(db: apsw.Connection) -> None:
    """Called once, in the transaction that takes the file over."""
    db.execute(SQL["watch"])


def correct(db: apsw.Connection, lane: Lane, hosts: str) -> None:
    """Set the entry of this lane's queued jobs for these hosts; delete it when none is queued."""
    db.execute(SQL["delete"], (*lane, hosts))
    db.execute(SQL["add"], (*lane, hosts))
