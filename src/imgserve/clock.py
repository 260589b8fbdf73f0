"""The queue's own time: seconds since the epoch, which do not jump when the machine's wall clock is set.

Due times, leases, deadlines and quiet times are stored in it. It runs with the time since boot (``CLOCK_BOOTTIME``),
which counts while the machine sleeps and cannot be set, so a step of the wall clock moves none of them. A server
continues the time of the last one: ``resume`` computes the queue's time from the stored mark.
"""

import functools
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

# NTP makes smaller steps all day long.
STEP_S = 1.0
# A moment passes between the readings of two clocks; it must not show, or a job's times would differ at each look.
_UNSEEN_S = 0.005
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Mark(msgspec.Struct, frozen=True):
    """One moment by all clocks: the queue's, the wall's, and seconds since the boot with that id.

    ``boot`` is empty where the kernel's id cannot be read.
    """

    queue_s: float
    wall_s: float
    boot: str
    boot_s: float


since_boot = functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)


def boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:  # with ProcSubset=pid there is no /proc/sys; deploy/imgserve.service gives the id as a variable
        return ""


def elapsed_s(last: Mark, now: Mark) -> float:
    """Seconds from one server's last mark to the next server's first. Exact within one boot.

    Across boots only the wall clock is left, and after it was set back the result is that no time has passed.
    """
    if last.boot and last.boot == now.boot and now.boot_s >= last.boot_s:
        return now.boot_s - last.boot_s
    return max(now.wall_s - last.wall_s, 0.0)


class Clock:
    """``clock()`` is the queue's time now, which is the wall's until ``resume`` is called."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        boot: Callable[[], float] = since_boot,
        boot_name: str | None = None,
    ) -> None:
        self._wall = wall
        self._boot = boot
        self._boot_name = boot_id() if boot_name is None else boot_name
        self._wall_minus_boot = wall() - boot()
        self._queue_minus_boot = self._wall_minus_boot
        self._wall_minus_queue = 0.0
        self.last_step_s = 0.0
        self.stepped_at: float | None = None

    def __call__(self) -> float:
        return self._queue_minus_boot + self._boot()

    def mark(self) -> Mark:
        return Mark(self(), self._wall(), self._boot_name, self._boot())

    def resume(self, last: Mark) -> float:
        """Continue from ``last``. Returns the step of the wall clock since then, as far as it can be computed."""
        now = self.mark()
        passed_s = elapsed_s(last, now)
        self._queue_minus_boot = last.queue_s + passed_s - now.boot_s
        return self._note(now.wall_s - last.wall_s - passed_s)

    def follow(self, now: float) -> None:
        """Continue from ``now``, the time by the clock that several servers share."""
        self._queue_minus_boot = now - self._boot()

    def look(self) -> float:
        """The step of the wall clock since the last look; 0 for less than ``STEP_S``."""
        before, self._wall_minus_boot = self._wall_minus_boot, self._wall() - self._boot()
        return self._note(self._wall_minus_boot - before)

    def wall_of(self, moment: float) -> float:
        """A moment of the queue's time by the wall clock of today: the same one until that clock is set."""
        ahead_s = self._wall() - self()
        if abs(ahead_s - self._wall_minus_queue) > _UNSEEN_S:
            self._wall_minus_queue = ahead_s
        return moment + self._wall_minus_queue

    def _note(self, step_s: float) -> float:
        if abs(step_s) < STEP_S:
            return 0.0
        self.last_step_s, self.stepped_at = step_s, self()
        return step_s
