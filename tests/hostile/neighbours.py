"""Somebody with good jobs on a server that others attack: how long replies and results take.

For ``test_slow`` and ``test_bombed``, which measure in turns without and with the attack, so that whatever else the
machine does falls on both.
"""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from examples.receivers import Event, Log

from tests.chaos.lane import Lane
from tests.support.sizes import Figures, p95

EVERY_S = 0.1
MOST_WAITING = 64  # of its jobs at once; beyond that they are late, and that counts


class Times(NamedTuple):
    reply_s: float
    result_s: float


class Ends(Log):
    """A receiver's log that keeps when, and how, each path got its last picture."""

    def __init__(self) -> None:
        super().__init__()
        self._came = threading.Condition()
        self._ends: dict[str, Event] = {}

    def add(self, event: Event) -> None:
        if event.state in ("final", "failed"):
            with self._came:
                self._ends[event.name] = event
                self._came.notify_all()

    def count(self, beginning: str) -> int:
        """How many paths that begin so have got theirs."""
        with self._came:
            return sum(path.startswith(beginning) for path in self._ends)

    def of_path(self, path: str, timeout_s: float = 60.0) -> Event:
        with self._came:
            assert self._came.wait_for(lambda: path in self._ends, timeout_s), f"nothing final came to {path}"
            return self._ends[path]


class Neighbour:
    """Posts a job every so often, whether or not those before it are there, and counts from when it was due: one who
    waited for each result would post, and so measure, least while it is slowest. ``key``: its own, if there are keys.
    """

    def __init__(self, lane: Lane, ends: Ends, key: str = "") -> None:
        self._lane = lane
        self._ends = ends
        self._key = key
        self._numbers = itertools.count()

    def call_while(self, goes_on: Callable[[], bool]) -> list[Times]:
        calls: list[Future[Times]] = []
        due = time.monotonic()
        with ThreadPoolExecutor(MOST_WAITING) as threads:
            while goes_on():
                calls.append(threads.submit(self._call, due))
                due += EVERY_S
                time.sleep(max(0.0, due - time.monotonic()))
            return [call.result() for call in calls]

    def call_for(self, seconds: float) -> list[Times]:
        ends_at = time.monotonic() + seconds
        return self.call_while(lambda: time.monotonic() < ends_at)

    def _call(self, due: float) -> Times:
        number = next(self._numbers)
        place = self._lane.place("put", f"neighbour-{number}")
        job = self._lane.job(number % 32, place, f"plain/good-{number}.png")  # sizes whose placeholders are kept
        self._lane.accept(job, self._key)
        replied = time.monotonic()
        end = self._ends.of_path(f"/{place.name}")
        assert end.state == "final"
        return Times(replied - due, end.at - due)


def compare(figures: Figures, alone: Sequence[Times], attacked: Sequence[Times]) -> None:
    """Figures of the 95th percentile in ms, without and with the attack."""
    figures("jobs without and with", (len(alone), len(attacked)))
    _compare(figures, "reply", [times.reply_s for times in alone], [times.reply_s for times in attacked])
    _compare(figures, "result", [times.result_s for times in alone], [times.result_s for times in attacked])


def _compare(figures: Figures, name: str, alone: Sequence[float], attacked: Sequence[float]) -> None:
    without, beside = p95(alone), p95(attacked)
    told = f"{without * 1000:.0f} and {beside * 1000:.0f} ({beside / without:.2f} times)"
    figures(f"p95 to the {name} without and with (ms)", told)
