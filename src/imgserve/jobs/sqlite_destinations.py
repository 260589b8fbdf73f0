"""Transactions around a destination: who may write there now, and who has been overtaken by a newer job's write."""

from typing import Any

import apsw

from imgserve.jobs.committer import rows
from imgserve.jobs.job import Intent
from imgserve.jobs.queue import Busy, Denied, Granted
from imgserve.jobs.sqlite_order import Writer, overtake_older


def acquire(db: apsw.Connection, intent: Intent, epoch: int, now: float) -> Granted | Busy | Denied:
    denied = _check(db, intent, epoch, now)
    if denied is not None:
        return denied
    row: tuple[Any, ...] | None = db.execute(
        "SELECT holder, token, quiet_until FROM destination WHERE key = ?", (intent.key,)
    ).fetchone()
    if row is not None:
        holder, token, quiet_until = row
        if holder is not None and (holder, token) != (intent.output_id, intent.token):
            return Busy()
        if quiet_until > now:
            return Busy(until=quiet_until)
    has_crashed = row is not None and row[2] > 0
    db.execute(
        "INSERT INTO destination (key, holder, token, kind) VALUES (?1, ?2, ?3, ?4)"
        " ON CONFLICT (key) DO UPDATE SET holder = ?2, token = ?3, kind = ?4",
        (intent.key, intent.output_id, intent.token, intent.kind),
    )
    return Granted(_abandoned(db, intent.key) if has_crashed else ())


def _abandoned(db: apsw.Connection, key: str) -> tuple[tuple[int, int], ...]:
    """The newest outputs that were overtaken here: their own next attempt, which would tidy up, never comes."""
    found = rows(
        db,
        "SELECT output.id, token FROM output JOIN job ON job.number = output.job WHERE destination = ?"
        " AND (output.status = 'superseded' OR debt = 'overtaken') ORDER BY output.id DESC LIMIT 10",
        (key,),
    )
    return tuple((row[0], row[1]) for row in found)


def _check(db: apsw.Connection, intent: Intent, epoch: int, now: float) -> Denied | None:
    """Whether the writer still has the right to: its claim, its lease, its output."""
    row: tuple[Any, ...] | None = db.execute(
        "SELECT job.status, job.epoch, job.token, job.lease_until, output.status, output.debt, output.debt_token,"
        " output.is_overtaken FROM output JOIN job ON job.number = output.job WHERE output.id = ?",
        (intent.output_id,),
    ).fetchone()
    if row is None:
        return Denied("lost")
    job_status, job_epoch, token, lease_until, output_status, debt, debt_token, is_overtaken = row
    if intent.kind == "placeholder":
        is_ours = job_status == "accepting" and job_epoch == epoch
    elif intent.kind == "final":
        is_ours = job_status == "running" and token == intent.token and lease_until > now
    else:
        is_ours = debt == "owed" and debt_token == intent.token
    if is_overtaken or output_status == "superseded" or debt == "overtaken":
        return Denied("overtaken")
    return None if is_ours else Denied("lost")


def free(db: apsw.Connection, number: int, token: int, output_ids: frozenset[int] | None = None) -> list[str]:
    """End the writes of a job's claim (of these outputs), and note them for the order. The keys that are free now.

    A failed write may have reached the destination as well, so it counts; an unreleased job's never does.
    """
    held = rows(
        db,
        "SELECT output.id, destination.kind, quiet_until, output.placeholder, job.is_released, is_form, caller, user,"
        " destination.key FROM output"
        " JOIN destination ON destination.holder = output.id AND destination.token = ?2"
        " JOIN job ON job.number = output.job WHERE output.job = ?1",
        (number, token),
    )
    freed = []
    for output_id, kind, quiet_until, placeholder, is_released, is_form, caller, user, key in held:
        if output_ids is not None and output_id not in output_ids:
            continue  # still being written
        is_placeholder = kind == "placeholder"
        if is_released and not is_form and (not is_placeholder or placeholder in ("written", "unknown")):
            is_taken = is_placeholder and placeholder == "written"
            overtake_older(db, Writer(number, key, caller, user), is_taken=is_taken)
        if quiet_until and is_placeholder:  # the next final tidies up what the killed server left behind
            db.execute("UPDATE destination SET holder = NULL, token = NULL, kind = NULL WHERE key = ?", (key,))
        else:
            db.execute("DELETE FROM destination WHERE key = ?", (key,))
        freed.append(key)
    return freed
