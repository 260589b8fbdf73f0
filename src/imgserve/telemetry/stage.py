"""One stage of a job: a log line, a histogram and a span from one ``with``.

    with stage("fetch"):
        ...

The job's id comes from ``logs.job``, which intake, runner and outbox set in their tasks.
"""

import asyncio
import time
from types import TracebackType
from typing import Self

from imgserve.errors import ImgserveError
from imgserve.telemetry import gets, logs, metrics, tracing


class stage:
    """Times the block, and reports how it ended, with the error's code.

    ``parent`` is the traceparent that the stage continues, where it is not simply inside another stage.
    ``is_outer``: a stage of stages, which is logged only when it fails, or at level debug. The line of a GET has its
    stages, so for one it is never logged but at level debug.
    """

    __slots__ = ("_fields", "_is_outer", "_name", "_parent", "_span", "_started", "code")

    def __init__(self, name: metrics.Stage, *, parent: str = "", is_outer: bool = False, **fields: str | int) -> None:
        self._name: metrics.Stage = name
        self._parent = parent
        self._is_outer = is_outer
        self._fields = fields
        self._span: tracing.Scope | None = None
        self._started = 0.0
        self.code = ""

    def __enter__(self) -> Self:
        if tracing.is_on():
            self._span = tracing.begin(self._name, self._parent, {"imgserve.job": logs.job.get(), **self._fields})
        self._started = time.perf_counter()
        return self

    def passed(self, started: float) -> None:
        """Report that it began then and ends well now, where only its end tells that there was such a stage."""
        with self:
            self._started = started

    def add(self, **fields: str | int) -> None:
        """Fields of the log line that are known only now."""
        self._fields = {**self._fields, **fields}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._started
        if error is not None:
            self.code = _code(error)
        metrics.stage_ended(self._name, seconds, self.code)
        gets.stage_ended(self._name, seconds)
        is_quiet = self._is_outer and (not self.code or gets.current.get() is not None)
        level = logs.DEBUG if is_quiet else logs.INFO
        logs.event(self._name, level=level, **self._fields, ms=seconds * 1000, code=self.code)
        if self._span is not None:
            tracing.end(self._span, self.code)


def _code(error: BaseException) -> str:
    if isinstance(error, ImgserveError):
        return error.code
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "internal"
