"""The order of jobs at one destination: which supersedes, overtakes or covers which. Called inside the transactions
that activate a job, end a write, or settle it.

A newer job of the same principal, or of the operator, supersedes an older one as soon as it is activated. Between
principals only successful writes count, and only between URLs with the same user name: a principal that knows a
destination's URL, but cannot write there, overtakes no other. Forms are never superseded. docs/guarantees.md has the
rules.
"""

from typing import Any

import msgspec

from imgserve.jobs.model import END_EVENTS, Ended, JobStatus
from imgserve.jobs.rules import OutputState, fold
from imgserve.jobs.sql import events
from imgserve.jobs.sql.database import Database, rows
from imgserve.jobs.sql.kinds import GIVING_WAY
from imgserve.jobs.sql.queries import load
from imgserve.request.principal import OPERATOR_ID

SQL = load("order")


class Writer(msgspec.Struct, frozen=True):
    """One job at one destination. ``user`` is the name in the destination's URL."""

    number: int
    key: str
    principal: str
    user: str

    def values(self, *, is_taken: bool) -> dict[str, object]:
        """``is_taken``: the destination has taken its write."""
        return {**msgspec.structs.asdict(self), "is_taken": is_taken, "operator": OPERATOR_ID, "giving_way": GIVING_WAY}


def activate(db: Database, number: int, now: float) -> None:
    """A job whose time has come takes its place in the order, as another does right after intake."""
    db.execute(SQL["activate"], (number,))
    for _, placeholder, *writer in rows(db, SQL["outputs_with_older"], (number,)):
        if placeholder in ("written", "unknown"):
            overtake_older(db, Writer(number, *writer), is_taken=placeholder == "written")
    supersede_older(db, number, now)


def supersede_older(db: Database, number: int, now: float) -> None:
    """An activated job supersedes older ones at its destinations, and cancels their outbox entries where it wrote.

    Where it wrote no placeholder, or kept what lies there, it inherits the one of an older job of its principal, as if
    it had written it.
    """
    for output_id, placeholder, *writer in rows(db, SQL["outputs_with_older"], (number,)):
        values = Writer(number, *writer).values(is_taken=placeholder == "written")
        is_bare = placeholder in ("none", "kept")
        inherited = db.execute(SQL["placeholder_of_older"], values).fetchone() if is_bare else None
        if inherited is not None:
            db.execute(SQL["inherit_placeholder"], (*inherited, output_id))
        if inherited is not None or placeholder in ("written", "unknown"):
            db.execute(SQL["cancel_entries_of_older"], values)
        _supersede(db, values, now)


def overtake_older(db: Database, writer: Writer, *, is_taken: bool) -> None:
    """An activated job has written: older ones write there no more, not even when they are retried."""
    db.execute(SQL["overtake_older"], writer.values(is_taken=is_taken))


def final_taken(db: Database, output_id: int, now: float) -> None:
    """The destination has confirmed this output's final."""
    row: tuple[Any, ...] | None = db.execute(SQL["output_with_others"], (output_id,)).fetchone()
    if row is None:
        return
    values = Writer(*row).values(is_taken=True)
    for change in (
        "overtake_older", "cancel_entries_of_older", "cancel_entries_of_refused", "cover_newer",
        "cancel_entries_of_newer",
    ):  # fmt: skip
        db.execute(SQL[change], values)
    _supersede(db, values, now)


def _supersede(db: Database, values: dict[str, object], now: float) -> None:
    for job in {row[0] for row in rows(db, SQL["supersede_older"], values)}:
        end_if_concluded(db, job, now)


def end_if_concluded(db: Database, number: int, now: float) -> None:
    """End the job if all its outputs have ended, else update when and for which hosts it is due. An accepting job ends
    at its activation.
    """
    db.lock_job(number)
    outputs = rows(db, SQL["states"], (number,))
    job = fold(OutputState(*row) for row in outputs)
    if job.end is not None:
        write_end(db, number, job.end, now)
    elif len(outputs) > 1:
        db.execute(SQL["wait"], (job.hosts, job.due_at, number))


def write_end(db: Database, number: int, status: JobStatus, now: float, *, is_intake: bool = False) -> None:
    """End a job that has not ended. Only intake ends an accepting one."""
    values = (status, now, number, is_intake)
    for job_id, principal, priority, created_at, error, has_webhook in rows(db, SQL["end"], values):
        db.backlog.add((principal, priority), -1)
        db.ends.append(Ended(status, error, created_at, now, job_id))
        if status == "superseded":
            db.execute(SQL["name_superseding"], (number,))
        events.add(db, [(number, None, now, END_EVENTS[status], error)], has_webhook=bool(has_webhook))
