"""Transactions of the runner: claim, prolong, settle. Each function is one transaction."""

from typing import Any

import msgspec

from imgserve.jobs.config import Config
from imgserve.jobs.model import OPEN, Claim, Output, OutputResult, OutputStatus, Settlement
from imgserve.jobs.protocol import HostRoom, Work
from imgserve.jobs.rules import OutputState, fold
from imgserve.jobs.sqlite import heads, turns
from imgserve.jobs.sqlite.connection import Connection, rows
from imgserve.jobs.sqlite.destinations import Freed, free
from imgserve.jobs.sqlite.ending import end_open, fail
from imgserve.jobs.sqlite.order import end_if_concluded, final_taken, write_end
from imgserve.jobs.sqlite.queries import load
from imgserve.jobs.stored import UNREADABLE, decode_info, decode_output, decode_source
from imgserve.request.destination import origin_of
from imgserve.telemetry import logs

SQL = load("attempts")


def take_work(db: Connection, jobs: int, config: Config, now: float, kept: int, hosts: HostRoom) -> Work:
    room = turns.Room(hosts)
    first_lease: float | None = db.execute(SQL["first_lease"]).get
    if first_lease is not None and first_lease < now:
        db.execute(SQL["requeue_expired"], (now,))
        first_lease = db.execute(SQL["first_lease"]).get
    principals = list(db.backlog.of)
    chosen = turns.choose(db, principals, jobs, now, kept, room)
    lease_until = now + config.lease_s
    rows_of_claims = [db.execute(SQL["claim"], (lease_until, number)).get for number in sorted(chosen.numbers)]
    for principal, its_hosts in chosen.heads:
        heads.correct(db, principal, its_hosts)
    claims = []
    for row in rows_of_claims:
        try:
            claims.append(_as_claim(db, row, now))
        except UNREADABLE as error:
            _give_up(db, row[0], str(error), config, now)
    job_at, is_held_back = turns.next_at(db, principals, room)
    times = [at for at in (job_at, first_lease, lease_until if claims else None) if at is not None]
    return Work(tuple(claims), min(times, default=None), is_held_back)


def _give_up(db: Connection, number: int, reason: str, config: Config, now: float) -> None:
    """A row that this version cannot read must not hold up the others, nor leave a placeholder that can be replaced."""
    logs.event("row_unreadable", level=logs.WARNING, number=number, detail=reason)
    detail = f"the stored job cannot be read by this version of imgserve: {reason}"
    end_open(db, number, "failed", "internal", detail, config, now)
    end_if_concluded(db, number, now)


def _as_claim(db: Connection, row: tuple[Any, ...], now: float) -> Claim:
    number, job_id, token, deadline_at, source, info, traceparent, principal, hosts = row
    return Claim(
        number=number,
        id=job_id,
        token=token,
        deadline_at=deadline_at,
        source=decode_source(source),
        info=decode_info(info),
        outputs=_outputs(db, number, principal, hosts.split(" "), now),
        traceparent=traceparent or "",
        principal=principal,
    )


def _outputs(db: Connection, number: int, principal: str, hosts: list[str], now: float) -> tuple[Output, ...]:
    """Those that are due, for the hosts that the job has waited for. Others are claimed by themselves."""
    return tuple(
        Output(output_id, number, principal, decode_output(spec), placeholder, bool(is_repeat), None, attempts, crashes)
        for output_id, key, spec, placeholder, is_repeat, attempts, crashes in rows(
            db, SQL["due_outputs"], (number, now)
        )
        if origin_of(key) in hosts
    )


def heartbeat(db: Connection, claims: tuple[Claim, ...], epoch: int, config: Config, now: float) -> frozenset[int]:
    """The numbers of the claims that are still ours."""
    db.execute(SQL["note_seen"], (now, epoch))
    ours = set()
    for claim in claims:
        db.execute(SQL["prolong_claim"], (now + config.lease_s, claim.number, claim.token))
        if db.changes():
            ours.add(claim.number)
    return frozenset(ours)


def record(db: Connection, settlement: Settlement, config: Config, now: float) -> tuple[bool, list[str]]:
    """As ``settle``, of the named outputs only: the others may still be in the middle of their writes."""
    output_ids = frozenset(result.output_id for result in settlement.results)
    freed = free(db, settlement.number, settlement.token, output_ids)
    states = _states_of_claim(db, settlement)
    _end_outputs(db, settlement, states, freed, config, now)
    return bool(states), [one.key for one in freed]


class Settled(msgspec.Struct, frozen=True):
    """``is_ours``: the claim still was. ``keys`` are free now; ``is_open``: the job goes on."""

    is_ours: bool
    keys: list[str]
    is_open: bool


def settle(db: Connection, settlement: Settlement, config: Config, now: float) -> Settled:
    freed = free(db, settlement.number, settlement.token)
    keys = [one.key for one in freed]
    states = _states_of_claim(db, settlement)
    if not states:
        return Settled(is_ours=False, keys=keys, is_open=False)
    _end_outputs(db, settlement, states, freed, config, now)
    job = fold(states.values())
    if job.end is not None:
        write_end(db, settlement.number, job.end, now)
    else:
        db.execute(SQL["requeue"], (job.due_at, job.hosts, settlement.number))
    return Settled(is_ours=True, keys=keys, is_open=job.end is None)


def _states_of_claim(db: Connection, settlement: Settlement) -> dict[int, OutputState]:
    """All outputs of the job by id; none if the claim is not ours any more, and nothing may be noted."""
    outputs = rows(db, SQL["states_of_claim"], (settlement.number, settlement.token))
    return {output_id: OutputState(status, due_at, key) for output_id, status, due_at, key in outputs}


def _end_outputs(
    db: Connection,
    settlement: Settlement,
    states: dict[int, OutputState],
    freed: tuple[Freed, ...],
    config: Config,
    now: float,
) -> None:
    """Note the results of those that are open still, in their rows and in ``states``."""
    alone = {one.output_id for one in freed if one.is_alone}
    for result in settlement.results:
        state = states.get(result.output_id)
        if state is not None and state.status in OPEN:
            states[result.output_id] = _end_output(db, result, state, result.output_id in alone, config, now)


def _end_output(
    db: Connection, result: OutputResult, state: OutputState, is_alone: bool, config: Config, now: float
) -> OutputState:
    status: OutputStatus = state.status
    if result.status in ("delivered", "superseded"):
        status = result.status
    due_at = state.due_at if result.due_at is None else result.due_at
    db.execute(
        SQL["note_result"],
        (
            status, result.status == "repeat", result.charge == "attempt", result.charge == "crash", due_at,
            result.error, result.detail, result.output_id,
        ),
    )  # fmt: skip
    if result.status == "failed":
        status = fail(db, result.output_id, result.error, result.detail, config, now)
    if not is_alone and result.status in ("repeat", "delivered"):
        final_taken(db, result.output_id, now)
    return OutputState(status, due_at, state.key)
