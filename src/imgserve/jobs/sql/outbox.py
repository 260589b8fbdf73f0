"""Transactions of the outbox: entries are added, claimed when they are due, and settled.

An entry of a kind that holds a destination is claimed with the next token of its job, so that its write is newer than
all earlier writes of that job.
"""

from imgserve.blob import Fingerprint
from imgserve.jobs.model import OUTBOX, Message, OutboxEntry, OutboxKind, OutboxOutcome, Output, SentMessage
from imgserve.jobs.protocol import OutboxWork
from imgserve.jobs.sql import webhooks
from imgserve.jobs.sql.database import Database, rows
from imgserve.jobs.sql.destinations import free
from imgserve.jobs.sql.queries import load
from imgserve.jobs.stored import UNREADABLE, for_failure
from imgserve.request import url
from imgserve.telemetry import logs

SQL = load("outbox")

LEASE_S = 120.0
# So many due entries are looked at, in 5 ms, for those to a host that has no place for one.
MOST_PUT_OFF = 2000
# They come back one after the other, as many in a second as wait for a host in memory.
PUT_OFF_SPACING_S = 1 / 128
# The detail for an output whose placeholder nothing can replace.
PLACEHOLDER_STAYS = (
    "its placeholder stays: the stored output cannot be read, not even as far as a failure picture needs"
)


def add(db: Database, job: int, output: int, kind: OutboxKind, now: float, until: float) -> None:
    """An entry for an unreadable output is abandoned at once, and logged."""
    is_unreadable = kind == "unreadable"
    if is_unreadable:
        _log_abandoned(db, output, job)
    db.execute(SQL["add"], (job, output, kind, now, until, "abandoned" if is_unreadable else "pending"))


def take(db: Database, limit: int, now: float) -> OutboxWork:
    """Claim due entries, oldest first. A claimed one falls due again by itself when its sender does not return."""
    entries = []
    for entry_id, kind, attempts, until, number, job_id, traceparent, principal in rows(db, SQL["due"], (now, limit)):
        of_kind = _message if OUTBOX[kind].is_message else _output
        content = of_kind(db, entry_id, number, principal)
        if content is None:
            continue
        holds_destination = OUTBOX[kind].holds_destination
        token: int = (
            db.execute(SQL["next_token_of_job"], (number,)).get
            if holds_destination
            else db.execute(SQL["next_token_of_entry"], (entry_id,)).get
        )
        db.execute(SQL["claim"], (now + LEASE_S, token, entry_id))
        entries.append(OutboxEntry(entry_id, kind, number, job_id, token, attempts, until, content, traceparent or ""))
    return OutboxWork(tuple(entries), db.execute(SQL["next_due"]).get)


def put_off(db: Database, entry: OutboxEntry, now: float, due_at: float) -> None:
    db.execute(SQL["put_off"], (due_at, entry.entry_id, entry.token))
    host = url.cut(entry.message.url)[0] if entry.message else entry.output.spec.placement.destination.origin
    first, end = f"{host}/", f"{host}0"  # the character behind the slash
    db.execute(SQL["put_off_others"], (now, MOST_PUT_OFF, first, end, due_at, PUT_OFF_SPACING_S))


def _output(db: Database, entry_id: int, number: int, principal: str) -> Output | None:
    """None: it cannot be read, and the entry is abandoned."""
    row = db.execute(SQL["output"], (entry_id,)).get
    output_id, spec, placeholder, is_repeat, digest, size_bytes, etag = row
    resolved = for_failure(spec)
    if resolved is None:
        _log_abandoned(db, output_id, number)
        db.execute(SQL["abandon"], (entry_id,))
        return None
    fingerprint = None if digest is None else Fingerprint(size_bytes, digest)
    return Output(output_id, number, principal, resolved, placeholder, bool(is_repeat), fingerprint, etag=etag)


def _message(db: Database, entry_id: int, number: int, principal: str) -> Message | None:
    try:
        message_id, payload, webhook = db.execute(SQL["message"], (entry_id,)).get
        return webhooks.message_of(message_id, payload, webhook or b"", principal)
    except UNREADABLE as error:
        logs.event("webhook_unreadable", level=logs.WARNING, number=number, detail=str(error))
        db.execute(SQL["give_up"], (entry_id,))
        db.is_abandoned_changed = True
        return None


def settle(db: Database, entry: OutboxEntry, outcome: OutboxOutcome, now: float, sent: SentMessage | None) -> list[str]:
    """The keys that are free now. A sender that lost its claim meanwhile has done its work all the same."""
    keys: list[str] = []
    if OUTBOX[entry.kind].holds_destination:  # a message's token may be equal to that of its job's claim
        db.lock_order(entry.number)
        keys = free(db, entry.number, entry.token).keys
        if not keys:
            db.write_ended_late(entry.number, entry.token, now)
    if sent is not None:
        webhooks.note_try(db, entry, sent, now)
    if outcome == "gone":
        assert entry.message is not None
        webhooks.abandon_url(db, entry.message)
        outcome = "abandoned"
    if outcome == "cancelled":
        db.execute(SQL["cancel"], (entry.entry_id, entry.token))
    elif outcome == "done":
        db.execute(SQL["finish"], (entry.entry_id,))
    else:
        state, due_at = (outcome, None) if isinstance(outcome, str) else ("pending", outcome)
        db.execute(SQL["fail"], (entry.entry_id, entry.token, state, due_at))
        if state == "abandoned":
            db.is_abandoned_changed = True
    return keys


def _log_abandoned(db: Database, output: int, job: int) -> None:
    db.is_abandoned_changed = True
    logs.event("placeholder_abandoned", level=logs.WARNING, output=output, number=job, detail=PLACEHOLDER_STAYS)
