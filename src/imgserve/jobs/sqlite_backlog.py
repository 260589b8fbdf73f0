"""How many jobs are open, without counting rows: asked for every job that comes in.

A row of a temporary table (in memory), which triggers keep: it changes in the transaction that changes the jobs, and is
undone with it.
"""

import apsw

_TRIGGERS = {
    "job_came AFTER INSERT ON main.job WHEN new.ended_at IS NULL": "+ 1",
    "job_went AFTER DELETE ON main.job WHEN old.ended_at IS NULL": "- 1",
    "job_closed AFTER UPDATE OF ended_at ON main.job WHEN old.ended_at IS NULL AND new.ended_at IS NOT NULL": "- 1",
    "job_opened AFTER UPDATE OF ended_at ON main.job WHEN old.ended_at IS NOT NULL AND new.ended_at IS NULL": "+ 1",
}


def watch(db: apsw.Connection) -> None:
    """Count once, then keep the count. Called when the file is opened, before anything changes."""
    db.execute("CREATE TEMP TABLE backlog (open INTEGER NOT NULL)")
    db.execute("INSERT INTO backlog SELECT count(*) FROM main.job WHERE ended_at IS NULL")
    for when, change in _TRIGGERS.items():
        db.execute(f"CREATE TEMP TRIGGER {when} BEGIN UPDATE backlog SET open = open {change}; END")  # noqa: S608 - ours


def count(db: apsw.Connection) -> int:
    """Jobs that have not ended."""
    found: int = db.execute("SELECT open FROM backlog").get
    return found
