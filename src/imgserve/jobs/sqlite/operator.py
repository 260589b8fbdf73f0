"""Transactions of operators: a failed job is tried again, a job is cancelled. Each function is one transaction.

A retried job keeps its number, and with it its place in the order of its destinations.
"""

from typing import Any

from imgserve.jobs.config import Config
from imgserve.jobs.faults import NoSuchJob, NotCancellable, NotRetryable
from imgserve.jobs.model import OPERATOR, JobStatus
from imgserve.jobs.protocol import QueueFull
from imgserve.jobs.sqlite import backlog
from imgserve.jobs.sqlite.admission import end_without_picture, open_outputs
from imgserve.jobs.sqlite.connection import Connection, rows
from imgserve.jobs.sqlite.kinds import HOLDING
from imgserve.jobs.sqlite.order import end_if_concluded
from imgserve.jobs.sqlite.queries import load
from imgserve.request.destination import hosts_of

SQL = load("operator")


def retry(db: Connection, job_id: str, deadline_s: float, config: Config, now: float) -> int:
    """The job's number. Raises NoSuchJob, NotRetryable, QueueFull."""
    number, status = _find(db, job_id)
    if status != "failed":
        raise NotRetryable(f"the job is {status}, and only a failed one can be retried", "post it anew if need be")
    is_released = db.execute(SQL["is_released"], (number,)).get
    if not is_released:
        raise NotRetryable("the job was refused when it was posted, so it never was in the queue", "post it anew")
    _reopen_outputs(db, number)
    open_jobs = backlog.count(db)
    if open_jobs >= config.max_waiting:
        raise QueueFull(f"{open_jobs} jobs are waiting, which is the limit", "try again later")
    db.execute(SQL["make_due"], (now, number))
    keys = rows(db, SQL["open_destinations"], (number,))
    db.execute(SQL["reopen_job"], (now, deadline_s, hosts_of(row[0] for row in keys), number))
    return number


def _reopen_outputs(db: Connection, number: int) -> None:
    """Failed outputs are open again and owe nothing for now; those that a newer job has overtaken are superseded.

    A failure picture that is on its way at this moment holds the destination; the final waits for it.
    Raises NotRetryable when none is left.
    """
    db.execute(SQL["supersede_overtaken"], (number, OPERATOR))
    db.is_abandoned_changed = True
    db.execute(SQL["take_back_owed"], (number, HOLDING))
    db.execute(SQL["reopen_outputs"], (number,))
    if db.changes() == 0:
        raise NotRetryable("a newer job has its destination, which would be overwritten", "retry the newer job instead")


def cancel(db: Connection, job_id: str, config: Config, now: float) -> int:
    """The job's number; its claim, if it had one, is lost from here on. Raises NoSuchJob, NotCancellable."""
    number, status = _find(db, job_id)
    if status == "accepting":
        raise NotCancellable("the job is still being taken in", "try again in a moment")
    if status not in ("queued", "running"):
        raise NotCancellable(f"the job has ended already: it is {status}")
    if _is_writing_a_final(db, number):
        raise NotCancellable("the finished picture is on its way to its destination already")
    cancelled = 0
    for output in open_outputs(db, number):
        db.execute(SQL["note_cancel"], (output.id,))
        cancelled += end_without_picture(db, output, "cancelled", config, now) == "cancelled"
    if cancelled == 0:
        raise NotCancellable("the finished picture has been delivered already; it is sent once more to be sure")
    end_if_concluded(db, number, now)
    return number


def _is_writing_a_final(db: Connection, number: int) -> bool:
    """Whether a final may have sent its first byte: it holds its destination until its end has been noted."""
    found: int = db.execute(SQL["is_writing_a_final"], (number,)).get
    return bool(found)


def _find(db: Connection, job_id: str) -> tuple[int, JobStatus]:
    """Raises NoSuchJob."""
    row: tuple[Any, ...] | None = db.execute(SQL["find"], (job_id,)).fetchone()
    if row is None:
        raise NoSuchJob(f"no job has the id {job_id[:64]!r}", "ended jobs are kept a day, failed ones two weeks")
    return row[0], row[1]
