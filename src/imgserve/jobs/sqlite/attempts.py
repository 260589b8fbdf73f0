"""Transactions of the runner: claim, prolong, settle. Each function is one transaction."""

from typing import Any

import msgspec

from imgserve.jobs.config import Config
from imgserve.jobs.model import OPEN, Claim, Output, OutputResult, OutputStatus, Settlement
from imgserve.jobs.protocol import HostRoom, Work
from imgserve.jobs.rules import OutputState, fold
from imgserve.jobs.sqlite import backlog, heads, turns
from imgserve.jobs.sqlite.admission import OpenOutput, end_without_picture, open_outputs
from imgserve.jobs.sqlite.connection import Connection, rows
from imgserve.jobs.sqlite.destinations import Freed, free
from imgserve.jobs.sqlite.order import end_if_concluded, final_taken, write_end
from imgserve.jobs.sqlite.queries import load
from imgserve.jobs.stored import UNREADABLE, decode_info, decode_output, decode_source
from imgserve.request.destination import origin_of
from imgserve.telemetry import logs

SQL = load("attempts")


def take_work(db: Connection, jobs: int, config: Config, now: float, kept: int, hosts: HostRoom) -> Work:
    room = turns.Room(hosts)
    principals = backlog.principals(db)
    claims = _claim(db, principals, jobs, config, now, kept, room)
    job_at, is_held_back = turns.next_at(db, principals, room)
    due_at: float | None = db.execute(SQL["next_due"], (job_at,)).get
    return Work(claims, due_at, is_held_back)


def _claim(
    db: Connection, principals: list[str], limit: int, config: Config, now: float, kept: int, room: turns.Room
) -> tuple[Claim, ...]:
    db.execute(SQL["requeue_expired"], (now,))
    chosen = turns.choose(db, principals, limit, now, kept, room)
    claimed = rows(db, SQL["claim"], (now + config.lease_s, msgspec.json.encode(chosen.numbers).decode()))
    for principal, hosts in chosen.seen:
        heads.put_right(db, principal, hosts)
    claims = []
    for row in sorted(claimed):
        try:
            claims.append(_as_claim(db, row, now))
        except UNREADABLE as error:
            _give_up(db, row[0], str(error), config, now)
    return tuple(claims)


def _give_up(db: Connection, number: int, reason: str, config: Config, now: float) -> None:
    """A row that this version cannot read must not hold up the others, nor leave a placeholder that can be replaced."""
    logs.event("row_unreadable", level=logs.WARNING, number=number, detail=reason)
    detail = f"the stored job cannot be read by this version of imgserve: {reason}"
    for output in open_outputs(db, number):
        db.execute(SQL["note_unreadable"], (detail, output.id))
        end_without_picture(db, output, "failed", config, now)
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
    """Those that are due, for the hosts that the job has waited for: others have their turn by themselves."""
    found = rows(db, SQL["due_outputs"], (number, now))
    return tuple(
        Output(output_id, number, principal, decode_output(spec), placeholder, bool(is_repeat), None, attempts, crashes)
        for output_id, key, spec, placeholder, is_repeat, attempts, crashes in found
        if origin_of(key) in hosts
    )


def heartbeat(db: Connection, claims: tuple[Claim, ...], epoch: int, config: Config, now: float) -> frozenset[int]:
    """The numbers of the claims that are still ours. Prolongs what this process takes in as well."""
    db.execute(SQL["note_seen"], (now, epoch))
    db.execute(SQL["prolong_intake"], (now + config.lease_s, epoch))
    ours = set()
    for held in claims:
        db.execute(SQL["prolong_claim"], (now + config.lease_s, held.number, held.token))
        if db.changes():
            ours.add(held.number)
    return frozenset(ours)


def record(db: Connection, done: Settlement, config: Config, now: float) -> tuple[bool, list[str]]:
    """As ``settle``, of the outputs named only: the others may still be in the middle of their writes."""
    freed = free(db, done.number, done.token, frozenset(result.output_id for result in done.results))
    states = _states_of_claim(db, done)
    _end_outputs(db, done, states, freed, config, now)
    return bool(states), [one.key for one in freed]


class Settled(msgspec.Struct, frozen=True):
    """``is_ours``: the claim still was. ``freed`` are the keys that are free now; ``is_open``: the job goes on."""

    is_ours: bool
    freed: list[str]
    is_open: bool


def settle(db: Connection, done: Settlement, config: Config, now: float) -> Settled:
    freed = free(db, done.number, done.token)
    keys = [one.key for one in freed]
    states = _states_of_claim(db, done)
    if not states:
        return Settled(is_ours=False, freed=keys, is_open=False)
    _end_outputs(db, done, states, freed, config, now)
    job = fold(states.values())
    if job.end is not None:
        write_end(db, done.number, job.end, now)
    else:
        db.execute(SQL["requeue"], (job.due_at, job.hosts, done.number))
    return Settled(is_ours=True, freed=keys, is_open=job.end is None)


def _states_of_claim(db: Connection, done: Settlement) -> dict[int, OutputState]:
    """All outputs of the job by id; none if the claim is not ours any more, and nothing may be noted."""
    found = rows(db, SQL["states_of_claim"], (done.number, done.token))
    return {row[0]: OutputState(*row[1:]) for row in found}


def _end_outputs(
    db: Connection,
    done: Settlement,
    states: dict[int, OutputState],
    freed: tuple[Freed, ...],
    config: Config,
    now: float,
) -> None:
    """Note the results of those that are open still, in their rows and in ``states``."""
    alone = {one.output_id for one in freed if one.is_alone}
    for result in done.results:
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
        status = _fail_output(db, result.output_id, config, now)
    if not is_alone and result.status in ("repeat", "delivered"):
        final_taken(db, result.output_id, now)
    return OutputState(status, due_at, state.key)


def _fail_output(db: Connection, output_id: int, config: Config, now: float) -> OutputStatus:
    row = db.execute(SQL["failed_output"], (output_id,)).get
    return end_without_picture(db, OpenOutput(*row), "failed", config, now)
