"""The worker processes: the free ones, the owner of each, and the replacement of lost ones. For ``pool.py``.

A process that has read a picture belongs to that picture's principal, and to one role, for the rest of its life; a
fresh one has no owner yet. A principal gets a free process of its own, else a fresh one. A few fresh ones stand ready.
If there would be too many processes, the stock ends one of the owner that was served the longest ago.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from imgserve.imaging.config import Config
from imgserve.imaging.faults import stopping
from imgserve.imaging.messages import Ready
from imgserve.imaging.process import CannotStartWorker, Child
from imgserve.imaging.starter import Starter
from imgserve.telemetry import logs, metrics

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 30.0
# A worker that rests has about 20 MB of its own. Large pictures cut free memory into pieces that it cannot give back.
SWOLLEN_BYTES = 64 << 20


class Owner(NamedTuple):
    """The principal that a worker works for, and its role; ``drawing`` is for all principals."""

    principal: str
    role: str


class Sizes(msgspec.Struct, frozen=True):
    """``fresh``: processes that stand ready; ``least`` and ``most``: the limits of all together."""

    fresh: int
    least: int
    most: int


class Stock:
    """``sizes`` is called each time, since principals come and go."""

    def __init__(self, config: Config, sizes: Callable[[], Sizes]) -> None:
        self.starter = Starter(config, self._retire)
        self.ready = Ready("")  # the state of the worker that started last
        self._sizes = sizes
        self._fresh: deque[Child] = deque()
        self._idle: dict[Child, Owner] = {}  # in the order in which they became free
        self._resting: dict[Child, int] = {}  # idle at the last look for swollen ones, and what each had rendered
        self._members: set[Child] = set()
        self._unreaped: set[Child] = set()
        self._waiting = 0
        self._is_one_free = asyncio.Event()
        self._shortage = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self.is_closed = False

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(sorted(child.pid for child in self._unreaped if child.is_alive))

    @property
    def fresh(self) -> int:
        return len(self._fresh)

    @property
    def lacking(self) -> int:
        """The number of missing processes."""
        return max(self._sizes().least - len(self._members), 0)

    async def fill(self) -> None:
        """Start the least number of processes. Raises CannotStartWorker if one of them cannot start."""
        starts = (self.start_one() for _ in range(self.lacking))
        for result in await asyncio.gather(*starts, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            self._add(result)
        self._supervisor = asyncio.create_task(self._supervise(), name="pool supervisor")

    async def aclose(self) -> None:
        """Kill every worker and wait until all are reaped. Requests that wait for a worker get NoWorker."""
        self.is_closed = True
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])
        self._wake()
        unreaped = tuple(self._unreaped)
        for child in unreaped:
            child.kill("stopped")
        for child in unreaped:
            await child.reaped()
        await self.starter.aclose()

    async def start_one(self) -> Child:
        """A process beyond the stock; the caller ends it. Raises CannotStartWorker."""
        child = await self.starter.start()
        if self.is_closed or not child.is_alive:
            child.kill("stopped")
            await child.reaped()
            raise CannotStartWorker("the server is stopping" if self.is_closed else "it died as soon as it was ready")
        self.ready = child.ready
        self._unreaped.add(child)
        child.on_death = self._bury
        child.on_reaped(self._reaped)
        return child

    async def take(self, owner: Owner, batch: int = 0) -> Child:
        """A process for this owner only, if possible the batch's; followed by one ``give_back``. Raises NoWorker."""
        if not self.is_closed and (child := self._idle_one(owner, batch)) is not None:
            return child  # no process is missing afterwards that was not before
        self._waiting += 1
        try:
            while not self.is_closed:
                child = self._free_one(owner, batch)
                if child is not None:
                    return child
                self._balance()
                await self._is_one_free.wait()
            raise stopping()
        finally:
            self._waiting -= 1
            self._balance()

    def give_back(self, child: Child, owner: Owner) -> None:
        if child.is_retired:
            child.kill("retired")
        if child.is_alive:
            self._idle[child] = owner
            self._wake()

    def renew_swollen(self) -> None:
        """End the processes that have kept much memory, and have had no picture since the last call."""
        resting = {child: child.renders for child in self._idle}
        for child, renders in resting.items():
            if self._resting.get(child) == renders and child.own_bytes() > SWOLLEN_BYTES:
                child.kill("retired")
        self._resting = resting

    def _free_one(self, owner: Owner, batch: int) -> Child | None:
        """An idle process of the owner's, else a fresh one."""
        child = self._idle_one(owner, batch)
        return self._fresh.popleft() if child is None and self._fresh else child

    def _idle_one(self, owner: Owner, batch: int) -> Child | None:
        """The owner's process that rendered for the batch, else the one that became free last, whose memory is still
        warm.
        """
        own = [child for child in reversed(self._idle) if self._idle[child] == owner]
        child = next((child for child in own if batch and child.batch == batch), own[0] if own else None)
        if child is not None:
            del self._idle[child]
        return child

    def _wake(self) -> None:
        """A process is free: the waiting requests look for one, in the order in which they came."""
        self._is_one_free.set()
        self._is_one_free.clear()
        if not self._waiting:
            self._balance()

    def _balance(self) -> None:
        """Order the missing processes, and end some to make room if the limit is reached."""
        sizes = self._sizes()
        surplus = self._wanted(sizes) - (sizes.most - len(self._members))
        for child in list(self._idle)[: max(surplus, 0)]:
            child.kill("switched")
        if self._is_short(sizes):
            self._shortage.set()

    def _wanted(self, sizes: Sizes) -> int:
        """The number of fresh processes to add."""
        return sizes.fresh + self._waiting - len(self._fresh)

    def _is_short(self, sizes: Sizes) -> bool:
        members = len(self._members)
        is_short = members < sizes.least or (self._wanted(sizes) > 0 and members < sizes.most)
        return is_short and not self.is_closed

    def _add(self, child: Child) -> None:
        self._members.add(child)
        self._fresh.append(child)
        self._wake()

    def _bury(self, child: Child) -> None:
        """A worker has died: order another one."""
        metrics.worker_ended(child.end)
        if child.end in ("died", "deadline"):
            logs.event("worker_ended", level=logs.WARNING, pid=child.pid, cause=child.end)
        self.starter.died(child)
        self._members.discard(child)
        self._idle.pop(child, None)
        if child in self._fresh:
            self._fresh.remove(child)
        self._balance()

    def _reaped(self, child: Child) -> None:
        self._unreaped.discard(child)
        self.starter.reaped(child)

    def _retire(self, children: Iterable[Child]) -> None:
        """Idle workers end now, the others after their picture."""
        for child in children:
            child.is_retired = True
            if child in self._idle or child in self._fresh:
                child.kill("retired")

    async def _supervise(self) -> None:
        """Start workers one after the other while any are missing; wait longer after each failure."""
        backoff_s = _FIRST_BACKOFF_S
        while True:
            await self._shortage.wait()
            self._shortage.clear()
            while self._is_short(self._sizes()):
                try:
                    self._add(await self.start_one())
                    backoff_s = _FIRST_BACKOFF_S
                except CannotStartWorker as error:
                    logs.event("worker_cannot_start", level=logs.ERROR, detail=str(error))
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)
