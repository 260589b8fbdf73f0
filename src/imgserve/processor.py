"""The processor on which a thread runs, so that threads which take turns can take them on the same one.

Under the interpreter's lock only one thread runs at a time. From another processor each turn is a wake-up there, and
moves what both threads use from cache to cache: that was a fifth of the CPU of taking a job in.
"""

import contextlib
import ctypes
import os
from collections.abc import Callable

_UNKNOWN = -1


def _unknown() -> int:
    return _UNKNOWN


# ``PyDLL`` keeps the lock: to give it up would be a turn of its own.
current: Callable[[], int] = getattr(ctypes.PyDLL(None), "sched_getcpu", _unknown)
"""That of the calling thread, below zero where libc does not tell (getcpu(2))."""


def stay_on(processor: int) -> None:
    """Keep the calling thread there, if the system lets it; a number below zero changes nothing."""
    if processor >= 0:
        with contextlib.suppress(OSError):  # the processor is ours no more
            os.sched_setaffinity(0, {processor})
