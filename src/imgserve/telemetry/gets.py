"""Counts of answers to GETs of mounted dialects, and the time of their stages, in plain numbers that ``metrics`` reads.

A cached picture is answered in some 30 µs; the library's own counters would be a tenth of that. A task that works for a
GET has it as ``current``: the stages of its work count for its dialect, and stand in its line of the access log. Work
that several wait for is that of the one who began it.
"""

import time
from bisect import bisect_left
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Literal

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# What a request may find under way: that of its source, or that of its picture.
Work = Literal["fetch", "render"]


class Tally:
    """Durations, by the first of ``SECONDS`` that is not less; the last bucket has those above all of them."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        self.seconds += seconds


class Answers(Tally):
    """Answers of one kind. ``size_bytes`` is the sum of their bodies."""

    __slots__ = ("size_bytes",)

    def __init__(self) -> None:
        super().__init__()
        self.size_bytes = 0


# By dialect, status and state; by dialect and stage; by dialect and work. The event loop alone writes them.
answers: dict[tuple[str, int, str], Answers] = {}
stages: dict[tuple[str, str], Tally] = {}
coalesced: dict[tuple[str, Work], int] = {}


class Get:
    """One request. ``host`` is that of its source; ``stages`` are the seconds of each, ``coalesced`` is the work of
    another request that it has waited for; ``code`` and ``detail`` are the error that kept it from its picture.
    """

    __slots__ = ("coalesced", "code", "detail", "dialect", "host", "stages")

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.host = self.code = self.detail = ""
        self.coalesced: Work | None = None
        self.stages: dict[str, float] = {}

    def ms(self, stage: str) -> float | None:
        """None if the request had no such stage."""
        seconds = self.stages.get(stage)
        return None if seconds is None else seconds * 1000


current: ContextVar[Get | None] = ContextVar("imgserve_get", default=None)


def begin(dialect: str) -> Get:
    get = Get(dialect)
    current.set(get)
    return get


def part_from_here() -> None:
    """Part this task from the request that began it, which does not wait for it. Its stages count for the dialect."""
    get = current.get()
    if get is not None:
        begin(get.dialect)


def answered(dialect: str, status: int, state: str, seconds: float, size_bytes: int) -> None:
    kind = answers.get((dialect, status, state))
    if kind is None:
        kind = answers[dialect, status, state] = Answers()
    kind.add(seconds)
    kind.size_bytes += size_bytes


def joined(work: Work) -> None:
    """The request waits for work that another one has begun."""
    get = current.get()
    if get is not None:
        get.coalesced = work
        coalesced[get.dialect, work] = coalesced.get((get.dialect, work), 0) + 1


def failed(code: str, detail: str) -> None:
    get = current.get()
    if get is not None:
        get.code, get.detail = code, detail


def stage_ended(stage: str, seconds: float) -> None:
    get = current.get()
    if get is None:
        return
    get.stages[stage] = get.stages.get(stage, 0.0) + seconds
    tally = stages.get((get.dialect, stage))
    if tally is None:
        tally = stages[get.dialect, stage] = Tally()
    tally.add(seconds)


def stage_until_called(stage: str) -> Callable[[], None]:
    """A stage that begins now."""
    started = time.perf_counter()
    return lambda: stage_ended(stage, time.perf_counter() - started)


class stage:
    """A stage that GETs alone have."""

    __slots__ = ("_name", "_started")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stage_ended(self._name, time.perf_counter() - self._started)
