"""A time-out that can be paused: time spent waiting for others does not count.

The runner opens a ``limit`` around an attempt, the client around a fetch. Code further down marks its waits with
``waiting``, which does nothing without a limit; libcurl's callbacks call ``stop`` and ``go_on`` themselves.
"""

import asyncio
from contextvars import ContextVar
from types import TracebackType


class limit:
    """Raises TimeoutError when the block takes longer, not counting its waits."""

    __slots__ = ("_left_s", "_timeout", "_token", "_waits")

    def __init__(self, seconds: float) -> None:
        self._timeout = asyncio.timeout(seconds)
        self._waits = 0
        self._left_s = 0.0

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._token = _innermost.set(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _innermost.reset(self._token)
        await self._timeout.__aexit__(kind, error, trace)

    def stop(self) -> None:
        """The time stands still until each ``stop`` has had its ``go_on``."""
        when = self._timeout.when()
        if self._waits == 0 and when is not None and not self._timeout.expired():
            self._left_s = when - asyncio.get_running_loop().time()
            self._timeout.reschedule(None)
        self._waits += 1

    def go_on(self) -> None:
        self._waits -= 1
        if self._waits == 0 and self._timeout.when() is None and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._left_s)


_innermost: ContextVar[limit | None] = ContextVar("innermost limit", default=None)


class waiting:
    """Time spent in this block does not count towards the innermost limit."""

    __slots__ = ("_limit",)

    def __enter__(self) -> None:
        self._limit = _innermost.get()
        if self._limit is not None:
            self._limit.stop()

    def __exit__(self, *_: object) -> None:
        if self._limit is not None:
            self._limit.go_on()
