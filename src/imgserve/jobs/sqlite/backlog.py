"""How many jobs are open, in all and of one caller, without counting rows: asked for every job that comes in.

Rows of a temporary table (in memory), which triggers keep: they change in the transaction that changes the jobs, and
are undone with it.
"""

import apsw

from imgserve.jobs.sqlite.connection import rows

_ADD = "INSERT INTO backlog VALUES (new.caller, 1) ON CONFLICT (caller) DO UPDATE SET open = open + 1"
_TAKE = "UPDATE backlog SET open = open - 1 WHERE caller = old.caller"
_TRIGGERS = {
    "job_came AFTER INSERT ON main.job WHEN new.ended_at IS NULL": _ADD,
    "job_went AFTER DELETE ON main.job WHEN old.ended_at IS NULL": _TAKE,
    "job_closed AFTER UPDATE OF ended_at ON main.job WHEN old.ended_at IS NULL AND new.ended_at IS NOT NULL": _TAKE,
    "job_opened AFTER UPDATE OF ended_at ON main.job WHEN old.ended_at IS NOT NULL AND new.ended_at IS NULL": _ADD,
}


def watch(db: apsw.Connection) -> None:
    """Count once, then keep the counts. Called when the file is opened, before anything changes."""
    db.execute("CREATE TEMP TABLE backlog (caller TEXT PRIMARY KEY, open INTEGER NOT NULL) STRICT, WITHOUT ROWID")
    db.execute(
        "INSERT INTO backlog SELECT caller, count(*) FROM main.job INDEXED BY job_open WHERE ended_at IS NULL"
        " GROUP BY caller"
    )
    for when, change in _TRIGGERS.items():
        db.execute(f"CREATE TEMP TRIGGER {when} BEGIN {change}; END")


def count(db: apsw.Connection) -> int:
    """Jobs that have not ended. There are as few rows as callers."""
    found: int = db.execute("SELECT coalesce(sum(open), 0) FROM backlog").get
    return found


def count_of(db: apsw.Connection, principal: str) -> int:
    """This caller's jobs that have not ended."""
    found: int = db.execute("SELECT coalesce((SELECT open FROM backlog WHERE caller = ?), 0)", (principal,)).get
    return found


def principals(db: apsw.Connection) -> list[str]:
    """The callers with jobs that have not ended."""
    return [row[0] for row in rows(db, "SELECT caller FROM backlog WHERE open > 0")]
