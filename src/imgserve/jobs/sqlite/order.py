"""The order of jobs at one destination: which supersedes, overtakes or covers which. Called inside the transactions
that release a job, end a write, or settle it.

A newer job has the same right over an older one as today's caller has over its own jobs when both are one principal's,
or when the newer one is the operator's. Between principals only successful writes count, and only between
URLs with the same user name: a caller that knows a destination's URL, but cannot write there, overtakes nobody.
Forms are never superseded. docs/guarantees.md has the rules.
"""

from typing import Any

import apsw
import msgspec

from imgserve.jobs.model import OPERATOR, conclude
from imgserve.jobs.sqlite.committer import rows
from imgserve.request.destination import hosts_of


class Writer(msgspec.Struct, frozen=True):
    """One job at one destination: ``caller`` is its principal, ``user`` the name in the destination's URL."""

    number: int
    key: str
    caller: str
    user: str

    def values(self, *, is_taken: bool) -> dict[str, object]:
        return {**msgspec.structs.asdict(self), "is_taken": is_taken, "operator": OPERATOR}


def _sql(*parts: str) -> str:
    return " ".join(parts)


# Bound to the values of a Writer. ``older``: an output of an earlier job at its destination that it goes before.
_OLDER = (
    "older.destination = :key AND older.job < :number AND"
    " ((SELECT caller FROM job WHERE job.number = older.job) = :caller OR :caller = :operator"
    "  OR :is_taken AND older.user = :user)"
)
_OPEN = "status IN ('queued', 'placeholder')"
_LIFT_OLDER = _sql("UPDATE output AS older SET debt = 'overtaken' WHERE debt = 'owed' AND", _OLDER)
_SUPERSEDE = _sql("UPDATE output AS older SET status = 'superseded' WHERE", _OPEN, "AND", _OLDER, "RETURNING job")
_OVERTAKE = _sql(
    "UPDATE output AS older SET is_overtaken = 1 WHERE is_overtaken = 0 AND status NOT IN ('delivered', 'superseded')",
    "AND",
    _OLDER,
)
_PLACEHOLDER_OF_OLDER = _sql(
    "SELECT placeholder_digest, placeholder_bytes FROM output AS older",
    "WHERE placeholder IN ('pending', 'written', 'unknown') AND",
    _OPEN,
    "AND",
    _OLDER,
    "ORDER BY job DESC LIMIT 1",
)
# A job that was refused at intake has no place in the order: a final of any age has replaced its placeholder.
_LIFT_REFUSED = (
    "UPDATE output AS refused SET debt = 'overtaken' FROM job WHERE refused.destination = :key"
    " AND refused.debt = 'owed' AND job.number = refused.job AND job.is_released = 0"
    " AND (job.caller = :caller OR refused.user = :user)"
)
# Newer jobs of other principals whose placeholder may lie there, or may have been replaced by this final.
_NEWER = (
    "newer.destination = :key AND newer.job > :number AND newer.user = :user AND newer.placeholder = 'unknown'"
    " AND (SELECT caller FROM job WHERE job.number = newer.job) <> :caller"
)
_COVER = _sql("UPDATE output AS newer SET is_covered = 1 WHERE", _OPEN, "AND", _NEWER)
_LIFT_NEWER = _sql("UPDATE output AS newer SET debt = 'overtaken' WHERE debt = 'owed' AND", _NEWER)


def supersede_older(db: apsw.Connection, number: int, now: float) -> None:
    """A released job takes its destinations from older jobs that it goes before, and lifts their debts where it wrote.

    Where it put no placeholder itself it answers for those of its own principal, as if it had written one: they owe
    nothing any more.
    """
    for output_id, placeholder, key, user, caller in rows(
        db,
        "SELECT newer.id, newer.placeholder, destination, user, caller FROM output AS newer JOIN job ON number = job"
        " WHERE newer.job = ? AND is_form = 0 AND EXISTS (SELECT 1 FROM output AS older"
        "  WHERE older.destination = newer.destination AND older.job < newer.job)",
        (number,),
    ):
        writer = Writer(number, key, caller, user)
        is_left = placeholder
        if placeholder == "none":
            found = rows(db, _PLACEHOLDER_OF_OLDER, writer.values(is_taken=False))
            for digest, size_bytes in found:
                db.execute(
                    "UPDATE output SET placeholder = 'written', placeholder_digest = ?, placeholder_bytes = ?"
                    " WHERE id = ?",
                    (digest, size_bytes, output_id),
                )
                is_left = "written"
        values = writer.values(is_taken=placeholder == "written")
        if is_left in ("written", "unknown"):
            db.execute(_LIFT_OLDER, values)
        _supersede(db, values, now)


def overtake_older(db: apsw.Connection, writer: Writer, *, is_taken: bool) -> None:
    """A released job has written: older ones that it goes before write no more, not even when they are retried."""
    db.execute(_OVERTAKE, writer.values(is_taken=is_taken))


def final_taken(db: apsw.Connection, output_id: int, now: float) -> None:
    """The destination has taken this output's final by a definite answer."""
    row: tuple[Any, ...] | None = db.execute(
        "SELECT output.job, destination, caller, user FROM output JOIN job ON number = job WHERE output.id = ?1"
        " AND is_form = 0 AND EXISTS (SELECT 1 FROM output AS other"
        "  WHERE other.destination = output.destination AND other.job <> output.job)",
        (output_id,),
    ).fetchone()
    if row is None:
        return
    values = Writer(*row).values(is_taken=True)
    for change in (_OVERTAKE, _LIFT_OLDER, _LIFT_REFUSED, _COVER, _LIFT_NEWER):
        db.execute(change, values)
    _supersede(db, values, now)


def _supersede(db: apsw.Connection, values: dict[str, object], now: float) -> None:
    for job in {row[0] for row in rows(db, _SUPERSEDE, values)}:
        end_if_concluded(db, job, now)


def end_if_concluded(db: apsw.Connection, number: int, now: float) -> None:
    """Write the job's end once all its outputs have ended. An accepting job ends at its release."""
    statuses = [row[0] for row in rows(db, "SELECT status FROM output WHERE job = ?", (number,))]
    end = conclude(statuses)
    if end is not None:
        db.execute(
            "UPDATE job SET status = ?, ended_at = ?, lease_until = NULL"
            " WHERE number = ? AND status IN ('queued', 'running')",
            (end, now, number),
        )
    elif len(statuses) > 1:
        refresh_hosts(db, number)


def refresh_hosts(db: apsw.Connection, number: int) -> None:
    """A job waits for the hosts of its open outputs only."""
    keys = rows(db, "SELECT destination FROM output WHERE job = ? AND status IN ('queued', 'placeholder')", (number,))
    db.execute("UPDATE job SET hosts = ? WHERE number = ?", (hosts_of(row[0] for row in keys), number))
