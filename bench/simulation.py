"""Discrete-event simulation in asyncio: coroutines under a clock that jumps to the next timer, and shared processors.

Called by ``cluster``, which models nodes with it. Semaphores, locks and futures are asyncio's own: only time is not.
"""

import asyncio
import heapq
import itertools
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import TypeVar

T = TypeVar("T")


def run(main: Coroutine[object, object, T]) -> T:
    """The result of ``main``, whose loop starts at time 0. Raises RuntimeError if it waits for nothing that comes."""
    with asyncio.Runner(loop_factory=_SimulatedLoop) as runner:
        return runner.run(main)


class _SimulatedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


class _Clock(selectors.SelectSelector):
    """Where a selector would sleep until the next timer, it moves the time there."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the simulation stands still: every coroutine waits for another")
        self.now_s += timeout
        return []


class Processors:
    """Cores shared equally: n tasks run at the rate min(1, cores / n), as under a fair scheduler with short slices.

    Each task is known by the virtual time at which it ends, which grows at that rate: so an arrival or an end moves no
    other task in the heap (Parekh and Gallager, *A Generalized Processor Sharing Approach*, 1993).
    """

    def __init__(self, cores: float) -> None:
        self._cores = cores
        self._tasks: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._virtual_s = 0.0
        self._at_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def work(self, cpu_s: float) -> None:
        """Return when a task of so many seconds is done."""
        if cpu_s <= 0:
            return
        loop = asyncio.get_running_loop()
        self._advance(loop.time())
        done = loop.create_future()
        heapq.heappush(self._tasks, (self._virtual_s + cpu_s, next(self._order), done))
        self._wake_at_next_end(loop)
        await done

    @property
    def _rate(self) -> float:
        return min(1.0, self._cores / len(self._tasks)) if self._tasks else 1.0

    def _advance(self, now_s: float) -> None:
        self._virtual_s += (now_s - self._at_s) * self._rate
        self._at_s = now_s

    def _wake_at_next_end(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._tasks:
            left_s = max(self._tasks[0][0] - self._virtual_s, 0.0) / self._rate
            self._timer = loop.call_at(loop.time() + left_s, self._ended, loop)

    def _ended(self, loop: asyncio.AbstractEventLoop) -> None:
        self._advance(loop.time())
        self._virtual_s = max(self._virtual_s, self._tasks[0][0])  # rounding must not leave a remainder of no length
        while self._tasks and self._tasks[0][0] <= self._virtual_s:
            heapq.heappop(self._tasks)[2].set_result(None)
        self._timer = None
        self._wake_at_next_end(loop)


class Process:
    """A program with one interpreter lock: its parts of work run one after the other, on shared processors."""

    def __init__(self, processors: Processors, threads: int = 1) -> None:
        self._processors = processors
        self._turn = asyncio.Semaphore(threads)

    async def work(self, cpu_s: float) -> None:
        async with self._turn:
            await self._processors.work(cpu_s)


class Batches:
    """Group commit: all that comes while a batch is under way goes into the next one.

    ``carry_out`` gets how many of each kind are in a batch, of ``most`` at a time.
    """

    def __init__(self, carry_out: Callable[[Mapping[str, int]], Coroutine[object, object, None]], most: int) -> None:
        self._carry_out = carry_out
        self._most = most
        self._pending: list[tuple[str, asyncio.Future[None]]] = []
        self._running: asyncio.Task[None] | None = None
        self.count = 0

    async def join(self, kind: str) -> None:
        """Return when the batch with this entry is done."""
        done = asyncio.get_running_loop().create_future()
        self._pending.append((kind, done))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        await done

    async def _run(self) -> None:
        while self._pending:
            batch, self._pending = self._pending[: self._most], self._pending[self._most :]
            kinds: dict[str, int] = {}
            for kind, _ in batch:
                kinds[kind] = kinds.get(kind, 0) + 1
            self.count += 1
            await self._carry_out(kinds)
            for _, done in batch:
                done.set_result(None)
        self._running = None
