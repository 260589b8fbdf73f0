"""The processor on which a thread runs, so that threads which take turns can take them on the same one.

Under the interpreter's lock only one thread runs at a time. From another processor each turn is a wake-up there, and
moves what both threads use from cache to cache: that was a fifth of the CPU of taking a job in.
"""

import contextlib
import ctypes
import os
import time
from collections.abc import Callable, Collection

_UNKNOWN = -1
_LOOK_EVERY_S = 0.05
_BUSY = 0.5  # of its time


def _unknown() -> int:
    return _UNKNOWN


# ``PyDLL`` keeps the lock: to give it up would be a turn of its own.
current: Callable[[], int] = getattr(ctypes.PyDLL(None), "sched_getcpu", _unknown)
"""That of the calling thread, below zero where libc does not tell (getcpu(2))."""


def stay_on(processors: Collection[int]) -> None:
    """Keep the calling thread on these, if the system lets it."""
    with contextlib.suppress(OSError):  # they are ours no more
        os.sched_setaffinity(0, processors)


class Place:
    """Where a thread belongs that works for the one that made this: beside it while it is busy, else anywhere.

    For a thread that mostly waits, a processor of its own helps more than what the caches have.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, cpu_time: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock = clock
        self._cpu_time = cpu_time
        self._anywhere = frozenset(os.sched_getaffinity(0))
        self._looked_at_s, self._used_s = clock(), cpu_time()
        self._is_busy = False

    def now(self) -> Collection[int]:
        """Called in the thread that made it, for each piece of work."""
        passed_s = self._clock() - self._looked_at_s
        if passed_s >= _LOOK_EVERY_S:
            used_s = self._cpu_time()
            self._is_busy = used_s - self._used_s >= _BUSY * passed_s
            self._looked_at_s, self._used_s = self._looked_at_s + passed_s, used_s
        here = current() if self._is_busy else _UNKNOWN
        return self._anywhere if here == _UNKNOWN else (here,)
