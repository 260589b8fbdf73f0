"""Transactions of the runner: claim, prolong, settle. Each function is one transaction."""

from typing import Any

import msgspec

from imgserve.jobs.config import Config
from imgserve.jobs.model import OPEN, Claim, EventType, Output, OutputStatus, ResultStatus, Settlement
from imgserve.jobs.protocol import HostRoom, Work
from imgserve.jobs.rules import OutputState, fold
from imgserve.jobs.sql import events, scheduling
from imgserve.jobs.sql.database import Database
from imgserve.jobs.sql.destinations import Claimed, free
from imgserve.jobs.sql.ending import Reason, end_open, note_ends
from imgserve.jobs.sql.order import activate, end_if_concluded, final_taken, write_end
from imgserve.jobs.sql.queries import load
from imgserve.jobs.stored import UNREADABLE, decode_info, decode_output, decode_source, encode_warnings
from imgserve.request.destination import origin_of
from imgserve.telemetry import logs

SQL = load("attempts")

# A failure has its event where the output ends.
_EVENTS: dict[ResultStatus, EventType] = {
    "delivered": "output.delivered", "retry": "job.retrying", "repeat": "job.retrying",
}  # fmt: skip


def take_work(db: Database, jobs: int, config: Config, now: float, reserved: int, hosts: HostRoom) -> Work:
    now = db.time(now)
    room = scheduling.Room(hosts)
    leases = db.execute(SQL["first_lease"])
    db.count_backlog()
    first_lease: float | None = leases.get
    if first_lease is not None and first_lease < now:
        db.execute(SQL["requeue_expired"], (now,))
        first_lease = db.execute(SQL["first_lease"]).get
    lanes = db.backlog.lanes()
    choice = scheduling.choose(db, lanes, jobs, now, reserved, room, db.turns)
    lease_until = now + config.lease_s
    claimed_rows = db.query_each(SQL["claim"], [(lease_until, number) for number in sorted(choice.numbers)])
    for lane, its_hosts in choice.heads:
        db.correct_head(lane, its_hosts)
    claims = _claims_of(db, [row for (row,) in claimed_rows], config, now)
    events.add(db, [(claim.number, None, now, "job.started", "") for claim in claims])
    job_at, is_held_back = choice.next_at, choice.is_held_back
    if job_at is None:
        job_at, is_held_back = scheduling.next_at(db, lanes, room)
    times = [at for at in (job_at, first_lease, lease_until if claims else None) if at is not None]
    return Work(tuple(claims), min(times, default=None), is_held_back)


def _claims_of(db: Database, claimed_rows: list[tuple[Any, ...]], config: Config, now: float) -> list[Claim]:
    """The claims that have something to do. Those whose time has come are activated first: they supersede others."""
    for number, *_, is_activated in claimed_rows:
        if not is_activated:
            activate(db, number, now)
    claims = []
    outputs = db.query_each(SQL["due_outputs"], [(row[0], now) for row in claimed_rows])
    for row, its_outputs in zip(claimed_rows, outputs, strict=True):
        try:
            claim = _as_claim(row[:-1], its_outputs)
        except UNREADABLE as error:
            _give_up(db, row[0], str(error), config, now)
            continue
        if claim.outputs:
            claims.append(claim)
        else:  # those that were due are superseded
            db.execute(SQL["give_back"], (claim.number,))
            end_if_concluded(db, claim.number, now)
    return claims


def _give_up(db: Database, number: int, reason: str, config: Config, now: float) -> None:
    """A row that this version cannot read must not hold up the others, nor leave a placeholder that can be replaced."""
    logs.event("row_unreadable", level=logs.WARNING, number=number, detail=reason)
    detail = f"the stored job cannot be read by this version of imgserve: {reason}"
    note_ends(db, end_open(db, number, "failed", Reason("internal", detail), config, now))
    end_if_concluded(db, number, now)


