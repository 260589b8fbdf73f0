"""Transactions around a destination's lock row: who may write there now, and who has written last."""

from typing import Any

import apsw

from imgserve.jobs.committer import rows
from imgserve.jobs.job import Intent, conclude
from imgserve.jobs.queue import Busy, Denied, Granted


def acquire(db: apsw.Connection, intent: Intent, epoch: int, now: float) -> Granted | Busy | Denied:
    denied = _check(db, intent, epoch, now)
    if denied is not None:
        return denied
    row = db.execute(
        "SELECT holder, destination.token, quiet_until, written, is_form FROM destination"
        " JOIN output ON output.id = ? WHERE key = ?",
        (intent.output_id, intent.key),
    ).fetchone()
    if row is not None:
        holder, token, quiet_until, written, is_form = row
        if written > intent.number and not is_form:
            return Denied("overtaken")
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
        "SELECT job.status, job.epoch, job.token, job.lease_until, output.status, output.debt, output.debt_token"
        " FROM output JOIN job ON job.number = output.job WHERE output.id = ?",
        (intent.output_id,),
    ).fetchone()
    if row is None:
        return Denied("lost")
    job_status, job_epoch, token, lease_until, output_status, debt, debt_token = row
    if intent.kind == "placeholder":
        is_ours = job_status == "accepting" and job_epoch == epoch
    elif intent.kind == "final":
        is_ours = job_status == "running" and token == intent.token and lease_until > now
    else:
        is_ours = debt == "owed" and debt_token == intent.token
    if output_status == "superseded" or debt == "overtaken":
        return Denied("overtaken")
    return None if is_ours else Denied("lost")


def free(db: apsw.Connection, number: int, token: int, output_ids: frozenset[int] | None = None) -> list[str]:
    """End the writes of a job's claim (of these outputs), and note them for the order. The keys that are free now.

    A failed write may have reached the destination as well, so it counts; an unreleased job's never does.
    """
    held = rows(
        db,
        "SELECT destination.key, output.id, output.placeholder, destination.kind, job.is_released FROM output"
        " JOIN destination ON destination.holder = output.id AND destination.token = ?2"
        " JOIN job ON job.number = output.job WHERE output.job = ?1",
        (number, token),
    )
    freed = []
    for key, output_id, placeholder, kind, is_released in held:
        if output_ids is not None and output_id not in output_ids:
            continue  # still being written
        has_written = is_released and (kind != "placeholder" or placeholder in ("written", "unknown"))
        db.execute(
            "UPDATE destination SET holder = NULL, token = NULL, kind = NULL,"
            " quiet_until = iif(kind = 'placeholder', quiet_until, 0), written = max(written, ?2)"
            " WHERE key = ?1",
            (key, number if has_written else 0),
        )
        freed.append(key)
    return freed


def end_if_concluded(db: apsw.Connection, number: int, now: float) -> None:
    """Write the job's end once all its outputs have ended. An accepting job ends at its release."""
    statuses = [row[0] for row in rows(db, "SELECT status FROM output WHERE job = ?", (number,))]
    end = conclude(statuses)
    if end is not None:
        db.execute(
            "UPDATE job SET status = ?, ended_at = ?, lease_until = NULL"
            " WHERE number = ? AND status IN ('queued', 'running')",
            (end, now, number),
        )
