"""How a queue's own time (``imgserve.clock``) goes on from one server to the next, and its steps as states.

For ``queue`` and ``opening``.
"""

from collections.abc import Callable, Iterator

import apsw

from imgserve.clock import Clock, Mark
from imgserve.jobs.config import Config
from imgserve.jobs.retry import LONGEST_DELAY_S
from imgserve.jobs.sql.queries import load
from imgserve.telemetry import logs
from imgserve.telemetry.states import State

SQL = load("clock", "sqlite")

# Pending outbox entries are tried for at least so long after a start, however long the server was off.
LAST_TRIES_S = 3600.0
# For so long an operator is told that the wall clock was set.
_TELL_STEP_S = 3600.0


def resume(db: apsw.Connection, clock: Clock, config: Config) -> None:
    """Let the clock go on where the last server's ended."""
    row: tuple[float | None, float, str, float] = db.execute(SQL["mark"]).get
    queue_s, wall_s, boot, boot_s = row
    if queue_s is None:
        # An earlier version stored times of the wall clock, which may have been set back since.
        now = clock()
        db.execute(SQL["cap"], {"due_at": now + LONGEST_DELAY_S, "quiet_until": now + config.quiet_s})
    else:
        _log_step(clock.resume(Mark(queue_s, wall_s, boot, boot_s)))
    note(db, clock.mark())


def note(db: apsw.Connection, mark: Mark) -> None:
    db.execute(SQL["note"], (mark.queue_s, mark.wall_s, mark.boot, mark.boot_s))


def states(clock: Clock, on_step: Callable[[Mark], None]) -> Iterator[State]:
    """``on_step`` gets the mark to store when the wall clock was set since the last look."""
    if step_s := clock.look():
        _log_step(step_s)
        on_step(clock.mark())
    if clock.stepped_at is not None and clock() < clock.stepped_at + _TELL_STEP_S:
        ago_s = round(clock() - clock.stepped_at)
        yield State("clock_stepped", f"the wall clock was set by {clock.last_step_s:+.0f} s, {ago_s} s ago")


def _log_step(step_s: float) -> None:
    if step_s:
        logs.event("clock_stepped", level=logs.WARNING, by_s=round(step_s))


def extend_deadlines(db: apsw.Connection, now: float) -> None:
    """Give up nothing for the time in which no server ran.

    Pending outbox entries get another hour of tries. A job past its deadline gets one attempt: its deadline is now, so
    that the first failure ends it.
    """
    db.execute(SQL["extend_entries"], (now + LAST_TRIES_S,))
    db.execute(SQL["extend_deadlines"], (now,))
