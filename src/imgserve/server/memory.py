"""What the server's process keeps of the memory that it has freed, and how it gives it back. Called by ``detach`` and
``lifecycle``.

Only glibc has these calls; another libc decides by itself.
"""

import asyncio
import ctypes
import gc
import time
from collections.abc import Callable

COLLECT_AFTER = 20_000
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h
_KEEP_BYTES = 64 * 1024 * 1024
_EVERY_S = 20.0
# An idle server uses 7 ms in that time, and an answer or a job 3.
_WORTH_CPU_S = 0.1

_libc = ctypes.CDLL(None)
_mallopt, _malloc_trim = (getattr(_libc, name, None) for name in ("mallopt", "malloc_trim"))


def use_one_arena() -> None:
    """Let all threads share malloc's pieces. To be called before the first one starts.

    Else each of some twenty threads has pieces of its own, which keep what its largest work took. Python code runs in
    one thread at a time, so they rarely wait for each other.
    """
    if _mallopt is not None:
        _mallopt(_M_ARENA_MAX, 1)


def tune() -> None:
    """Collect garbage seldom: loaded code stays for good, and a job's objects are freed by reference counting.

    Transfer buffers come and go with every job: keep their pages instead of asking the kernel again.
    """
    if _mallopt is not None:
        _mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
        _mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)
    gc.enable()


def give_back() -> None:
    """Return the pages that nothing uses to the system; takes some milliseconds."""
    if _malloc_trim is not None:
        _malloc_trim(0)


async def keep_giving_back(
    renew_workers: Callable[[], None], every_s: float = _EVERY_S, cpu_time: Callable[[], float] = time.process_time
) -> None:
    """Give back what a load has left behind, also while it goes on.

    ``renew_workers`` ends the workers that rest and have kept much.
    """
    used_s = cpu_time()
    while True:
        await asyncio.sleep(every_s)
        renew_workers()
        if cpu_time() - used_s >= _WORTH_CPU_S:
            await asyncio.to_thread(give_back)  # it would hold the event loop for some milliseconds
            used_s = cpu_time()
