"""How a queue's own time (``clock``) goes on from one server to the next, and its steps as states. For ``queue``.

``resume`` and ``spare_the_overdue`` are called while the file is taken over.
"""

from collections.abc import Callable, Iterator

import apsw

from imgserve.clock import Clock, Mark
from imgserve.jobs.config import Config
from imgserve.jobs.retry import LONGEST_DELAY_S
from imgserve.telemetry import logs
from imgserve.telemetry.states import State

# Owed failure pictures are tried for so long after a start, however long the server was off.
LAST_TRIES_S = 3600.0
# An operator who looks within this time learns that the wall clock was set.
_TELL_STEP_S = 3600.0


def resume(db: apsw.Connection, clock: Clock, config: Config) -> None:
    """Let the clock go on where the last server's ended."""
    row: tuple[float | None, float, str, float] = db.execute("SELECT queue_s, wall_s, boot, boot_s FROM owner").get
    queue_s, wall_s, boot, boot_s = row
    if queue_s is None:
        _cap(db, config, clock())
    else:
        step_s = clock.resume(Mark(queue_s, wall_s, boot, boot_s))
        if step_s:
            logs.event("clock_stepped", level=logs.WARNING, by_s=round(step_s))
    note(db, clock.mark())


def note(db: apsw.Connection, mark: Mark) -> None:
    db.execute(
        "UPDATE owner SET queue_s = ?, wall_s = ?, boot = ?, boot_s = ?",
        (mark.queue_s, mark.wall_s, mark.boot, mark.boot_s),
    )


def states(clock: Clock, on_step: Callable[[Mark], None]) -> Iterator[State]:
    """``on_step`` gets the mark to store when the wall clock was set since the last look."""
    if step_s := clock.look():
        logs.event("clock_stepped", level=logs.WARNING, by_s=round(step_s))
        on_step(clock.mark())
    if clock.stepped_at is not None and clock() < clock.stepped_at + _TELL_STEP_S:
        ago_s = round(clock() - clock.stepped_at)
        yield State("clock_stepped", f"the wall clock was set by {clock.last_step_s:+.0f} s, {ago_s} s ago")


def spare_the_overdue(db: apsw.Connection, now: float) -> None:
    """Nothing that is owed is given up for the time in which no server ran.

    A failure picture gets another hour of tries. A job past its deadline gets one attempt: its deadline is now, so that
    the first failure ends it.
    """
    db.execute("UPDATE outbox SET until = max(until, ?) WHERE state = 'pending'", (now + LAST_TRIES_S,))
    db.execute("UPDATE job SET deadline_at = max(deadline_at, ?) WHERE ended_at IS NULL", (now,))


def _cap(db: apsw.Connection, config: Config, now: float) -> None:
    """An earlier version stored times of the wall clock, which may have been set back since."""
    db.execute("UPDATE job SET run_at = min(run_at, ?) WHERE status = 'queued'", (now + LONGEST_DELAY_S,))
    db.execute("UPDATE output SET due_at = min(due_at, ?)", (now + LONGEST_DELAY_S,))
    db.execute("UPDATE destination SET quiet_until = min(quiet_until, ?)", (now + config.quiet_s,))
