"""Transactions of the outbox: what is still owed after an output's end, claimed when it is due, and its outcome.

An entry of a kind that holds a destination is claimed with the next token of its job, so that its write is newer than
all writes of that job before it.
"""

from imgserve.blob import Fingerprint
from imgserve.jobs.model import OUTBOX, OutboxEntry, OutboxKind, OutboxOutcome, Output
from imgserve.jobs.protocol import OutboxWork
from imgserve.jobs.sqlite.connection import Connection, rows
from imgserve.jobs.sqlite.destinations import free
from imgserve.jobs.sqlite.queries import load
from imgserve.jobs.stored import for_failure
from imgserve.telemetry import logs

SQL = load("outbox")

LEASE_S = 120.0
# The note of an output whose placeholder nothing can replace.
UNREADABLE = "its placeholder stays: the stored output cannot be read, not even as far as a failure picture needs"


def add(db: Connection, job: int, output: int, kind: OutboxKind, now: float, until: float) -> None:
    """Owe it from now on. One that cannot be read is abandoned at once, and told."""
    state = "pending"
    if kind == "unreadable":
        state = "abandoned"
        db.is_abandoned_changed = True
        logs.event("placeholder_abandoned", level=logs.WARNING, output=output, number=job, detail=UNREADABLE)
    db.execute(SQL["add"], (job, output, kind, now, until, state))


def take(db: Connection, limit: int, now: float) -> OutboxWork:
    """Claim due entries, oldest first. A claimed one falls due again by itself when its sender does not come back."""
    due = rows(db, SQL["due"], (now, limit))
    entries = []
    for (
        entry_id, kind, attempts, until, number, job_id, traceparent, principal,
        output_id, spec, placeholder, is_repeat, digest, size_bytes,
    ) in due:  # fmt: skip
        fixed = for_failure(spec)
        if fixed is None:
            logs.event("placeholder_abandoned", level=logs.WARNING, output=output_id, number=number, detail=UNREADABLE)
            db.is_abandoned_changed = True
            db.execute(SQL["abandon"], (entry_id,))
            continue
        laid = None if digest is None else Fingerprint(size_bytes, digest)
        output = Output(output_id, number, principal, fixed, placeholder, bool(is_repeat), laid)
        token = _next_token(db, entry_id, kind, number)
        db.execute(SQL["claim"], (now + LEASE_S, token, entry_id))
        entries.append(OutboxEntry(entry_id, kind, number, job_id, token, attempts, until, output, traceparent or ""))
    due_at: float | None = db.execute(SQL["next_due"]).get
    return OutboxWork(tuple(entries), due_at)


def _next_token(db: Connection, entry_id: int, kind: OutboxKind, number: int) -> int:
    sql, row = SQL["next_token_of_entry"], entry_id
    if OUTBOX[kind].holds_destination:
        sql, row = SQL["next_token_of_job"], number
    token: int = db.execute(sql, (row,)).get
    return token


def settle(db: Connection, entry: OutboxEntry, outcome: OutboxOutcome) -> list[str]:
    """The keys that are free now. A sender that lost its claim meanwhile has done its work all the same."""
    freed = [one.key for one in free(db, entry.number, entry.token)]
    if outcome == "cancelled":
        db.execute(SQL["cancel"], (entry.entry_id, entry.token))
    elif outcome == "done":
        db.execute(SQL["finish"], (entry.entry_id,))
    else:
        is_again = not isinstance(outcome, str)
        db.execute(
            SQL["fail"],
            (entry.entry_id, entry.token, "pending" if is_again else outcome, outcome if is_again else None),
        )
    return freed
