"""Deletes ended jobs past their time and shrinks the file, in steps that delay no other change.

A pass walks down the index of ended jobs, first of those that are kept a short time, then of failed ones. Outputs and
outbox entries go with their job; a destination has no row while nobody writes there. Afterwards a file that was made
with incremental vacuum gives free pages back.
"""

import time

import msgspec

from imgserve.jobs.config import Config
from imgserve.jobs.sqlite import idempotency, placeholders
from imgserve.jobs.sqlite.connection import Connection, rows
from imgserve.jobs.sqlite.kinds import KEEPING
from imgserve.jobs.sqlite.queries import load

SQL = load("prune")

# A step is one transaction, and all others wait for it; no request should notice it.
STEP_S = 0.004
PAGE_ROWS = 50
VACUUM_PAGES = 16
# So many free pages stay for new jobs: a tenth of the file, and 4 MB.
SPARE_PART = 10
SPARE_PAGES = 1000


class Position(msgspec.Struct, frozen=True):
    """How far a pass has come."""

    is_failed: bool = False
    ended_at: float = float("-inf")
    number: int = 0


def step(db: Connection, position: Position, config: Config, now: float) -> tuple[int, Position | None]:
    """Delete for ``STEP_S`` at most. Returns the number of deleted jobs, and where the pass goes on; None when all that
    may go is gone, and the file has shrunk.
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
    return jobs, None if _shrink(db, ends_at) else position


def _shrink(db: Connection, ends_at: float) -> bool:
    """Give pages back until the time is over; whether there are few enough."""
    if db.execute("PRAGMA auto_vacuum").get != 2:  # made by an older version: `imgserve queue compact` changes it
        return True
    while True:
        free: int = db.execute("PRAGMA freelist_count").get
        pages: int = db.execute("PRAGMA page_count").get
        if free <= max(SPARE_PAGES, pages // SPARE_PART):
            return True
        if time.perf_counter() > ends_at:
            return False
        db.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
