"""Deletes ended jobs past their time, in steps that delay no other change.

A pass walks down the index of ended jobs, first of those that are kept a short time, then of failed ones. Outputs and
outbox entries go with their job; a destination has no row while nobody writes there.
"""

import time

import msgspec

from imgserve.jobs.config import Config
from imgserve.jobs.sql import idempotency, placeholders
from imgserve.jobs.sql.database import Database, rows
from imgserve.jobs.sql.kinds import KEEPING
from imgserve.jobs.sql.queries import load

SQL = load("prune")

# A step is one transaction, and all others wait for it; no request should notice it.
STEP_S = 0.004
PAGE_ROWS = 50


class Position(msgspec.Struct, frozen=True):
    """How far a pass has come."""

    is_failed: bool = False
    ended_at: float = float("-inf")
    number: int = 0


def step(db: Database, position: Position, config: Config, now: float) -> tuple[int, Position | None]:
    """Delete for ``STEP_S`` at most. Returns the number of deleted jobs, and where the pass goes on; None when all that
    may go is gone.
    """
    ends_at = time.perf_counter() + STEP_S
    before = now - (config.keep_failed_s if position.is_failed else config.keep_ended_s)
    jobs = 0
    db.is_abandoned_changed = True
    while page := rows(
        db, SQL["next_ended"], (KEEPING, position.is_failed, before, position.ended_at, position.number, PAGE_ROWS)
    ):
        for ended_at, number, has_entries in page:
            position = Position(position.is_failed, ended_at, number)
            if not has_entries:
                db.execute(SQL["note_events"], (number,))
                db.execute(SQL["delete"], (number,))
                jobs += 1
            if time.perf_counter() > ends_at:
                return jobs, position
    if not position.is_failed:
        return jobs, Position(is_failed=True)
    placeholders.delete_old(db, now)
    while not idempotency.delete_old(db, now, PAGE_ROWS):
        if time.perf_counter() > ends_at:
            return jobs, position
    return jobs, None