def _as_claim(row: tuple[Any, ...], due_outputs: list[tuple[Any, ...]]) -> Claim:
    """The outputs are those that are due, for the hosts that the job has waited for: others are claimed later."""
    number, job_id, token, deadline_at, source, info, traceparent, principal, protocol, its_hosts = row
    hosts = its_hosts.split(" ")
    outputs = tuple(
        Output(
            output_id, number, principal, decode_output(spec), placeholder, bool(is_repeat), None, attempts, crashes,
            etag,
        )
        for output_id, key, spec, placeholder, is_repeat, attempts, crashes, etag in due_outputs
        if origin_of(key) in hosts
    )  # fmt: skip
    return Claim(
        number, job_id, token, deadline_at, decode_source(source), decode_info(info), outputs, traceparent or "",
        principal, protocol,
    )  # fmt: skip


def heartbeat(db: Database, claims: tuple[Claim, ...], epoch: int, config: Config, now: float) -> frozenset[int]:
    """The numbers of the claims that are still ours."""
    now = db.time(now)
    db.execute(SQL["note_seen"], (now, epoch))
    ours = set()
    for claim in claims:
        db.execute(SQL["prolong_claim"], (now + config.lease_s, claim.number, claim.token))
        if db.changes():
            ours.add(claim.number)
    return frozenset(ours)


class Settled(msgspec.Struct, frozen=True):
    """``is_ours``: the claim still was. ``keys`` are free now; ``is_open``: the job goes on."""

    is_ours: bool
    keys: list[str]
    is_open: bool = False


def record(db: Database, settlement: Settlement, config: Config, now: float) -> Settled:
    """As ``settle``, of the named outputs only: the others may still be in the middle of their writes.

    Of an output that is not ready the destination becomes free; that it is tried again is noted by ``settle``, which is
    told when and why.
    """
    db.lock_order(settlement.number)
    claimed = free(
        db, settlement.number, settlement.token, frozenset(result.output_id for result in settlement.results)
    )
    ready = tuple(result for result in settlement.results if result.status != "retry")
    _note_results(db, msgspec.structs.replace(settlement, results=ready), claimed, config, now)
    return Settled(bool(claimed.states), claimed.keys)


def settle(db: Database, settlement: Settlement, config: Config, now: float) -> Settled:
    db.lock_order(settlement.number)
    claimed = free(db, settlement.number, settlement.token)
    if not claimed.states:
        db.write_ended_late(settlement.number, settlement.token, now)
        return Settled(False, claimed.keys)
    _note_results(db, settlement, claimed, config, now)
    job = fold(claimed.states.values())
    if job.end is not None:
        write_end(db, settlement.number, job.end, now)
    else:
        db.execute(SQL["requeue"], (job.due_at, job.hosts, settlement.number))
    return Settled(True, claimed.keys, job.end is None)


def _note_results(db: Database, settlement: Settlement, claimed: Claimed, config: Config, now: float) -> None:
    """Note the results of those outputs that are open still, in their rows and in ``states``."""
    happened: list[events.Event] = []
    for result in settlement.results:
        state = claimed.states.get(result.output_id)
        if state is None or state.status not in OPEN:
            continue
        status: OutputStatus = state.status
        if result.status in ("delivered", "superseded"):
            status = result.status
        warnings = None if result.warnings is None else encode_warnings(result.warnings)
        due_at = state.due_at if result.due_at is None else result.due_at
        db.execute(
            SQL["note_result"],
            (
                status, result.status == "repeat", result.charge == "attempt", result.charge == "crash", due_at,
                result.error, result.detail, warnings, result.hint, result.is_retryable, result.size_bytes,
                result.sha256, now if result.status == "delivered" else None, result.output_id,
            ),
        )  # fmt: skip
        if result.status == "failed":
            reason = Reason(result.error, result.detail, result.hint, result.is_retryable)
            (end,) = end_open(db, settlement.number, "failed", reason, config, now, result.output_id)
            status = end.status
            happened += end.happened
        if result.status in ("repeat", "delivered") and result.output_id not in claimed.alone:
            final_taken(db, result.output_id, now)
        claimed.states[result.output_id] = OutputState(status, due_at, state.key)
        event = _EVENTS.get(result.status)
        if event == "output.delivered" or (event is not None and result.due_at is not None):  # else it is noted twice
            happened.append((settlement.number, result.output_id, now, event, result.error))
    events.add(db, happened, has_webhook=claimed.has_webhook)
