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
_FIRST_LOOK_AFTER_S = 0.02  # most blocks end before; until then memory of an earlier picture may still be held
_LOOKS_WITHOUT_BLOCKS = 50
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


class _Block:
    """A watched block."""

    def __init__(self, is_exceeded: Callable[[], bool], give_up: GiveUp, fault: ImgserveError) -> None:
        self._is_exceeded = is_exceeded
        self._give_up = give_up
        self._fault = fault
        self._looked_at_from = time.monotonic() + _FIRST_LOOK_AFTER_S

    def look(self) -> bool:
        """Whether it has been given up."""
        if time.monotonic() < self._looked_at_from or not self._is_exceeded():
            return False
        self._give_up(self._fault)
        return True


class _Watchdog:
    """The thread, one for all blocks of this process. It ends after a second without any.

    A thread for each block would cost more than to measure an icon.
    """

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._has_thread = False
        self._lock = threading.Lock()  # the worker sends this answer or its own, never both

    def add(self, block: _Block) -> None:
        with self._lock:
            self._blocks.append(block)
            is_first, self._has_thread = not self._has_thread, True
        if is_first:
            threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def remove(self, block: _Block) -> None:
        with self._lock:
            if block in self._blocks:
                self._blocks.remove(block)

    def _run(self) -> None:
        idle = 0
        while idle < _LOOKS_WITHOUT_BLOCKS:
            time.sleep(_LOOK_EVERY_S)
            with self._lock:
                idle = 0 if self._blocks else idle + 1
                self._blocks = [block for block in self._blocks if not block.look()]
                self._has_thread = idle < _LOOKS_WITHOUT_BLOCKS


_watchdog = _Watchdog()


@contextlib.contextmanager
def _watched(is_exceeded: Callable[[], bool], give_up: GiveUp, fault: ImgserveError) -> Iterator[None]:
    block = _Block(is_exceeded, give_up, fault)
    _watchdog.add(block)
    try:
        yield
    finally:
        _watchdog.remove(block)
