"""Transactions of operators: a failed job is tried again, a job is cancelled. Each function is one transaction.

A retried job keeps its number, and with it its place in the order of its destinations.
"""

from typing import Any

import apsw

from imgserve.jobs.config import Config
from imgserve.jobs.faults import NoSuchJob, NotCancellable, NotRetryable
from imgserve.jobs.model import OPERATOR, JobStatus
from imgserve.jobs.protocol import QueueFull
from imgserve.jobs.sqlite import backlog
from imgserve.jobs.sqlite.admission import end_without_picture, open_outputs
from imgserve.jobs.sqlite.order import end_if_concluded, refresh_hosts


def retry(db: apsw.Connection, job_id: str, deadline_s: float, config: Config, now: float) -> int:
    """The job's number. Raises NoSuchJob, NotRetryable, QueueFull."""
    number, status = _find(db, job_id)
    if status != "failed":
        raise NotRetryable(f"the job is {status}, and only a failed one can be retried", "post it anew if need be")
    is_released = db.execute("SELECT is_released FROM job WHERE number = ?", (number,)).get
    if not is_released:
        raise NotRetryable("the job was refused when it was posted, so it never was in the queue", "post it anew")
    _reopen_outputs(db, number)
    open_jobs = backlog.count(db)
    if open_jobs >= config.max_waiting:
        raise QueueFull(f"{open_jobs} jobs are waiting, which is the limit", "try again later")
    db.execute(
        "UPDATE job SET status = 'queued', run_at = ?1, deadline_at = ?1 + ?2, lease_until = NULL,"
        " ended_at = NULL, attempts = 0, crashes = 0, error = '', detail = '' WHERE number = ?3",
        (now, deadline_s, number),
    )
    refresh_hosts(db, number)
    return number


def _reopen_outputs(db: apsw.Connection, number: int) -> None:
    """Failed outputs are open again and owe nothing for now; those that a newer job has overtaken are superseded.

    A failure picture that is on its way at this moment holds the destination; the final waits for it.
    Raises NotRetryable when none is left.
    """
    db.execute(
        "UPDATE output AS old SET status = 'superseded' WHERE job = ?1 AND status = 'failed' AND is_form = 0"
        " AND (EXISTS (SELECT 1 FROM output AS newer JOIN job ON job.number = newer.job"
        "  WHERE newer.destination = old.destination AND newer.job > ?1 AND job.is_released = 1"
        "   AND caller IN ((SELECT caller FROM job WHERE number = ?1), ?2))"
        " OR is_overtaken)",
        (number, OPERATOR),
    )
    db.execute(
        "UPDATE output SET status = iif(placeholder IN ('written', 'unknown'), 'placeholder', 'queued'), is_repeat = 0,"
        " debt = 'none', debt_at = NULL, debt_until = NULL, debt_attempts = 0, debt_token = NULL"
        " WHERE job = ? AND status = 'failed'",
        (number,),
    )
    if db.changes() == 0:
        raise NotRetryable("a newer job has its destination, which would be overwritten", "retry the newer job instead")


def cancel(db: apsw.Connection, job_id: str, config: Config, now: float) -> int:
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
        cancelled += end_without_picture(db, output, "cancelled", config, now) == "cancelled"
    if cancelled == 0:
        raise NotCancellable("the finished picture has been delivered already; it is sent once more to be sure")
    db.execute("UPDATE job SET error = 'cancelled', detail = 'cancelled by an operator' WHERE number = ?", (number,))
    end_if_concluded(db, number, now)
    return number


def _is_writing_a_final(db: apsw.Connection, number: int) -> bool:
    """Whether a final may have sent its first byte: it holds its destination until its end has been noted."""
    found: int = db.execute(
        "SELECT EXISTS (SELECT 1 FROM output JOIN destination ON destination.holder = output.id"
        " WHERE output.job = ? AND destination.kind = 'final')",
        (number,),
    ).get
    return bool(found)


def _find(db: apsw.Connection, job_id: str) -> tuple[int, JobStatus]:
    """Raises NoSuchJob."""
    row: tuple[Any, ...] | None = db.execute("SELECT number, status FROM job WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise NoSuchJob(f"no job has the id {job_id[:64]!r}", "ended jobs are kept a day, failed ones two weeks")
    return row[0], row[1]
