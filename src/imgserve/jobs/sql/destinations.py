"""Transactions around a destination: which job may write there now, and which a newer job's write overtakes."""

from typing import Any

import msgspec

from imgserve.jobs.model import OPEN, Intent
from imgserve.jobs.protocol import Busy, Denied, Granted
from imgserve.jobs.rules import OutputState
from imgserve.jobs.sql.database import Database, rows
from imgserve.jobs.sql.kinds import HOLDING
from imgserve.jobs.sql.order import Writer, overtake_older
from imgserve.jobs.sql.queries import load

SQL = load("destinations")


class Claimed(msgspec.Struct, frozen=True):
    """The outputs of a job whose writes have ended.

    ``keys`` are the destinations that are free now; ``alone``, the outputs at whose destinations no other job has one.
    ``states`` of all outputs; empty if the claim is not the job's any more, and nothing may be noted.
    ``has_webhook``: the job has one.
    """

    keys: list[str]
    alone: set[int]
    states: dict[int, OutputState]
    has_webhook: bool


def acquire(db: Database, intent: Intent, epoch: int, now: float) -> Granted | Busy | Denied:
    """Check that the writer still has the right to write (its claim, its lease, its output), then the destination."""
    db.lock_keys((intent.key,))
    now = db.time(now)
    values: tuple[object, ...] = (intent.output_id, intent.key)
    if intent.kind == "failed":
        row = db.execute(SQL["right_to_write_of_entry"], (*values, HOLDING)).fetchone()
    else:
        row = db.execute(SQL["right_to_write"], values).fetchone()
    if row is None:
        return Denied("lost")
    return _check(row, intent, epoch, now) or _hold(db, intent, row[8:], now)


def acquire_first(db: Database, intent: Intent, now: float) -> Granted | Busy:
    """As ``acquire``, for an output that this transaction has added: it cannot have lost its right."""
    db.execute(SQL["hold_first"], (intent.key, intent.output_id, intent.token, intent.kind))
    if db.changes():
        return Granted()
    return _hold(db, intent, db.execute(SQL["lock"], (intent.key,)).get, now)


def _hold(db: Database, intent: Intent, row: tuple[Any, ...], now: float) -> Granted | Busy:
    """``row``: holder, token and quiet time of the destination; all None where it has no row."""
    holder, token, quiet_until = row
    if holder is not None and (holder, token) != (intent.output_id, intent.token):
        return Busy()
    if quiet_until is not None and quiet_until > now:
        return Busy(until=quiet_until)
    db.execute(SQL["hold"], (intent.key, intent.output_id, intent.token, intent.kind))
    return Granted(_abandoned(db, intent.key) if quiet_until else ())


def _abandoned(db: Database, key: str) -> tuple[tuple[int, int], ...]:
    """The newest outputs that were overtaken here: they have no next attempt, which would remove their files."""
    return tuple((output_id, token) for output_id, token in rows(db, SQL["overtaken_outputs"], (key,)))


def _check(row: tuple[Any, ...], intent: Intent, epoch: int, now: float) -> Denied | None:
    job_status, job_epoch, claim, lease_until, output_status, entry_state, entry_token, is_overtaken, *_ = row
    if intent.kind == "placeholder":
        is_ours = job_status == "accepting" and job_epoch == epoch
    elif intent.kind == "final":
        is_ours = job_status == "running" and claim == intent.token and lease_until > now
        is_overtaken = is_overtaken or (is_ours and output_status not in OPEN)  # cancelled apart from its job
    else:
        is_ours = entry_state == "pending" and entry_token == intent.token
        is_overtaken = is_overtaken or (entry_state is None and output_status not in OPEN)  # it was cancelled
    if is_overtaken or output_status == "superseded":
        return Denied("overtaken")
    return None if is_ours else Denied("lost")


def free(db: Database, number: int, token: int, output_ids: frozenset[int] | None = None) -> Claimed:
    """End the writes of a job's claim (those of ``output_ids``), and note them for the order.

    A failed write may have reached the destination as well, so it counts. A write of a job that was never activated
    does not.
    """
    outputs = rows(db, SQL["outputs_of_claim"], (number, token))
    claimed = Claimed([], set(), {}, has_webhook=bool(outputs and outputs[0][-1]))
    for (
        output_id, status, due_at, key, is_ours,
        kind, quiet_until, placeholder, is_ordered, principal, user, has_rivals, _,
    ) in outputs:  # fmt: skip
        if is_ours:
            claimed.states[output_id] = OutputState(status, due_at, key)
        if kind is None or (output_ids is not None and output_id not in output_ids):
            continue  # it holds nothing, or is still being written
        is_placeholder = kind == "placeholder"
        if not has_rivals:
            claimed.alone.add(output_id)
        elif is_ordered and (not is_placeholder or placeholder in ("written", "unknown")):
            is_taken = is_placeholder and placeholder == "written"
            overtake_older(db, Writer(number, key, principal, user), is_taken=is_taken)
        # After a quiet time the next final removes the killed server's temporary files, so the row stays until then.
        db.execute(SQL["free_but_quiet" if quiet_until and is_placeholder else "free"], (key,))
        claimed.keys.append(key)
    return claimed
