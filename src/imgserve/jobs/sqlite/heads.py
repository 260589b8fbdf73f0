"""When the next queued job of each caller and each set of hosts falls due, without a look at the jobs behind it.

Rows of a temporary table (in memory), which change in the transaction that changes the jobs and are undone with it. A
claim reads them in order (``turns``), so it costs the same however many jobs wait for a host that is full: one
look for each set of hosts with a full one.

A row is never too late: a trigger sees each job that becomes due. It may be too early, when jobs have been claimed,
cancelled or superseded; the next claim that looks there puts it right.
"""

import apsw

_CAME = (
    "INSERT INTO head VALUES (new.caller, new.hosts, new.run_at)"
    " ON CONFLICT DO UPDATE SET run_at = excluded.run_at WHERE excluded.run_at < run_at"
)


def watch(db: apsw.Connection) -> None:
    """Find the heads once, then keep them. Called when the file is opened, before anything changes."""
    db.execute(
        "CREATE TEMP TABLE head (caller TEXT, hosts TEXT, run_at REAL NOT NULL, PRIMARY KEY (caller, hosts))"
        " STRICT, WITHOUT ROWID"
    )
    db.execute("CREATE INDEX temp.head_order ON head (caller, run_at, hosts)")
    db.execute(
        "INSERT INTO head SELECT caller, hosts, min(run_at) FROM main.job INDEXED BY job_due WHERE status = 'queued'"
        " GROUP BY caller, hosts"
    )
    db.execute(
        "CREATE TEMP TRIGGER head_came AFTER UPDATE OF status, run_at, hosts ON main.job WHEN new.status = 'queued'"
        f" BEGIN {_CAME}; END"
    )


def put_right(db: apsw.Connection, principal: str, hosts: str) -> None:
    """Set the head of this caller's queued jobs for these hosts; delete it when none is queued."""
    run_at: float | None = db.execute(
        "SELECT run_at FROM job INDEXED BY job_due WHERE status = 'queued' AND caller = ? AND hosts = ?"
        " ORDER BY run_at LIMIT 1",
        (principal, hosts),
    ).get
    if run_at is None:
        db.execute("DELETE FROM head WHERE caller = ? AND hosts = ?", (principal, hosts))
    else:
        db.execute("UPDATE head SET run_at = ? WHERE caller = ? AND hosts = ?", (run_at, principal, hosts))
