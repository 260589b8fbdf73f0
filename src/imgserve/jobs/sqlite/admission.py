"""Transactions of intake: a job comes in, is released or refused. Each function is one transaction."""

from typing import Any, Literal

import apsw
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
from imgserve.jobs.protocol import Granted, QueueFull, ShareFull
from imgserve.jobs.sqlite import backlog
from imgserve.jobs.sqlite.committer import rows
from imgserve.jobs.sqlite.destinations import acquire_first, free
from imgserve.jobs.sqlite.order import Writer, end_if_concluded, overtake_older, supersede_older
from imgserve.jobs.stored import UNREADABLE, debt_of, decode_output, encode_info, encode_output, encode_source
from imgserve.request.destination import hosts_of
from imgserve.request.job import ResolvedOutput
from imgserve.telemetry import logs

# The note of an output whose placeholder nothing can replace.
ABANDONED = "its placeholder stays: the stored output cannot be read, not even as far as a failure picture needs"

# A caller asks again within minutes; later the same request may well mean a picture that has changed.
ADOPT_ENDED_S = 600.0


def enqueue(db: apsw.Connection, job: NewJob, epoch: int, config: Config, now: float) -> Accepted | Adopted:
    """Raises QueueFull, ShareFull."""
    twin = _adopt(db, job, epoch, now)
    if twin is not None:
        return twin
    waiting = backlog.count(db)
    if waiting >= config.max_waiting:
        raise QueueFull(f"{waiting} jobs are waiting, which is the limit", "try again later")
    if job.is_sharing and (own := backlog.count_of(db, job.caller)) >= config.max_per_caller:
        detail = f"{own} jobs of this caller are waiting, which is its share of the queue"
        raise ShareFull(detail, "try again later", max(own / max(waiting, 1), 1 / len(backlog.callers(db))))
    db.execute(
        "INSERT INTO job (id, status, source, facts, digest, epoch, created_at, deadline_at, run_at,"
        " traceparent, caller, hosts)"
        " VALUES (?1, 'accepting', ?2, ?3, ?4, ?5, ?6, ?6 + ?7, ?6, nullif(?8, ''), ?9, ?10)",
        (job.id, encode_source(job.source), encode_info(job.info), job.digest, epoch, now, job.deadline_s,
         job.traceparent, job.caller, hosts_of(output.placement.destination.key for output in job.outputs)),
    )  # fmt: skip
    number = db.last_insert_rowid()
    outputs = tuple(_add_output(db, number, job.caller, output) for output in job.outputs)
    intents = (intent_of(output, "placeholder", 0) for output in outputs if output.placeholder == "pending")
    granted = (intent.output_id for intent in intents if isinstance(acquire_first(db, intent, now), Granted))
    return Accepted(number, job.id, outputs, frozenset(granted))


def _add_output(db: apsw.Connection, number: int, caller: str, output: ResolvedOutput) -> Output:
    place = output.placement.destination
    state: PlaceholderState = "none" if output.placement.placeholder.style == "none" else "pending"
    db.execute(
        "INSERT INTO output (job, spec, destination, is_form, placeholder, user) VALUES (?, ?, ?, ?, ?, ?)",
        (number, encode_output(output), place.key, not place.writing.is_repeatable, state, place.user),
    )
    return Output(db.last_insert_rowid(), number, caller, output, state)


def _adopt(db: apsw.Connection, job: NewJob, epoch: int, now: float) -> Adopted | None:
    row = db.execute(
        "SELECT number, id FROM job WHERE digest = ? AND is_answered = 0 AND epoch < ?"
        " AND (ended_at IS NULL OR status = 'succeeded' AND created_at > ?) ORDER BY number DESC LIMIT 1",
        (job.digest, epoch, now - ADOPT_ENDED_S),
    ).fetchone()
    if row is None:
        return None
    try:
        outputs = tuple(
            decode_output(spec) for (spec,) in rows(db, "SELECT spec FROM output WHERE job = ? ORDER BY id", (row[0],))
        )
    except UNREADABLE:
        return None  # it fails at its claim; the request becomes a job that this version can read
    db.execute("UPDATE job SET epoch = ? WHERE number = ?", (epoch, row[0]))
    return Adopted(row[0], row[1], outputs)


def release(db: apsw.Connection, number: int, placeholders: tuple[PlaceholderResult, ...], now: float) -> list[str]:
    """The keys that are free now."""
    row: tuple[Any, ...] | None = db.execute(
        "UPDATE job SET is_released = 1, status = 'queued', run_at = ?1 WHERE number = ?2 AND status = 'accepting'"
        " RETURNING EXISTS (SELECT 1 FROM output JOIN output AS older ON older.destination = output.destination"
        "  WHERE output.job = number AND older.job < number),"
        " EXISTS (SELECT 1 FROM output WHERE job = number AND status IN ('queued', 'placeholder'))",
        (now, number),
    ).fetchone()
    has_older, is_open = (True, False) if row is None else row
    freed = _note(db, number, placeholders)
    if has_older:
        supersede_older(db, number, now)
    if not is_open:
        end_if_concluded(db, number, now)
    return freed


