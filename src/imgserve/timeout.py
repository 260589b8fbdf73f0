"""A time-out that stands still while an attempt waits for others.

The runner opens a ``limit`` around an attempt; code further down marks its waits with ``waiting``, which does nothing
where there is no limit.
"""

import asyncio
from contextvars import ContextVar
from types import TracebackType


class _Clock:
    """A time-out that stands still while anything below it waits."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout
        self._waits = 0
        self._left_s = 0.0

    def stop(self) -> None:
        when = self._timeout.when()
        if self._waits == 0 and when is not None and not self._timeout.expired():
            self._left_s = when - asyncio.get_running_loop().time()
            self._timeout.reschedule(None)
        self._waits += 1

    def go_on(self) -> None:
        self._waits -= 1
        if self._waits == 0 and self._timeout.when() is None and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._left_s)


_clock: ContextVar[_Clock | None] = ContextVar("attempt clock", default=None)


class limit:
    """Raises TimeoutError when the block takes longer, not counting its waits."""

    __slots__ = ("_timeout", "_token")

    def __init__(self, seconds: float) -> None:
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._token = _clock.set(_Clock(self._timeout))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _clock.reset(self._token)
        await self._timeout.__aexit__(kind, error, trace)


class waiting:
    """Time spent in this block does not count towards the limit."""

    __slots__ = ("_clock",)

    def __enter__(self) -> None:
        self._clock = _clock.get()
        if self._clock is not None:
            self._clock.stop()

    def __exit__(self, *_: object) -> None:
        if self._clock is not None:
            self._clock.go_on()
