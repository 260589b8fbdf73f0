"""A second pair of eyes on librsvg, which cannot be interrupted: a thread that answers for it when it is too dear.

Called by ``__main__.py``, which says what becomes of a fault: the parent is told of it and the worker ends, so that
the picture has its proper code and no later attempt repeats it. libvips lets go of Python's lock while it works.
"""

import contextlib
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from imgserve.errors import ImgserveError

GiveUp = Callable[[ImgserveError], None]
Watch = Callable[[ImgserveError], AbstractContextManager[None]]
_LOOK_EVERY_S = 0.02
_PAGE_BYTES = resource.getpagesize()


class _OwnMemory:
    """The process's figures, which it cannot open any more once it is locked in."""

    def __init__(self) -> None:
        self._descriptor = -1

    def open(self) -> None:
        self._descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def resident_bytes(self) -> int:
        return int(os.pread(self._descriptor, 200, 0).split()[1]) * _PAGE_BYTES


own_memory = _OwnMemory()


def unwatched(_fault: ImgserveError) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


@contextlib.contextmanager
def cpu_time(give_up: GiveUp, limit_s: float, fault: ImgserveError) -> Iterator[None]:
    """``give_up`` with this fault once the process has worked so long, however busy the machine is."""
    started = time.process_time()
    with _watched(lambda: time.process_time() - started > limit_s, give_up, fault):
        yield


@contextlib.contextmanager
def memory(give_up: GiveUp, limit_bytes: int, fault: ImgserveError) -> Iterator[None]:
    """``give_up`` with this fault once the process holds more than so much."""
    with _watched(lambda: own_memory.resident_bytes() > limit_bytes, give_up, fault):
        yield


@contextlib.contextmanager
def _watched(is_enough: Callable[[], bool], give_up: GiveUp, fault: ImgserveError) -> Iterator[None]:
    done, lock = threading.Event(), threading.Lock()

    def look() -> None:
        while not done.wait(_LOOK_EVERY_S):
            if is_enough():
                with lock:  # one of both answers, never two
                    if not done.is_set():
                        give_up(fault)
                return

    threading.Thread(target=look, daemon=True).start()
    try:
        yield
    finally:
        with lock:
            done.set()
