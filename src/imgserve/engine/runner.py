"""The runner: claims due jobs, has ``attempt.py`` carry them out, settles the results, and renews the leases.

The queue decides which jobs are due and in which order. The outbox has a loop of its own (``outbox``), which the runner
keeps running and ends with its own.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Coroutine

from imgserve import failpoint, timeout
from imgserve.engine.attempt import AttemptBug, Attempts, AttemptTimeout
from imgserve.engine.config import RunnerConfig
from imgserve.engine.delivery import ClaimLost
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
# Many times as long as a step takes: the queue's thread is the others' meanwhile. With half of it the 95th percentile
# of others' replies beside a prune of 20,000 jobs was twice as long, now 1.5 times (docs/chaos/prune.txt).
PRUNE_PAUSE_S = 0.1
FULL_PAUSE_S = 0.05
KEPT_PART = 4
LOOK_AGAIN_S = 0.5
GIVE_BACK_S = 1.2  # of the 5 s that the server has after drain_s


class Runner:
    """Claims due jobs as long as it has room; ``stop`` lets attempts finish, then gives the rest back uncharged.

    ``is_shared``: there are several callers; then a part of the room is reserved for those with few jobs under way.
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
        self._loops: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def start(self) -> None:
        for loop in (self._claim_forever, self._outbox.run, self._beat, self._prune):
            self._keep(loop)

    async def stop(self, patience_s: float) -> None:
        """Claim no more; after ``patience_s`` cancel the attempts that still run. Nothing is charged to any job."""
        self._is_stopping = True
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
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

    @property
    def unsettled(self) -> tuple[int, ...]:
        """Numbers of the jobs whose attempt has ended, which is not stored yet."""
        return tuple(self._settling.values())

    def break_off(self, number: int) -> None:
        """End this job's attempt now, if there is one; a worker that renders for it is killed. Its claim is lost."""
        for task, held in self._running.items():
            if held.number == number:
                task.cancel()

    def _keep(self, loop: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run a loop, and again after a bug has ended it: without one of them, jobs would wait for a restart."""
        if self._is_stopping:
            return
        task = asyncio.create_task(loop())
        self._loops.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._loops.discard(task)
            if not task.cancelled():
                logs.bug("runner_bug", error=task.exception())
                asyncio.get_running_loop().call_later(STORAGE_PAUSE_S, self._keep, loop)

        task.add_done_callback(ended)

    async def _claim_forever(self) -> None:
        while True:
            self._room.clear()
            slow = self._slow()
            jobs = self._config.max_attempts - len(self._running) + min(slow.total(), self._config.max_attempts)
            if jobs <= 0:
                await self._wait_for_room()
                continue
            kept = self._config.max_attempts // KEPT_PART if self._is_shared() else 0
            try:
                work = await self._queue.take_work(jobs, self._clock(), kept, self._host_room(slow))
            except ImgserveError as error:  # a fault in one claim must not end all claiming
                logs.event("claiming_failed", level=logs.WARNING, code=error.code, detail=error.detail)
                await asyncio.sleep(STORAGE_PAUSE_S)
                continue
            for claim in work.claims:
                self._spawn(claim)
            pause_s = PRUNE_EVERY_S if work.due_at is None else work.due_at - self._clock()
            if pause_s <= 0 and 0 < jobs - len(work.claims) <= kept:
                await self._wait_for_work_or_room(LOOK_AGAIN_S)
            elif work.is_held_back:
                await self._wait_for_work_or_room(max(pause_s, FULL_PAUSE_S))
            else:
                await self._queue.wait_for_work(max(pause_s, 0.001))

    def _slow(self) -> Counter[str]:
        """Attempts that take long, by host. All of a silent host's do, from their claim on: else each wave of its
        retries would have the others' places until it is known to be slow.
        """
        slow = self._attempts.slow()
        for host in self._attempts.silent():
            slow[host] = max(slow[host], self._claims_of[host])
        return slow

    def _host_room(self, slow: Counter[str]) -> HostRoom:
        """How many more attempts each host may get, so that a host that accepts connections and never answers holds
        up no other host's jobs: at first not all places, ``max_slow_per_host`` once it is known to be slow, and none
        while the slow hosts together have reached their limit."""
        # Less is kept from hosts where callers share: the last quarter of a host's places must be there for the others.
        kept_part = KEPT_PART * 2 if self._is_shared() else KEPT_PART
        most = self._config.max_attempts - self._config.max_attempts // kept_part
        of_slow = self._config.max_slow_per_host if slow.total() < self._config.max_attempts else 0
        known = self._attempts.silent() | {host for host, count in slow.items() if count >= of_slow}
        left = dict.fromkeys(known, of_slow)
        for host, count in self._claims_of.items():
            left[host] = left.get(host, most) - count
        return HostRoom(most, left)

    async def _wait_for_work_or_room(self, pause_s: float) -> None:
        """The due jobs may not use the room that is left, but a new job may."""
        work = asyncio.create_task(self._queue.wait_for_work(pause_s))
        room = asyncio.create_task(self._room.wait())
        try:
            await asyncio.wait([work, room], return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
            room.cancel()

    async def _wait_for_room(self) -> None:
        """Until an attempt has ended since the room was counted, or one of them may have become slow."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S):
                await self._room.wait()

    def _spawn(self, claim: Claim) -> None:
        task = asyncio.create_task(self._attempt(claim))
        self._running[task] = claim
        self._claims_of.update(_hosts_of(claim))
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        held = self._running.pop(task)
        for host in _hosts_of(held):
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
        """The attempt's settlement, whatever ends it. A cancelled attempt is given back first."""
        try:
            async with timeout.limit(self._config.attempt_timeout_s):
                return await self._attempts.carry_out(claim)
        except TimeoutError:
            return self._attempts.failed(claim, AttemptTimeout("the attempt took too long"))
        except asyncio.CancelledError:
            await self._store(self._give_back(claim))
            raise
        except ClaimLost:
            logs.event("claim_lost", level=logs.WARNING)
            return self._give_back(claim)  # its destinations must be freed all the same
        except Exception:  # noqa: BLE001 - one job's bug must not end the others; the line has the traceback
            logs.bug("attempt_bug")
            return self._attempts.failed(claim, AttemptBug("a fault inside imgserve ended the attempt"))

    def _give_back(self, claim: Claim) -> Settlement:
        now = self._clock()
        results = tuple(OutputResult(output.id, "retry", due_at=now) for output in claim.outputs)
        return Settlement(claim.number, claim.token, results)

    async def _store(self, settlement: Settlement) -> None:
        """Settle, even if cancelled meanwhile: a lost settlement would hold its destinations for ever."""
        settling = asyncio.create_task(self._settle(settlement))
        self._settling[settling] = settlement.number
        settling.add_done_callback(self._settling.pop)
        await asyncio.shield(settling)

    async def _settle(self, settlement: Settlement) -> None:
        is_ours = await until_stored(lambda: self._queue.settle(settlement, self._clock()))
        ends = ",".join(result.status for result in settlement.results)
        logs.event("settled", number=settlement.number, ends=ends, code=settlement.error, is_ours=is_ours)

    async def _beat(self) -> None:
        """Prolong leases; an attempt whose lease is lost is broken off before it writes."""
        while True:
            await asyncio.sleep(self._queue_config.heartbeat_s)
            held = dict(self._running)
            try:
                ours = await self._queue.heartbeat(tuple(held.values()), self._clock())
            except ImgserveError as error:
                logs.event("heartbeat_failed", level=logs.WARNING, code=error.code, detail=error.detail)
                continue
            for task, claim in held.items():
                if claim.number not in ours:
                    task.cancel()

    async def _prune(self) -> None:
        while True:
            try:
                await self._prune_all()
            except ImgserveError as error:
                logs.event("pruning_failed", level=logs.WARNING, code=error.code, detail=error.detail)
            await asyncio.sleep(PRUNE_EVERY_S)

    async def _prune_all(self) -> None:
        jobs, is_done = 0, False
        while not is_done:
            step = await self._queue.prune(self._clock())
            jobs, is_done = jobs + step.jobs, step.is_done
            if not is_done:
                await asyncio.sleep(PRUNE_PAUSE_S)
        if jobs:
            logs.event("pruned", jobs=jobs)


def _hosts_of(claim: Claim) -> frozenset[str]:
    return frozenset(output.spec.placement.destination.origin for output in claim.outputs)
