"""Transactions of the runner: claim, prolong, settle; debts likewise. Each function is one transaction."""

from typing import Any

import apsw
import msgspec

from imgserve.blob import Fingerprint
from imgserve.jobs.config import Config
from imgserve.jobs.model import Claim, DebtClaim, DebtOutcome, Output, OutputResult, OutputStatus, Settlement, conclude
from imgserve.jobs.protocol import HostRoom, Work
from imgserve.jobs.sqlite import backlog, heads, turns
from imgserve.jobs.sqlite.admission import ABANDONED, OpenOutput, end_without_picture, open_outputs
from imgserve.jobs.sqlite.committer import rows
from imgserve.jobs.sqlite.destinations import Freed, free
from imgserve.jobs.sqlite.order import final_taken, refresh_hosts
from imgserve.jobs.stored import UNREADABLE, decode_info, decode_output, decode_source, for_failure
from imgserve.telemetry import logs

DEBT_LEASE_S = 120.0


def take_work(
    db: apsw.Connection, jobs: int, debts: int, config: Config, now: float, kept: int, hosts: HostRoom
) -> Work:
    room = turns.Room(hosts)
    callers = backlog.callers(db)
    claims = _claim(db, callers, jobs, config, now, kept, room)
    debt_claims = _claim_debts(db, debts, now)
    job_at, is_held_back = turns.next_at(db, callers, room)
    due_at: float | None = db.execute(
        "SELECT min(due) FROM (SELECT ? AS due UNION ALL SELECT min(lease_until) FROM job WHERE status = 'running'"
        " UNION ALL SELECT min(debt_at) FROM output JOIN job ON job.number = output.job"
        "  WHERE debt = 'owed' AND ended_at IS NOT NULL)",
        (job_at,),
    ).get
    return Work(claims, debt_claims, due_at, is_held_back)


def _claim(
    db: apsw.Connection, callers: list[str], limit: int, config: Config, now: float, kept: int, room: turns.Room
) -> tuple[Claim, ...]:
    db.execute(
        "UPDATE job SET status = 'queued', run_at = ?1 WHERE status = 'running' AND lease_until < ?1",
        (now,),
    )
    chosen = turns.choose(db, callers, limit, now, kept, room)
    claimed = rows(
        db,
        "UPDATE job SET status = 'running', token = token + 1, lease_until = ?"
        " WHERE number IN (SELECT value FROM json_each(?))"
        " RETURNING number, id, token, attempts, crashes, deadline_at, source, facts, traceparent, caller",
        (now + config.lease_s, msgspec.json.encode(chosen.numbers).decode()),
    )
    for caller, hosts in chosen.seen:
        heads.put_right(db, caller, hosts)
    claims = []
    for row in sorted(claimed):
        try:
            claims.append(_as_claim(db, row))
        except UNREADABLE as error:
            _give_up(db, row[0], str(error), config, now)
    return tuple(claims)


def _give_up(db: apsw.Connection, number: int, reason: str, config: Config, now: float) -> None:
    """A row that this version cannot read must not hold up the others, nor leave a placeholder that can be replaced."""
    logs.event("row_unreadable", level=logs.WARNING, number=number, detail=reason)
    detail = f"the stored job cannot be read by this version of imgserve: {reason}"
    for output in open_outputs(db, number):
        end_without_picture(db, output, "failed", config, now)
    db.execute(
        "UPDATE job SET status = 'failed', error = 'internal', detail = ?, ended_at = ?, lease_until = NULL"
        " WHERE number = ?",
        (detail, now, number),
    )


def _as_claim(db: apsw.Connection, row: tuple[Any, ...]) -> Claim:
    number, job_id, token, attempts, crashes, deadline_at, source, info, traceparent, caller = row
    return Claim(
        number=number,
        id=job_id,
        token=token,
        attempts=attempts,
        crashes=crashes,
        deadline_at=deadline_at,
        source=decode_source(source),
        info=decode_info(info),
        outputs=_outputs(db, number, caller),
        traceparent=traceparent or "",
        caller=caller,
    )


def _outputs(db: apsw.Connection, number: int, caller: str) -> tuple[Output, ...]:
    found = rows(
        db,
        "SELECT id, spec, placeholder, is_repeat FROM output"
        " WHERE job = ? AND status IN ('queued', 'placeholder') ORDER BY id",
        (number,),
    )
    return tuple(Output(row[0], number, caller, decode_output(row[1]), row[2], bool(row[3])) for row in found)


def heartbeat(db: apsw.Connection, claims: tuple[Claim, ...], config: Config, now: float) -> frozenset[int]:
    ours = set()
    for held in claims:
        db.execute(
            "UPDATE job SET lease_until = ? WHERE number = ? AND token = ? AND status = 'running'",
            (now + config.lease_s, held.number, held.token),
        )
        if db.changes():
            ours.add(held.number)
    return frozenset(ours)


def record(db: apsw.Connection, done: Settlement, config: Config, now: float) -> tuple[bool, list[str]]:
    """As ``settle``, of the outputs named only: the others may still be in the middle of their writes."""
    freed = free(db, done.number, done.token, frozenset(result.output_id for result in done.results))
    is_ours = _outputs_of_claim(db, done) is not None
    if is_ours:
        _end_outputs(db, done, freed, config, now)
    return is_ours, [one.key for one in freed]


