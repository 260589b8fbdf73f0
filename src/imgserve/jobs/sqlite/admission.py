"""Transactions of intake: a job comes in, is released or refused. Each function is one transaction."""

from importlib.metadata import version
from typing import Any, Literal

import msgspec

from imgserve.jobs.config import Config
from imgserve.jobs.model import (
    Accepted,
    Adopted,
    NewJob,
    Output,
    OutputStatus,
    PlaceholderResult,
    PlaceholderState,
    intent_of,
)
from imgserve.jobs.protocol import Granted, QueueFull, QuotaFull
from imgserve.jobs.sqlite import backlog, outbox
from imgserve.jobs.sqlite.connection import Connection, rows
from imgserve.jobs.sqlite.destinations import acquire_first, free
from imgserve.jobs.sqlite.order import Writer, end_if_concluded, overtake_older, supersede_older, write_end
from imgserve.jobs.sqlite.queries import load
from imgserve.jobs.stored import FORMAT, UNREADABLE, decode_output, encode_info, encode_output, encode_source, owed_by
from imgserve.request.destination import hosts_of
from imgserve.request.job import ResolvedOutput

SQL = load("admission")

# A caller asks again within minutes; later the same request may well mean a picture that has changed.
ADOPT_ENDED_S = 600.0


def enqueue(db: Connection, job: NewJob, epoch: int, config: Config, now: float) -> Accepted | Adopted:
    """Raises QueueFull, ShareFull."""
    twin = _adopt(db, job, epoch, now)
    if twin is not None:
        return twin
    waiting = backlog.count(db)
    if waiting >= config.max_waiting:
        raise QueueFull(f"{waiting} jobs are waiting, which is the limit", "try again later")
    if job.has_quota and (own := backlog.count_of(db, job.principal)) >= config.max_per_principal:
        detail = f"{own} jobs of this caller are waiting, which is its share of the queue"
        raise QuotaFull(detail, "try again later", max(own / max(waiting, 1), 1 / len(backlog.principals(db))))
    db.execute(
        SQL["add_job"],
        (job.id, encode_source(job.source), encode_info(job.info), job.digest, epoch, now, job.deadline_s,
         job.traceparent, job.principal, hosts_of(output.placement.destination.key for output in job.outputs),
         config.lease_s),
    )  # fmt: skip
    number = db.last_insert_rowid()
    outputs = tuple(_add_output(db, number, job.principal, output, now) for output in job.outputs)
    intents = (intent_of(output, "placeholder", 0) for output in outputs if output.placeholder == "pending")
    granted = (intent.output_id for intent in intents if isinstance(acquire_first(db, intent, now), Granted))
    return Accepted(number, job.id, outputs, frozenset(granted))


def _add_output(db: Connection, number: int, principal: str, output: ResolvedOutput, now: float) -> Output:
    place = output.placement.destination
    state: PlaceholderState = "none" if output.placement.placeholder.style == "none" else "pending"
    db.execute(
        SQL["add_output"],
        (number, encode_output(output), place.key, not place.writing.is_repeatable, state, place.user, now),
    )
    return Output(db.last_insert_rowid(), number, principal, output, state)


def _adopt(db: Connection, job: NewJob, epoch: int, now: float) -> Adopted | None:
    row = db.execute(SQL["find_twin"], (job.digest, epoch, now - ADOPT_ENDED_S)).fetchone()
    if row is None:
        return None
    try:
        outputs = tuple(decode_output(spec) for (spec,) in rows(db, SQL["specs"], (row[0],)))
    except UNREADABLE:
        return None  # it fails at its claim; the request becomes a job that this version can read
    db.execute(SQL["adopt"], (epoch, row[0]))
    return Adopted(row[0], row[1], outputs)


def release(db: Connection, number: int, placeholders: tuple[PlaceholderResult, ...], now: float) -> list[str]:
    """The keys that are free now."""
    row: tuple[Any, ...] | None = db.execute(SQL["release"], (now, number)).fetchone()
    has_older, is_open = (True, False) if row is None else row
    freed = _note(db, number, placeholders)
    if has_older:
        supersede_older(db, number, now)
    if not is_open:
        end_if_concluded(db, number, now)
    return freed


def refuse(
    db: Connection,
    number: int,
    placeholders: tuple[PlaceholderResult, ...],
    error: str,
    detail: str,
    config: Config,
    now: float,
) -> list[str]:
    """The keys that are free now."""
    freed = _note(db, number, placeholders)
    if not any(result.state in ("written", "unknown") for result in placeholders):
        db.execute(SQL["forget"], (number,))
        return freed
    db.execute(SQL["note_refusal"], (error, detail, number))
    for output in open_outputs(db, number):
        end_without_picture(db, output, "failed", config, now)
    db.execute(SQL["mark_answered"], (number,))
    write_end(db, number, "failed", now, is_intake=True)
    return freed


class OpenOutput(msgspec.Struct, frozen=True):
    """An output that has not ended, as its row has it. ``placeholder``: the state of the one that it would replace."""

    id: int
    job: int
    spec: bytes
    placeholder: PlaceholderState
    is_repeat: bool


def open_outputs(db: Connection, number: int) -> list[OpenOutput]:
    found = rows(db, SQL["open_outputs"], (number,))
    return [OpenOutput(row[0], number, row[1], row[2], bool(row[3])) for row in found]


def end_without_picture(
    db: Connection, output: OpenOutput, status: Literal["failed", "cancelled"], config: Config, now: float
) -> OutputStatus:
    """End the output, and return its status. A failure picture or deletion that it owes becomes due at once.

    An output whose final was delivered once, and was to be sent again, counts as delivered.
    """
    if output.is_repeat:
        db.execute(SQL["count_as_delivered"], (output.id,))
        return "delivered"
    db.execute(SQL["end_output"], (status, output.id))
    kind = owed_by(output.spec, output.placeholder)
    if kind is not None:
        outbox.add(db, output.job, output.id, kind, now, now + config.outbox_s)
    return status


def take_over(db: Connection, config: Config, now: float) -> int:
    """Make this process the owner: leases are void, open writes are left alone for a while. Returns the new epoch.

    The lock on the data directory proves that no other process lives, so their leases need not run out.
    """
    db.execute(SQL["next_epoch"])
    db.execute(SQL["forget_processes"])
    db.execute(SQL["add_process"], (version("imgserve"), FORMAT, now))
    quiet_until = now + config.quiet_s
    for cut_off in rows(db, SQL["cut_off_writes"]):
        overtake_older(db, Writer(*cut_off), is_taken=False)
    db.execute(SQL["forget_destinations"], (now,))
    db.execute(SQL["leave_destinations_alone"], (quiet_until,))
    db.execute(SQL["requeue_running"])
    db.execute(SQL["make_entries_due"], (now, now))
    for (number,) in rows(db, SQL["accepting_jobs"]):
        db.execute(SQL["release_accepting"], (quiet_until, number))
        db.execute(SQL["delay_outputs"], (quiet_until, number))
        db.execute(SQL["lose_placeholders"], (number,))
        supersede_older(db, number, now)
        end_if_concluded(db, number, now)
    epoch: int = db.execute(SQL["epoch"]).get
    return epoch


def _note(db: Connection, number: int, placeholders: tuple[PlaceholderResult, ...]) -> list[str]:
    for result in placeholders:
        laid = result.laid
        db.execute(
            SQL["note_placeholder"], (result.state, result.output_id, laid and laid.digest, laid and laid.size_bytes)
        )
    return [one.key for one in free(db, number, token=0)]
