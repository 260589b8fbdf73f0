"""Transactions of people: failed outputs are retried, open ones are cancelled. Each function is one transaction.

A retried job keeps its number, and with it its place in the order of its destinations.
"""

from typing import Any

from imgserve.jobs.config import Config
from imgserve.jobs.faults import NotCancellable, no_such_job
from imgserve.jobs.lanes import Lane
from imgserve.jobs.model import JobStatus
from imgserve.jobs.rules import Reopening, Retryable, reopening
from imgserve.jobs.sql import events, uploads, webhooks
from imgserve.jobs.sql.backlog import limits_of
from imgserve.jobs.sql.database import Database, rows
from imgserve.jobs.sql.ending import Reason, end_open, note_ends
from imgserve.jobs.sql.kinds import HOLDING
from imgserve.jobs.sql.order import end_if_concluded
from imgserve.jobs.sql.queries import load
from imgserve.jobs.stored import name_of
from imgserve.request.destination import hosts_of
from imgserve.request.principal import OPERATOR_ID

SQL = load("operator")

CANCELLED = Reason("cancelled", "cancelled by request", "post it anew if need be")


def retry(
    db: Database, job_id: str, names: tuple[str, ...] | None, deadline_s: float, config: Config, now: float,
    principal: str | None,
) -> int:  # fmt: skip
    """The job's number. Raises NoSuchJob, NotRetryable, QueueFull."""
    number, status, is_activated = _find(db, job_id, principal)
    outputs = [
        Retryable(output_id, name_of(spec, index), output_status, bool(is_overtaken))
        for index, (output_id, spec, output_status, is_overtaken) in enumerate(
            rows(db, SQL["retryable"], (number, OPERATOR_ID))
        )
    ]
    chosen = reopening(status, outputs, names, is_activated=bool(is_activated))
    uploads.check_source(db, db.execute(SQL["source"], (number,)).get)
    if status == "queued":
        _reopen(db, chosen, now)
        db.execute(SQL["prolong_job"], (now, deadline_s, number))
        end_if_concluded(db, number, now)
    else:
        db.count_backlog(limits_of("", config, has_quota=False))
        db.backlog.check("", config, has_quota=False)
        _reopen(db, chosen, now)
        keys = rows(db, SQL["open_destinations"], (number,))
        lane: Lane = db.execute(SQL["reopen_job"], (now, deadline_s, hosts_of(key for (key,) in keys), number)).get
        db.backlog.add(lane)
    events.add(db, [(number, None, now, "job.retrying", "")])
    return number


def _reopen(db: Database, chosen: Reopening, now: float) -> None:
    """A failure picture that is on its way at this moment holds the destination; the final waits for it."""
    db.is_abandoned_changed = True
    for output_id in chosen.superseded:
        db.execute(SQL["supersede"], (output_id,))
    for output_id in chosen.reopened:
        db.execute(SQL["cancel_entries"], (output_id, HOLDING))
        db.execute(SQL["reopen_output"], (now, output_id))


def cancel(db: Database, job_id: str, config: Config, now: float, principal: str | None) -> int:
    """The job's number; if the job ends by it, its claim is lost from here on. Raises NoSuchJob, NotCancellable."""
    number, status, _ = _find(db, job_id, principal)
    if status == "cancelled":
        return number
    if status == "accepting":
        raise NotCancellable("the job is still being taken in", "try again in a moment")
    if status not in ("queued", "running"):
        raise NotCancellable(f"the job has ended already: it is {status}")
    # A final holds its destination until its end is noted, so its first byte may have been sent.
    idle = rows(db, SQL["idle_outputs"], (number,))
    if not idle:
        raise NotCancellable("the finished picture is on its way to its destination already")
    ends = [end for (one,) in idle for end in end_open(db, number, "cancelled", CANCELLED, config, now, one)]
    if all(end.status != "cancelled" for end in ends):
        raise NotCancellable("the finished picture has been delivered already; it is sent once more to be sure")
    note_ends(db, ends)
    end_if_concluded(db, number, now)
    return number


def replay_webhooks(db: Database, job_id: str, now: float, principal: str | None) -> int:
    """The number of webhooks that are sent again. Raises NoSuchJob."""
    number, _, _ = _find(db, job_id, principal)
    return webhooks.replay(db, number, now)


def _find(db: Database, job_id: str, principal: str | None) -> tuple[int, JobStatus, int]:
    """Number, status, and whether it was activated. Raises NoSuchJob."""
    row: tuple[Any, ...] | None = db.execute(SQL["find"], (job_id, principal)).fetchone()
    if row is not None:
        db.lock_order(row[0])
        row = db.execute(SQL["find"], (job_id, principal)).fetchone()
    if row is None:
        raise no_such_job(job_id)
    return row[0], row[1], row[2]
