"""Equal work that is done once, and that waits for its turn before it begins. For pictures on demand.

Each group of waiters, as the clients of one network, waits for a turn of its own. The group whose turn comes first does
the work for all of them, and the other groups give up their places. A refusal ends the waiters of its group alone.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from imgserve.engine.singleflight import Shared

T = TypeVar("T", bound=Shared)
Begin = Callable[[Callable[[], None]], Coroutine[Any, Any, T]]


class _Flight(Generic[T]):
    """``turns``: for each group a task that waits for its turn and then works. ``worker``: the one that works."""

    def __init__(self) -> None:
        self.turns: dict[Hashable, asyncio.Task[T]] = {}
        self.worker: asyncio.Task[T] | None = None
        self.waiters: dict[Hashable, int] = {}

    def begun(self) -> None:
        """Called by the task whose turn has come, before its first await since then."""
        self.worker = asyncio.current_task()
        for task in self.turns.values():
            if task is not self.worker:
                task.cancel()

    def leave(self, group: Hashable) -> list[asyncio.Task[T]]:
        """The tasks that nobody waits for any more."""
        self.waiters[group] -= 1
        if self.waiters[group]:
            return []
        del self.waiters[group]
        if not self.waiters:
            return [*self.turns.values()]
        if group in self.turns and self.turns[group] is not self.worker:
            return [self.turns.pop(group)]
        return []


class TurnFlight(Generic[T]):
    """Each waiter gets a handle of its own to the result. The last waiter to be cancelled ends the work, and the last
    one of a group ends the wait for its turn. ``on_join`` is called by each waiter but the one that does the work.
    """

    def __init__(self, on_join: Callable[[], object] = lambda: None) -> None:
        self._on_join = on_join
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def result(self, key: Hashable, group: Hashable, begin: Begin[T]) -> T:
        """The result, which the caller closes. ``begin`` makes the work of a group. It calls its argument when its turn
        has come. Raises what ``begin`` does, of the group or of the work.
        """
        flight = self._flights.setdefault(key, _Flight())
        flight.waiters[group] = flight.waiters.get(group, 0) + 1
        try:
            own = None if flight.worker else flight.turns.get(group)
            is_first = flight.worker is None and (own is None or own.done())
            if is_first:
                own = flight.turns[group] = asyncio.create_task(begin(flight.begun))
            else:
                self._on_join()
            if own is not None:
                await asyncio.wait([own])  # which leaves it running where this wait is cancelled
            if flight.worker is not None and flight.worker is not own:
                if is_first:
                    self._on_join()
                await asyncio.wait([flight.worker])
            task = flight.worker or own
            assert task is not None, "a group has its own turn where none has begun"
            return task.result().share()
        finally:
            ending = flight.leave(group)
            if not flight.waiters:
                del self._flights[key]
            await _end(ending)


async def _end(tasks: list[asyncio.Task[T]]) -> None:
    """Close the results, or cancel the work and wait until its worker has been ended."""
    running = [task for task in tasks if not task.done()]
    for task in tasks:
        if task.done():
            _close(task)
        else:
            task.add_done_callback(_close)  # the wait may be cancelled too
            task.cancel()
    if running:
        await asyncio.wait(running)


def _close(task: asyncio.Task[T]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
