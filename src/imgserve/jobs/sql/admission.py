"""Transactions of intake: a job comes in, is activated or refused. Each function is one transaction."""

import msgspec

from imgserve.jobs.config import Config
from imgserve.jobs.model import Accepted, Answer, NewJob, Output, PlaceholderResult, PlaceholderState, intent_of
from imgserve.jobs.protocol import Granted
from imgserve.jobs.sql import events, uploads
from imgserve.jobs.sql.backlog import limits_of
from imgserve.jobs.sql.database import Database, rows
from imgserve.jobs.sql.destinations import acquire_first, free
from imgserve.jobs.sql.ending import Reason, end_open, note_ends
from imgserve.jobs.sql.idempotency import bind, bound_job, unbind
from imgserve.jobs.sql.order import end_if_concluded, supersede_older, write_end
from imgserve.jobs.sql.queries import load
from imgserve.jobs.stored import (
    UNREADABLE,
    decode_output,
    encode_info,
    encode_metadata,
    encode_output,
    encode_source,
    encode_webhook,
)
from imgserve.request.destination import hosts_of
from imgserve.request.job import ResolvedOutput

SQL = load("admission")

# A client asks again within minutes; later the same request may well mean a picture that has changed.
ADOPT_ENDED_S = 600.0


def enqueue(db: Database, job: NewJob, epoch: int, config: Config, now: float) -> Accepted | Answer:
    """Raises QueueFull, QuotaFull, IdempotencyKeyReused, IdempotentJobGone, SourceGone."""
    db.lock_keys(output.placement.destination.key for output in job.outputs)
    earlier = bound_job(db, job, now) or _twin(db, job, epoch, now)
    answer = None if earlier is None else _adopt(db, *earlier, epoch)
    if answer is not None:
        return answer
    db.count_backlog(limits_of(job.principal, config, has_quota=job.has_quota))
    db.backlog.check(job.principal, config, has_quota=job.has_quota)
    due_at = now if job.not_before is None else max(now, job.not_before)
    number: int = db.execute(
        SQL["add_job"],
        (job.id, encode_source(job.source), encode_info(job.info, job.source_bytes), job.digest, epoch, now, due_at,
         job.deadline_s, job.traceparent, job.principal,
         hosts_of(output.placement.destination.key for output in job.outputs), job.protocol, job.priority,
         job.not_before, encode_metadata(job.metadata), encode_webhook(job.webhook)),
    ).get  # fmt: skip
    bind(db, job, now)
    uploads.add(db, number, job)
    db.backlog.add((job.principal, job.priority))
    outputs = tuple(_add_output(db, number, job.principal, output, due_at) for output in job.outputs)
    intents = (intent_of(output, "placeholder", 0) for output in outputs if output.placeholder == "pending")
    held_ids = (intent.output_id for intent in intents if isinstance(acquire_first(db, intent, now), Granted))
    return Accepted(number, job.id, outputs, frozenset(held_ids), now, due_at)


def _add_output(db: Database, number: int, principal: str, output: ResolvedOutput, due_at: float) -> Output:
    place = output.placement.destination
    state: PlaceholderState = "none" if output.placement.placeholder.style == "none" else "pending"
    output_id: int = db.execute(
        SQL["add_output"],
        (number, encode_output(output), place.key, not place.writing.is_repeatable, state, place.user, due_at),
    ).get
    return Output(output_id, number, principal, output, state)


def _twin(db: Database, job: NewJob, epoch: int, now: float) -> tuple[int, str] | None:
    """Number and id of an unanswered job of the same digest."""
    if not db.may_have_twin(job.digest):
        return None
    row: tuple[int, str] | None = db.execute(SQL["find_twin"], (job.digest, epoch, now - ADOPT_ENDED_S)).fetchone()
    return row


def _adopt(db: Database, number: int, job_id: str, epoch: int) -> Answer | None:
    try:
        outputs = tuple(decode_output(spec) for (spec,) in rows(db, SQL["specs"], (number,)))
    except UNREADABLE:
        return None  # it fails at its claim; the request becomes a job that this version can read
    db.execute(SQL["adopt"], (epoch, number))
    return Answer(number, job_id, outputs)


class Activated(msgspec.Struct, frozen=True):
    """``keys`` are free now. ``is_untouched``: no other job, cancellation or server has changed this one."""

    keys: list[str]
    is_untouched: bool


def activate(db: Database, number: int, placeholders: tuple[PlaceholderResult, ...], now: float) -> Activated:
    """A job that is to wait takes its place in the order when it is claimed."""
    db.lock_order(number)
    row: tuple[int, int, int, int] | None = db.execute(SQL["activate"], (now, number)).fetchone()
    keys = _note(db, number, placeholders)
    if row is None:  # another server has taken the job over
        db.write_ended_late(number, 0, now)
        return Activated(keys, is_untouched=False)
    has_older, is_open, has_ended, is_activated = row
    events.add(db, [*_placeholder_events(number, placeholders, now), (number, None, now, "job.accepted", "")])
    if has_older and is_activated:
        supersede_older(db, number, now)
    if not is_open:
        end_if_concluded(db, number, now)
    return Activated(keys, is_untouched=not (has_older or has_ended))


def refuse(
    db: Database,
    number: int,
    placeholders: tuple[PlaceholderResult, ...],
    error: str,
    detail: str,
    config: Config,
    now: float,
) -> list[str]:
    """The keys that are free now."""
    db.lock_order(number)
    keys = _note(db, number, placeholders)
    if db.execute(SQL["is_accepting"], (number,)).get is None:  # another server has taken the job over
        db.write_ended_late(number, 0, now)
        return keys
    unbind(db, number)
    if any(result.state in ("written", "unknown") for result in placeholders):
        db.execute(SQL["forget_webhook"], (number,))  # the reply is told of the refusal
        events.add(db, _placeholder_events(number, placeholders, now))
        note_ends(db, end_open(db, number, "failed", Reason(error, detail), config, now, is_refused=True))
        answered(db, number)
        write_end(db, number, "failed", now, is_intake=True)
    else:
        for lane in rows(db, SQL["forget"], (number,)):
            db.backlog.add(lane, -1)
    return keys


def _placeholder_events(number: int, placeholders: tuple[PlaceholderResult, ...], now: float) -> list[events.Event]:
    return [
        (number, result.output_id, now, "output.placeholder", "")
        for result in placeholders
        if result.state in ("written", "unknown")
    ]


def answered(db: Database, *numbers: int) -> None:
    db.executemany(SQL["mark_answered"], [(number,) for number in numbers])


def _note(db: Database, number: int, placeholders: tuple[PlaceholderResult, ...]) -> list[str]:
    for result in placeholders:
        fingerprint = result.fingerprint
        digest, size_bytes = (fingerprint.digest, fingerprint.size_bytes) if fingerprint else (None, None)
        db.execute(SQL["note_placeholder"], (result.state, result.output_id, digest, size_bytes, result.etag))
    return free(db, number, token=0).keys
