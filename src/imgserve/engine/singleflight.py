"""Equal work that is under way at the same time is done once. For renders and placeholders."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, Self, TypeVar


class Shared(Protocol):
    """A result with handles."""

    def share(self) -> Self: ...

    def close(self) -> None: ...


T = TypeVar("T", bound=Shared)


class _Flight(Generic[T]):
    """Work under way, and how many wait for it."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.waiters = 0


class SingleFlight(Generic[T]):
    """Each waiter gets a handle of its own to the result. The last waiter to be cancelled ends the work.

    ``on_join`` is called by each but the first one.
    """

    def __init__(self, on_join: Callable[[], object] = lambda: None) -> None:
        self._on_join = on_join
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def result(self, key: Hashable, begin: Callable[[], asyncio.Task[T]]) -> T:
        """The result, which the caller closes. ``begin`` starts the work when none of this key is under way."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(begin())
        else:
            self._on_join()
        flight.waiters += 1
        try:
            return (await asyncio.shield(flight.task)).share()
        finally:
            flight.waiters -= 1
            if flight.waiters == 0:
                del self._flights[key]
                await _end(flight.task)


async def _end(task: asyncio.Task[T]) -> None:
    """Close the result, or cancel the work and wait until its worker has been ended."""
    if task.done():
        _close(task)
    else:
        task.add_done_callback(_close)  # this wait may be cancelled too
        task.cancel()
        await asyncio.wait([task])


def _close(task: asyncio.Task[T]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
