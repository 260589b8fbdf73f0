"""The order of jobs at one destination: which supersedes, overtakes or covers which. Called inside the transactions
that release a job, end a write, or settle it.

A newer job has the same right over an older one as today's caller has over its own jobs when both are one principal's,
or when the newer one is the operator's. Between principals only successful writes count, and only between
URLs with the same user name: a caller that knows a destination's URL, but cannot write there, overtakes nobody.
Forms are never superseded. docs/guarantees.md has the rules.
"""

from typing import Any

import msgspec

from imgserve.jobs.model import OPERATOR, Ended, JobStatus
from imgserve.jobs.rules import OutputState, fold
from imgserve.jobs.sqlite.connection import Connection, rows
from imgserve.jobs.sqlite.kinds import GIVING_WAY


class Writer(msgspec.Struct, frozen=True):
    """One job at one destination: ``principal`` is its principal, ``user`` the name in the destination's URL."""

    number: int
    key: str
    principal: str
    user: str

    def values(self, *, is_taken: bool) -> dict[str, object]:
        return {**msgspec.structs.asdict(self), "is_taken": is_taken, "operator": OPERATOR, "giving_way": GIVING_WAY}


def _sql(*parts: str) -> str:
    return " ".join(parts)


# Bound to the values of a Writer. ``older``: an output of an earlier job at its destination that it goes before.
_OLDER = (
    "older.destination = :key AND older.job < :number AND"
    " ((SELECT caller FROM job WHERE job.number = older.job) = :principal OR :principal = :operator"
    "  OR :is_taken AND older.user = :user)"
)
_OPEN = "status IN ('queued', 'placeholder')"
_LIFT = (
    "DELETE FROM outbox WHERE state = 'pending' AND kind IN (SELECT value FROM json_each(:giving_way)) AND output IN"
)
_LIFT_OLDER = _sql(_LIFT, "(SELECT id FROM output AS older WHERE", _OLDER, ")")
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
_LIFT_REFUSED = _sql(
    _LIFT,
    "(SELECT refused.id FROM output AS refused JOIN job ON number = refused.job WHERE refused.destination = :key",
    "AND job.is_released = 0 AND (job.caller = :principal OR refused.user = :user))",
)
# Newer jobs of other principals whose placeholder may lie there, or may have been replaced by this final.
_NEWER = (
    "newer.destination = :key AND newer.job > :number AND newer.user = :user AND newer.placeholder = 'unknown'"
    " AND (SELECT caller FROM job WHERE job.number = newer.job) <> :principal"
)
_COVER = _sql("UPDATE output AS newer SET is_covered = 1 WHERE", _OPEN, "AND", _NEWER)
_LIFT_NEWER = _sql(_LIFT, "(SELECT id FROM output AS newer WHERE", _NEWER, ")")


def supersede_older(db: Connection, number: int, now: float) -> None:
    """A released job takes its destinations from older jobs that it goes before; where it wrote they owe nothing.

    Where it put no placeholder itself it answers for those of its own principal, as if it had written one: they owe
    nothing any more.
    """
    for output_id, placeholder, key, user, principal in rows(
        db,
        "SELECT newer.id, newer.placeholder, destination, user, caller FROM output AS newer JOIN job ON number = job"
        " WHERE newer.job = ? AND is_form = 0 AND EXISTS (SELECT 1 FROM output AS older"
        "  WHERE older.destination = newer.destination AND older.job < newer.job)",
        (number,),
    ):
        writer = Writer(number, key, principal, user)
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


def overtake_older(db: Connection, writer: Writer, *, is_taken: bool) -> None:
    """A released job has written: older ones that it goes before write no more, not even when they are retried."""
    db.execute(_OVERTAKE, writer.values(is_taken=is_taken))


def final_taken(db: Connection, output_id: int, now: float) -> None:
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


def _supersede(db: Connection, values: dict[str, object], now: float) -> None:
    for job in {row[0] for row in rows(db, _SUPERSEDE, values)}:
        end_if_concluded(db, job, now)


def end_if_concluded(db: Connection, number: int, now: float) -> None:
    """Write the job's end once all its outputs have ended, else what it waits for. An accepting job ends at its
    release.
    """
    found = rows(db, "SELECT status, due_at, destination FROM output WHERE job = ?", (number,))
    job = fold(OutputState(*row) for row in found)
    if job.end is not None:
        write_end(db, number, job.end, now)
    elif len(found) > 1:
        db.execute(
            "UPDATE job SET hosts = ?, run_at = ? WHERE number = ? AND status = 'queued'",
            (job.hosts, job.due_at, number),
        )


def write_end(db: Connection, number: int, status: JobStatus, now: float, *, is_intake: bool = False) -> None:
    """End a job that has not ended, and tell it once it is stored. An accepting one is intake's to end."""
    ended = rows(
        db,
        "UPDATE job SET status = ?1, ended_at = ?2, lease_until = NULL"
        " WHERE number = ?3 AND ended_at IS NULL AND (status <> 'accepting' OR ?4) RETURNING"
        " coalesce((SELECT error FROM output WHERE job = number AND error <> '' ORDER BY id LIMIT 1), ''), created_at",
        (status, now, number, is_intake),
    )
    db.ends += (Ended(status, error, created_at, now) for error, created_at in ended)