def refuse(
    db: apsw.Connection,
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
        db.execute("DELETE FROM job WHERE number = ?", (number,))
        return freed
    db.execute(
        "UPDATE job SET status = 'failed', error = ?, detail = ?, ended_at = ?, is_answered = 1 WHERE number = ?",
        (error, detail, now, number),
    )
    for output in open_outputs(db, number):
        end_without_picture(db, output, "failed", config, now)
    return freed


class OpenOutput(msgspec.Struct, frozen=True):
    """An output that has not ended, as its row has it. ``placeholder``: the state of the one that it would replace."""

    id: int
    spec: bytes
    placeholder: PlaceholderState
    is_repeat: bool


def open_outputs(db: apsw.Connection, number: int) -> list[OpenOutput]:
    found = rows(
        db,
        "SELECT id, spec, iif(is_covered, 'none', placeholder), is_repeat FROM output"
        " WHERE job = ? AND status IN ('queued', 'placeholder') ORDER BY id",
        (number,),
    )
    return [OpenOutput(row[0], row[1], row[2], bool(row[3])) for row in found]


def end_without_picture(
    db: apsw.Connection, output: OpenOutput, status: Literal["failed", "cancelled"], config: Config, now: float
) -> OutputStatus:
    """End the output, and return its status. A failure picture or deletion that it owes becomes due at once.

    An output whose final was delivered once, and was to be sent again, counts as delivered.
    """
    if output.is_repeat:
        db.execute("UPDATE output SET status = 'delivered' WHERE id = ?", (output.id,))
        return "delivered"
    debt = debt_of(output.spec, output.placeholder)
    db.execute(
        "UPDATE output SET status = ?, debt = ?, debt_at = ?, debt_until = ? WHERE id = ?",
        (status, debt, now, now + config.debt_s, output.id),
    )
    if debt == "abandoned":
        logs.event("placeholder_abandoned", level=logs.WARNING, output=output.id, detail=ABANDONED)
    return status


def take_over(db: apsw.Connection, config: Config, now: float) -> int:
    """Make this process the owner: leases are void, open writes are left alone for a while. Returns the new epoch."""
    db.execute("UPDATE owner SET epoch = epoch + 1")
    quiet_until = now + config.quiet_s
    for cut_off in rows(
        db,
        "SELECT output.job, key, caller, user FROM destination JOIN output ON output.id = holder"
        " JOIN job ON job.number = output.job WHERE kind <> 'placeholder' AND is_released = 1 AND is_form = 0",
    ):
        overtake_older(db, Writer(*cut_off), is_taken=False)
    db.execute(
        "DELETE FROM destination WHERE holder IS NULL AND quiet_until < ?"
        " AND NOT EXISTS (SELECT 1 FROM output WHERE output.destination = key)",
        (now,),
    )
    db.execute(
        "UPDATE destination SET holder = NULL, token = NULL, kind = NULL, quiet_until = ? WHERE holder IS NOT NULL",
        (quiet_until,),
    )
    db.execute("UPDATE job SET status = 'queued', lease_until = NULL WHERE status = 'running'")
    db.execute("UPDATE output SET debt_at = ? WHERE debt = 'owed' AND debt_at > ?", (now, now))
    for (number,) in rows(db, "SELECT number FROM job WHERE status = 'accepting' ORDER BY number"):
        db.execute(
            "UPDATE job SET status = 'queued', is_released = 1, run_at = ? WHERE number = ?",
            (quiet_until, number),
        )
        db.execute(
            "UPDATE output SET placeholder = 'unknown', status = 'placeholder'"
            " WHERE job = ? AND placeholder = 'pending' AND status = 'queued'",
            (number,),
        )
        supersede_older(db, number, now)
        end_if_concluded(db, number, now)
    epoch: int = db.execute("SELECT epoch FROM owner").get
    return epoch


def _note(db: apsw.Connection, number: int, placeholders: tuple[PlaceholderResult, ...]) -> list[str]:
    for result in placeholders:
        laid = result.laid
        db.execute(
            "UPDATE output SET placeholder = ?1, placeholder_digest = ?3, placeholder_bytes = ?4,"
            " status = iif(status = 'queued' AND ?1 IN ('written', 'unknown'), 'placeholder', status) WHERE id = ?2",
            (result.state, result.output_id, laid and laid.digest, laid and laid.size_bytes),
        )
    return [one.key for one in free(db, number, token=0)]
