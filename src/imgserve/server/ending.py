"""Shutdown of the server process: the thread that waits for SIGTERM, a bound for each step, the log of hanging steps.

``lifecycle`` takes the steps, ``detach`` ends the process. A disk, a name server, a host, a process or the event loop
itself can hang. So no wait is without a bound, and a thread of its own ends the process when the time is over, even if
the event loop stands still.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

from imgserve.telemetry import logs

# The promise is drain_s + 5 s. The bounds of the steps after drain_s add up to 4.4 s: GIVE_BACK_S (runner), CLOSING_S,
# TRACES_S (lifecycle), STOP_S (logs).
FORCED_S = 4.5
CLOSING_S = 2.0
SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
# The innermost functions of idle threads: our own, and those of Python's pools.
_IDLE = frozenset({"_run", "_hear", "_worker"})


class Ending:
    """The end of one server, from the first SIGTERM or SIGINT on. A second one sets ``hurry``.

    The first calls ``on_signal`` on the event loop. ``is_complete``: every end of a job has been stored.
    ``left_behind`` names the steps that did not end in time.
    """

    def __init__(self, drain_s: float, loop: asyncio.AbstractEventLoop) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.is_complete = True
        self.left_behind: list[str] = []
        self.drain_s = drain_s
        self._loop = loop
        self._forced_at = 0.0
        self._closed_by = 0.0
        self._under_way: list[str] = []
        self.on_signal: Callable[[], object] = self.stop.set

    def listen(self) -> None:
        """Listen for signals. Called in the main thread, before others are started: they inherit the mask."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        threading.Thread(target=self._hear, name="signals", daemon=True).start()

    async def until(self, serving: asyncio.Task[None]) -> None:
        """Wait for a signal, or for the end of ``serving``."""
        stopped = asyncio.create_task(self.stop.wait())
        await asyncio.wait([stopped, serving], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()

    async def close(self, steps: Mapping[str, Awaitable[object]], reserve_s: float = 0.0) -> None:
        """Take these steps side by side. One that hangs is left behind, so that later steps have ``reserve_s``."""
        now = time.monotonic()
        self._closed_by = self._closed_by or now + CLOSING_S
        tasks = {asyncio.ensure_future(work): name for name, work in steps.items()}
        self._under_way = list(steps)
        done, hanging = await asyncio.wait(tasks, timeout=max(self._closed_by - reserve_s - now, 0.1))
        self._under_way = []
        for task in hanging:
            self.left_behind.append(tasks[task])
            logs.event("left_behind", level=logs.WARNING, what=tasks[task], threads=busy_threads())
        for task in done:
            task.result()

    def _hear(self) -> None:
        signal.sigwait(SIGNALS)
        self._forced_at = time.monotonic() + self.drain_s + FORCED_S
        self._on_loop(lambda: self.on_signal())
        while (left_s := self._forced_at - time.monotonic()) > 0:
            if signal.sigtimedwait(SIGNALS, left_s) is not None:
                self._forced_at = min(self._forced_at, time.monotonic() + FORCED_S)
                self._on_loop(self.hurry.set)
        what = ", ".join(self._under_way) or "the start, or the event loop"
        logs.event("ended_by_force", level=logs.ERROR, what=what, threads=busy_threads(with_main=True))
        logs.stop()
        leave(1)

    def _on_loop(self, call: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: all has ended
            self._loop.call_soon_threadsafe(call)


def in_time(work: Callable[[], object], within_s: float) -> None:
    """Run a blocking call in a thread, and wait for it no longer than this."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(within_s)


def leave(status: int) -> NoReturn:
    """End the process at once. Python would wait for the threads of its pools, and one may hang."""
    os._exit(status)


def busy_threads(*, with_main: bool = False) -> str:
    """The busy threads of imgserve: name, file, line and function, and whether one hangs in the kernel."""
    frames = sys._current_frames()
    busy = []
    for thread in threading.enumerate():
        if thread is threading.current_thread() or (thread is threading.main_thread() and not with_main):
            continue
        frame = _own_frame(frames.get(thread.ident or 0))
        if frame is not None and frame.f_code.co_name not in _IDLE:
            place = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
            busy.append(f"{thread.name} in {place}{_stuck(thread.native_id)}")
    return ", ".join(busy)


def _own_frame(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of imgserve's code or, in a thread of Python's pools, the innermost of all."""
    innermost = frame
    while frame is not None and f"{os.sep}imgserve{os.sep}" not in frame.f_code.co_filename:
        if frame.f_code.co_name == "_worker":
            return innermost
        frame = frame.f_back
    return frame


def _stuck(thread_id: int | None) -> str:
    try:
        state = Path(f"/proc/self/task/{thread_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # it has ended meanwhile
        return ""
    return " (in the kernel, which nothing can end)" if state == "D" else ""
