"""Transactions of operators: a failed job is retried, a job is cancelled. Each function is one transaction.

A retried job keeps its number, and with it its place in the order of its destinations.
"""

from typing import Any

from imgserve.jobs.config import Config
from imgserve.jobs.faults import NoSuchJob, NotCancellable, NotRetryable
from imgserve.jobs.model import OPERATOR, JobStatus
from imgserve.jobs.sqlite.connection import Connection, rows
from imgserve.jobs.sqlite.ending import Reason, end_open
from imgserve.jobs.sqlite.kinds import HOLDING
from imgserve.jobs.sqlite.order import end_if_concluded
from imgserve.jobs.sqlite.queries import load
from imgserve.request.destination import hosts_of

SQL = load("operator")

CANCELLED = Reason("cancelled", "cancelled by request", "post it anew if need be")


def retry(db: Connection, job_id: str, deadline_s: float, config: Config, now: float) -> int:
    """The job's number. Raises NoSuchJob, NotRetryable, QueueFull."""
    number, status, is_activated = _find(db, job_id)
    if status != "failed":
        raise NotRetryable(f"the job is {status}, and only a failed one can be retried", "post it anew if need be")
    if not is_activated:
        raise NotRetryable("the job was refused when it was posted, so it never was in the queue", "post it anew")
    db.backlog.check("", config, has_quota=False)
    _reopen_outputs(db, number)
    keys = rows(db, SQL["make_due"], (now, number))
    principal: str = db.execute(SQL["reopen_job"], (now, deadline_s, hosts_of(key for (key,) in keys), number)).get
    db.backlog.add(principal)
    return number


def _reopen_outputs(db: Connection, number: int) -> None:
    """Reopen failed outputs and cancel their outbox entries; those that a newer job has overtaken are superseded.

    A failure picture that is on its way at this moment holds the destination; the final waits for it.
    Raises NotRetryable when no output was reopened.
    """
    db.execute(SQL["supersede_overtaken"], (number, OPERATOR))
    db.is_abandoned_changed = True
    db.execute(SQL["cancel_entries"], (number, HOLDING))
    db.execute(SQL["reopen_outputs"], (number,))
    if db.changes() == 0:
        raise NotRetryable("a newer job has its destination, which would be overwritten", "retry the newer job instead")


def cancel(db: Connection, job_id: str, config: Config, now: float) -> int:
    """The job's number; its claim, if it had one, is lost from here on. Raises NoSuchJob, NotCancellable."""
    number, status, _ = _find(db, job_id)
    if status == "accepting":
        raise NotCancellable("the job is still being taken in", "try again in a moment")
    if status not in ("queued", "running"):
        raise NotCancellable(f"the job has ended already: it is {status}")
    # A final holds its destination until its end is noted, so its first byte may have been sent.
    if db.execute(SQL["is_writing_a_final"], (number,)).get:
        raise NotCancellable("the finished picture is on its way to its destination already")
    if "cancelled" not in end_open(db, number, "cancelled", CANCELLED, config, now):
        raise NotCancellable("the finished picture has been delivered already; it is sent once more to be sure")
    end_if_concluded(db, number, now)
    return number


def _find(db: Connection, job_id: str) -> tuple[int, JobStatus, int]:
    """Number, status, and whether it was activated. Raises NoSuchJob."""
    row: tuple[Any, ...] | None = db.execute(SQL["find"], (job_id,)).fetchone()
    if row is None:
        raise NoSuchJob(f"no job has the id {job_id[:64]!r}", "ended jobs are kept a day, failed ones two weeks")
    return row[0], row[1], row[2]
