"""Texts in the queue's file that are no UTF-8 any more, because a disk has changed them. Called by ``queue``.

SQLite hands them on as they are, and a query that meets such a row fails as a whole: one damaged name would hold up
every job. Damaged texts are replaced: a word by the one that at worst repeats work, a name by the part of it that can
be read.
"""

import apsw

from imgserve.jobs.sqlite.connection import rows
from imgserve.request.destination import hosts_of
from imgserve.telemetry import logs

# Of a job that is open, or which owes a failure picture: the rest is only listed.
_JOBS = (
    "SELECT number FROM job WHERE ended_at IS NULL"
    " UNION SELECT job FROM outbox INDEXED BY outbox_due WHERE state = 'pending'"
)
_DAMAGED_JOBS = (
    "SELECT number FROM job WHERE number IN (SELECT value FROM json_each(?)) AND (caller IS NULL OR NOT is_text("
    "CAST(id || ' ' || status || ' ' || coalesce(traceparent, '') || ' ' || caller"
    " || ' ' || hosts AS BLOB)))"
)
_DAMAGED_OUTPUTS = (
    "SELECT DISTINCT job FROM output WHERE job IN (SELECT value FROM json_each(?)) AND NOT is_text("
    "CAST(destination || ' ' || status || ' ' || placeholder || ' ' || user || ' ' || error || ' ' || detail AS BLOB))"
)
_MEND_JOB = (
    "UPDATE job SET id = as_text(CAST(id AS BLOB)), caller = as_text(CAST(coalesce(caller, '') AS BLOB)),"
    " traceparent = iif(is_text(CAST(traceparent AS BLOB)), traceparent, NULL),"
    " status = iif(is_text(CAST(status AS BLOB)), status, 'queued') WHERE number = ?"
)
_MEND_OUTPUTS = (
    "UPDATE output SET destination = as_text(CAST(destination AS BLOB)), user = as_text(CAST(user AS BLOB)),"
    " error = as_text(CAST(error AS BLOB)), detail = as_text(CAST(detail AS BLOB)),"
    " status = iif(is_text(CAST(status AS BLOB)), status, 'queued'),"
    " placeholder = iif(is_text(CAST(placeholder AS BLOB)), placeholder, 'unknown')"
    " WHERE job = ?"
)


def mend(db: apsw.Connection) -> int:
    """How many jobs were put right."""
    db.create_scalar_function("is_text", lambda *values: _is_text(*values), 1)
    db.create_scalar_function("as_text", lambda *values: as_text(*values), 1)
    db.execute("UPDATE owner SET id = hex(CAST(id AS BLOB)) WHERE NOT is_text(CAST(id AS BLOB))")
    db.execute("DELETE FROM destination WHERE NOT is_text(CAST(key || coalesce(kind, '') AS BLOB))")
    db.execute("UPDATE outbox SET kind = 'error_image' WHERE state = 'pending' AND NOT is_text(CAST(kind AS BLOB))")
    looked_at = (f"[{','.join(str(row[0]) for row in rows(db, _JOBS))}]",)
    damaged = {row[0] for sql in (_DAMAGED_JOBS, _DAMAGED_OUTPUTS) for row in rows(db, sql, looked_at)}
    for number in sorted(damaged):
        db.execute(_MEND_OUTPUTS, (number,))
        db.execute(_MEND_JOB, (number,))
        keys = rows(
            db, "SELECT destination FROM output WHERE job = ? AND status IN ('queued', 'placeholder')", (number,)
        )
        db.execute("UPDATE job SET hosts = ? WHERE number = ?", (hosts_of(row[0] for row in keys), number))
        logs.event("row_damaged", level=logs.WARNING, number=number, detail="the disk has changed a text of this job")
    return len(damaged)


def as_text(stored: object) -> str:
    assert isinstance(stored, bytes)
    return stored.decode(errors="replace")


def _is_text(stored: object) -> bool:
    """NULL is none that could be damaged."""
    return not isinstance(stored, bytes) or as_text(stored).encode() == stored