def settle(db: apsw.Connection, done: Settlement, config: Config, now: float) -> tuple[bool, list[str]]:
    """Whether the claim was still ours, and the keys that are free now."""
    freed = free(db, done.number, done.token)
    outputs = _outputs_of_claim(db, done)
    if outputs is None:
        return False, [one.key for one in freed]
    statuses = _end_outputs(db, done, freed, config, now)
    if len(statuses) < outputs:
        statuses = [row[0] for row in rows(db, "SELECT status FROM output WHERE job = ?", (done.number,))]
    end = conclude(statuses)
    if end is None and outputs > 1:
        refresh_hosts(db, done.number)
    run_at = now if done.retry_at is None else done.retry_at
    db.execute(
        "UPDATE job SET attempts = attempts + ?1, crashes = crashes + ?2, error = ?3, detail = ?4, lease_until = NULL,"
        " status = coalesce(?5, 'queued'), ended_at = iif(?5 IS NULL, NULL, ?6), run_at = iif(?5 IS NULL, ?7, run_at)"
        " WHERE number = ?8",
        (done.charge == "attempt", done.charge == "crash", done.error, done.detail, end, now, run_at, done.number),
    )
    return True, [one.key for one in freed]


def _outputs_of_claim(db: apsw.Connection, done: Settlement) -> int | None:
    """How many outputs the job has; None: the claim is not ours any more, and nothing may be noted."""
    found: int | None = db.execute(
        "SELECT (SELECT count(*) FROM output WHERE job = number) FROM job"
        " WHERE number = ? AND token = ? AND status = 'running'",
        (done.number, done.token),
    ).get
    return found


def _end_outputs(
    db: apsw.Connection, done: Settlement, freed: tuple[Freed, ...], config: Config, now: float
) -> list[OutputStatus]:
    """The ends of those that have ended now; the others are open still, or were superseded meanwhile."""
    alone = {one.output_id for one in freed if one.is_alone}
    ends = [_end_output(db, result, result.output_id in alone, config, now) for result in done.results]
    return [end for end in ends if end is not None]


def _end_output(
    db: apsw.Connection, result: OutputResult, is_alone: bool, config: Config, now: float
) -> OutputStatus | None:
    if result.status == "retry":
        return None
    if result.status == "failed":
        return _fail_output(db, result.output_id, config, now)
    db.execute(
        "UPDATE output SET status = iif(?2 = 'repeat', status, ?2), is_repeat = is_repeat OR ?2 = 'repeat'"
        " WHERE id = ?1 AND status IN ('queued', 'placeholder')",
        (result.output_id, result.status),
    )
    if not db.changes():
        return None
    if not is_alone and result.status in ("repeat", "delivered"):
        final_taken(db, result.output_id, now)
    return None if result.status == "repeat" else result.status


def _fail_output(db: apsw.Connection, output_id: int, config: Config, now: float) -> OutputStatus | None:
    row = db.execute(
        "SELECT spec, iif(is_covered, 'none', placeholder) FROM output"
        " WHERE id = ? AND status IN ('queued', 'placeholder')",
        (output_id,),
    ).fetchone()
    if row is None:
        return None
    return end_without_picture(db, OpenOutput(output_id, row[0], row[1], is_repeat=False), "failed", config, now)


def _claim_debts(db: apsw.Connection, limit: int, now: float) -> tuple[DebtClaim, ...]:
    """A claimed debt falls due again by itself when its payer does not come back."""
    due = rows(
        db,
        "SELECT output.id, spec, placeholder, is_repeat, placeholder_digest, placeholder_bytes, job, job.id,"
        " debt_attempts, debt_until, traceparent, caller"
        " FROM output JOIN job ON job.number = output.job"
        " WHERE debt = 'owed' AND debt_at <= ? AND job.ended_at IS NOT NULL ORDER BY debt_at LIMIT ?",
        (now, limit),
    )
    claims = []
    for (
        output_id, spec, placeholder, is_repeat, digest, size_bytes, number, job_id, attempts, until, traceparent,
        caller,
    ) in due:  # fmt: skip
        fixed = for_failure(spec)
        if fixed is None:
            logs.event("placeholder_abandoned", level=logs.WARNING, output=output_id, number=number, detail=ABANDONED)
            db.execute("UPDATE output SET debt = 'abandoned' WHERE id = ?", (output_id,))
            continue
        token = db.execute("UPDATE job SET token = token + 1 WHERE number = ? RETURNING token", (number,)).get
        db.execute("UPDATE output SET debt_at = ?, debt_token = ? WHERE id = ?", (now + DEBT_LEASE_S, token, output_id))
        laid = None if digest is None else Fingerprint(size_bytes, digest)
        output = Output(output_id, number, caller, fixed, placeholder, bool(is_repeat), laid)
        claims.append(DebtClaim(number, job_id, token, attempts, until, output, traceparent or ""))
    return tuple(claims)


def settle_debt(db: apsw.Connection, debt: DebtClaim, outcome: DebtOutcome) -> list[str]:
    """The keys that are free now."""
    freed = [one.key for one in free(db, debt.number, debt.token)]
    is_retry = not isinstance(outcome, str)
    db.execute(
        "UPDATE output SET debt = ?1, debt_at = ?2, debt_attempts = debt_attempts + 1"
        " WHERE id = ?3 AND debt = 'owed' AND (debt_token = ?4 OR ?1 = 'paid')",
        ("owed" if is_retry else outcome, outcome if is_retry else None, debt.output.id, debt.token),
    )
    return freed
