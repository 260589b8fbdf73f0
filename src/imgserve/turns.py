"""Waiting for one's turn: what an attempt waits for because of its neighbours is not charged to its time.

The runner opens a ``limit`` around an attempt; whoever makes it wait further down says so with ``waiting``, which
does nothing where there is no limit.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar


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


@contextlib.asynccontextmanager
async def limit(seconds: float) -> AsyncIterator[None]:
    """Raises TimeoutError when what happens inside, waits aside, takes longer."""
    async with asyncio.timeout(seconds) as timeout:
        token = _clock.set(_Clock(timeout))
        try:
            yield
        finally:
            _clock.reset(token)


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """What happens inside takes no time."""
    clock = _clock.get()
    if clock is None:
        yield
        return
    clock.stop()
    try:
        yield
    finally:
        clock.go_on()
