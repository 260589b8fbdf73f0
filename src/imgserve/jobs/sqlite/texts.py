"""Repairs texts in the queue's file that are no UTF-8 any more, because a disk has changed them. Called by ``queue``.

SQLite returns such texts as they are, and a query that meets one fails as a whole: one damaged name would hold up
every job. A damaged status is replaced by the one that at worst repeats work, a name by its readable part.
"""

import apsw

from imgserve.jobs.sql.database import rows
from imgserve.jobs.sql.queries import load
from imgserve.request.destination import hosts_of
from imgserve.telemetry import logs

SQL = load("texts", "sqlite")


def repair(db: apsw.Connection) -> int:
    """The number of repaired jobs."""
    db.create_scalar_function("is_text", lambda *values: _is_text(*values), 1)
    db.create_scalar_function("as_text", lambda *values: as_text(*values), 1)
    for table in ("repair_owner", "drop_destinations", "repair_entries", "drop_uploads", "repair_uploads"):
        db.execute(SQL[table])
    damaged = rows(db, SQL["damaged"])
    for row in damaged:
        db.execute(SQL["repair_outputs"], row)
        db.execute(SQL["repair_job"], row)
        keys = rows(db, SQL["open_destinations"], row)
        db.execute(SQL["set_hosts"], (hosts_of(key for (key,) in keys), *row))
        logs.event("row_damaged", level=logs.WARNING, number=row[0], detail="the disk has changed a text of this job")
    return len(damaged)


def as_text(stored: object) -> str:
    assert isinstance(stored, bytes)
    return stored.decode(errors="replace")


def _is_text(stored: object) -> bool:
    """True for NULL."""
    return not isinstance(stored, bytes) or as_text(stored).encode() == stored
