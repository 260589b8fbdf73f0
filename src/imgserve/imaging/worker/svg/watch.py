"""Watchdog thread: ends the worker with a proper error when librsvg, which cannot be interrupted, exceeds its budget of
CPU time or memory.

``__main__.py`` passes in ``give_up``, which sends the error to the parent and ends the worker, so that the picture gets
its own code and no later attempt repeats it. libvips releases Python's lock while it works.
"""

import contextlib
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache

from imgserve.errors import ImgserveError

GiveUp = Callable[[ImgserveError], None]
Watch = Callable[[ImgserveError], AbstractContextManager[None]]
_LOOK_EVERY_S = 0.02
_PAGE_BYTES = resource.getpagesize()


@cache
def own_figures() -> int:
    """The descriptor of the process's memory figures, which the first call opens, before the sandbox closes."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)


def _resident_bytes() -> int:
    return int(os.pread(own_figures(), 200, 0).split()[1]) * _PAGE_BYTES


def unwatched(_fault: ImgserveError) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


def cpu_time(give_up: GiveUp, limit_s: float, fault: ImgserveError) -> AbstractContextManager[None]:
    """Calls ``give_up`` with this fault once the block has used so much CPU time."""
    started = time.process_time()
    return _watched(lambda: time.process_time() - started > limit_s, give_up, fault)


def memory(give_up: GiveUp, limit_bytes: int, fault: ImgserveError) -> AbstractContextManager[None]:
    """Calls ``give_up`` with this fault once the process holds more memory."""
    return _watched(lambda: _resident_bytes() > limit_bytes, give_up, fault)


def time_and_memory(
    give_up: GiveUp, limit_s: float, limit_bytes: int, fault: ImgserveError
) -> AbstractContextManager[None]:
    """Calls ``give_up`` with this fault once one of both is exceeded."""
    started = time.process_time()
    return _watched(lambda: time.process_time() - started > limit_s or _resident_bytes() > limit_bytes, give_up, fault)


@contextlib.contextmanager
def _watched(is_exceeded: Callable[[], bool], give_up: GiveUp, fault: ImgserveError) -> Iterator[None]:
    done, lock = threading.Event(), threading.Lock()

    def look() -> None:
        while not done.wait(_LOOK_EVERY_S):
            if is_exceeded():
                with lock:  # the worker sends this answer or its own, never both
                    if not done.is_set():
                        give_up(fault)
                return

    threading.Thread(target=look, daemon=True).start()
    try:
        yield
    finally:
        with lock:
            done.set()
