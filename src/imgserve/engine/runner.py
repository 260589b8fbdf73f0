"""The runner claims due jobs, runs their attempts (``attempt``), settles the results and renews the leases.

The queue decides which jobs are due, and in which order. The runner also keeps the outbox's loop running.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable

from imgserve import failpoint, timeout
from imgserve.engine.attempt import AttemptBug, Attempts, AttemptTimeout
from imgserve.engine.config import RunnerConfig
from imgserve.engine.delivery import LOOK_AGAIN_S, ClaimLost, until_room
from imgserve.engine.outbox import Outbox
from imgserve.errors import ImgserveError
from imgserve.jobs.config import Config as QueueConfig
from imgserve.jobs.model import Claim, OutputResult, Settlement
from imgserve.jobs.persist import until_stored
from imgserve.jobs.protocol import HostRoom, RunnerQueue
from imgserve.telemetry import logs
from imgserve.telemetry.stage import stage

STORAGE_PAUSE_S = 1.0
PRUNE_EVERY_S = 3600.0
# Many times as long as a step takes, so that the queue's thread serves requests in between. With half of it the 95th
# percentile of replies beside a prune of 20,000 jobs was twice as long as without one, now 1.5 times
# (docs/chaos/prune.txt).
PRUNE_PAUSE_S = 0.1
FULL_PAUSE_S = 0.05
# A client may wait for the job's end, but not notice this; beside other attempts nearly each end finds a commit in it.
SETTLE_PATIENCE_S = 0.005
RESERVED_FRACTION = 4  # a quarter of the attempts
GIVE_BACK_S = 1.2  # of the 5 s that the server has after drain_s


class Runner:
    """Claims due jobs while it has room for attempts. ``stop`` lets attempts finish, then gives the rest back.

    ``is_shared``: there are several principals. A part of the room is then reserved for those with few attempts.
    """

    def __init__(
        self,
        queue: RunnerQueue,
        attempts: Attempts,
        outbox: Outbox,
        config: RunnerConfig,
        queue_config: QueueConfig,
        is_shared: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._attempts = attempts
        self._outbox = outbox
        self._config = config
        self._queue_config = queue_config
        self._is_shared = is_shared
        self._clock = clock
        self._running: dict[asyncio.Task[None], Claim] = {}
        self._claims_of: Counter[str] = Counter()  # by host
        self._settling: dict[asyncio.Task[None], int] = {}
        self._room = asyncio.Event()
        self._loops: dict[asyncio.Task[None], bool] = {}  # whether it goes on while attempts finish
        self._is_stopping = False
        self._failures = logs.Failures()

    def start(self, *, has_work: bool = True) -> None:
        """``has_work`` False: claim nothing, which others that share the queue do."""
        for loop in (self._claim_forever, self._outbox.run) if has_work else ():
            self._keep(loop)
        self._keep(self._prune)
        self._keep(self._beat, "heartbeat_failed", is_lasting=True)
        self._keep(self._drop_lost, "heartbeat_failed", is_lasting=True)

    async def stop(self, patience_s: float) -> None:
        """Claim no more. After ``patience_s`` cancel the attempts that still run; their jobs are not charged."""
        self._is_stopping = True
        await _cancelled(task for task, is_lasting in self._loops.items() if not is_lasting)
        if under_way := [*self._running, *self._outbox.under_way]:
            await asyncio.wait(under_way, timeout=patience_s)
        rest = [*self._running, *self._outbox.under_way]
        for task in rest:
            task.cancel()
        ends_at = time.monotonic() + GIVE_BACK_S
        if rest:
            await asyncio.wait(rest, timeout=GIVE_BACK_S)
        if self._settling:
            await asyncio.wait(list(self._settling), timeout=max(ends_at - time.monotonic(), 0.0))
        await _cancelled(self._loops)

    @property
    def under_way(self) -> int:
        """The number of attempts that run."""
        return len(self._running)

    @property
    def unsettled(self) -> tuple[int, ...]:
        """The numbers of jobs with an ended attempt that is not stored yet."""
        return tuple(self._settling.values())

    def cancel(self, number: int) -> None:
        """End this job's attempt now, if there is one. A worker that renders for it is killed; its claim is lost."""
        for task, claim in self._running.items():
            if claim.number == number:
                task.cancel()

    def _keep(
        self, loop: Callable[[], Coroutine[None, None, None]], failure: str = "claiming_failed", *,
        is_lasting: bool = False,
    ) -> None:  # fmt: skip
        """Run a loop, and start it again when an error of the queue (``failure`` in the log) or a bug has ended it.
        Without it jobs would wait for a restart.
        """
        if self._is_stopping:
            return
        task = asyncio.create_task(loop())
        self._loops[task] = is_lasting

        def ended(task: asyncio.Task[None]) -> None:
            del self._loops[task]
            if task.cancelled():
                return
            error = task.exception()
            if isinstance(error, ImgserveError):
                self._failures.event(failure, code=error.code, detail=error.detail)
            else:
                logs.bug("runner_bug", error=error)
            asyncio.get_running_loop().call_later(
                STORAGE_PAUSE_S, lambda: self._keep(loop, failure, is_lasting=is_lasting)
            )

        task.add_done_callback(ended)

    async def _claim_forever(self) -> None:
        while True:
            self._room.clear()
            slow = self._slow()
            jobs = self._config.max_attempts - len(self._running) + min(slow.total(), self._config.max_attempts)
            if jobs <= 0:
                await until_room(self._room)
                continue
            reserved = self._config.max_attempts // RESERVED_FRACTION if self._is_shared() else 0
            work = await self._queue.take_work(jobs, self._clock(), reserved, self._host_room(slow))
            for claim in work.claims:
                self._spawn(claim)
            pause_s = PRUNE_EVERY_S if work.due_at is None else work.due_at - self._clock()
            if pause_s <= 0 and 0 < jobs - len(work.claims) <= reserved:
                await self._wait_for_work_or_room(LOOK_AGAIN_S)
            elif work.is_held_back:
                await self._wait_for_work_or_room(max(pause_s, FULL_PAUSE_S))
            else:
                await self._queue.wait_for_work(max(pause_s, 0.001))

    def _slow(self) -> Counter[str]:
        """The number of slow attempts by host. All attempts of a silent host are slow from their claim on, or each wave
        of its retries would take the other hosts' places until it is slow again.
        """
        slow = self._attempts.finals.slow()
        for host in self._attempts.finals.silent():
            slow[host] = max(slow[host], self._claims_of[host])
        return slow

    def _host_room(self, slow: Counter[str]) -> HostRoom:
        """How many more attempts each host may get, so that one that never answers does not hold up the others.

        A host may have most of the places at first, ``max_slow_per_host`` once it is slow, and none while the slow
        hosts together have reached their limit.
        """
        # With several principals less is kept back from a host: the last quarter of all places is reserved anyway.
        fraction = RESERVED_FRACTION * 2 if self._is_shared() else RESERVED_FRACTION
        most = self._config.max_attempts - self._config.max_attempts // fraction
        of_slow = self._config.max_slow_per_host if slow.total() < self._config.max_attempts else 0
        limited = self._attempts.finals.silent() | {host for host, count in slow.items() if count >= of_slow}
        room = dict.fromkeys(limited, of_slow)
        for host, count in self._claims_of.items():
            room[host] = room.get(host, most) - count
        return HostRoom(most, room)

    async def _wait_for_work_or_room(self, pause_s: float) -> None:
        """For when no due job may use the free room, but a new job might."""
        work = asyncio.create_task(self._queue.wait_for_work(pause_s))
        room = asyncio.create_task(self._room.wait())
        try:
            await asyncio.wait([work, room], return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
            room.cancel()

    def _spawn(self, claim: Claim) -> None:
        task = asyncio.create_task(self._attempt(claim))
        self._running[task] = claim
        self._claims_of.update(_hosts_of(claim))
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        for host in _hosts_of(self._running.pop(task)):
            self._claims_of[host] -= 1
            if not self._claims_of[host]:
                del self._claims_of[host]
        self._room.set()

    async def _attempt(self, claim: Claim) -> None:
        logs.job.set(claim.id)
        failpoint.reach("claimed")
        with stage("attempt", parent=claim.traceparent, is_outer=True) as attempt:
            settlement = await self._settlement(claim)
            attempt.code = settlement.error
            await self._store(settlement)
        failpoint.reach("settled")

    async def _settlement(self, claim: Claim) -> Settlement:
        """The attempt's settlement. A cancelled attempt is given back first."""
        try:
            async with timeout.limit(self._config.attempt_timeout_s):
                return await self._attempts.run(claim)
        except TimeoutError:
            return self._attempts.failed(claim, AttemptTimeout("the attempt took too long"))
        except asyncio.CancelledError:
            await self._store(self._give_back(claim))
            raise
        except ClaimLost:
            logs.event("claim_lost", level=logs.WARNING)
            return self._give_back(claim)  # that frees its destinations
        except Exception:  # noqa: BLE001 - one job's bug must not end the others; the line has the traceback
            logs.bug("attempt_bug")
            return self._attempts.failed(claim, AttemptBug("a fault inside imgserve ended the attempt"))

    def _give_back(self, claim: Claim) -> Settlement:
        now = self._clock()
        results = tuple(OutputResult(output.id, "retry", due_at=now) for output in claim.outputs)
        return Settlement(claim.number, claim.token, results)

    async def _store(self, settlement: Settlement) -> None:
        """Settle, also when this is cancelled: a lost settlement would hold its destinations for ever."""
        settling = asyncio.create_task(self._settle(settlement))
        self._settling[settling] = settlement.number
        settling.add_done_callback(self._settling.pop)
        await asyncio.shield(settling)

    async def _settle(self, settlement: Settlement) -> None:
        patience_s = SETTLE_PATIENCE_S if len(self._running) > 1 else 0.0
        is_ours = await until_stored(lambda: self._queue.settle(settlement, self._clock(), patience_s))
        ends = ",".join(result.status for result in settlement.results)
        logs.event("settled", number=settlement.number, ends=ends, code=settlement.error, is_ours=is_ours)

    async def _beat(self) -> None:
        """Renew the leases. An attempt that has lost its lease is cancelled before it writes."""
        while True:
            await asyncio.sleep(self._queue_config.heartbeat_s)
            await self._renew(dict(self._running))

    async def _drop_lost(self) -> None:
        """End attempts at once whose jobs were cancelled at another server."""
        while True:
            suspects = await self._queue.until_suspect()
            suspected = {task: claim for task, claim in self._running.items() if claim.number in suspects}
            if suspected:
                await self._renew(suspected)

    async def _renew(self, running: dict[asyncio.Task[None], Claim]) -> None:
        ours = await self._queue.heartbeat(tuple(running.values()), self._clock())
        for task, claim in running.items():
            if claim.number not in ours:
                task.cancel()

    async def _prune(self) -> None:
        while True:
            jobs, is_done = 0, False
            try:
                while not is_done:
                    step = await self._queue.prune(self._clock())
                    jobs, is_done = jobs + step.jobs, step.is_done
                    await asyncio.sleep(PRUNE_PAUSE_S)
            except ImgserveError as error:
                logs.event("pruning_failed", level=logs.WARNING, code=error.code, detail=error.detail)
            if jobs:
                logs.event("pruned", jobs=jobs)
            await asyncio.sleep(PRUNE_EVERY_S)


async def _cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel these, and wait for their ends."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


def _hosts_of(claim: Claim) -> frozenset[str]:
    return frozenset(output.spec.placement.destination.origin for output in claim.outputs)
