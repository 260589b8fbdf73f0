"""The outbox: what is still owed after a job's end. A loop claims due entries, and the sender of each one's kind acts.

An entry is tried again until it is done or its time has passed. A host with several slow entries gets no more of them
for now, so that it cannot hold up the entries for other hosts.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from imgserve import failpoint
from imgserve.engine.delivery import ClaimLost, Deliveries, Overtaken, Underway
from imgserve.engine.placeholder import Placeholders
from imgserve.errors import ImgserveError
from imgserve.jobs.model import OutboxEntry, OutboxKind, OutboxOutcome
from imgserve.jobs.persist import until_stored
from imgserve.jobs.protocol import OutboxQueue, StorageFailing
from imgserve.jobs.retry import FIRST_DELAY_S, backoff
from imgserve.telemetry import logs
from imgserve.telemetry.stage import stage
from imgserve.transfer.faults import NotOurs

STORAGE_PAUSE_S = 1.0
LOOK_EVERY_S = 3600.0
LOOK_AGAIN_S = 0.5

Sender = Callable[[OutboxEntry], Awaitable[None]]


def senders(deliveries: Deliveries, placeholders: Placeholders, timeout_s: float) -> dict[OutboxKind, Sender]:
    """How an entry of each kind is sent, within ``timeout_s``."""

    async def send_error_image(entry: OutboxEntry) -> None:
        with await placeholders.failed(entry.output.spec.rendering, entry.output.principal) as picture:
            await deliveries.write(entry.output, "failed", entry.token, picture, timeout_s)

    async def delete(entry: OutboxEntry) -> None:
        await deliveries.delete(entry.output, entry.token, timeout_s)

    return {"error_image": send_error_image, "deletion": delete}


class Config(msgspec.Struct, frozen=True):
    """``max_at_once`` under way; slow ones do not count, as many again may be, and ``max_slow_per_host`` to a host."""

    max_at_once: int
    max_slow_per_host: int
    retry_delay_s: float = FIRST_DELAY_S


class Outbox:
    """``run`` is the loop; ``under_way`` are the tries that it has begun, which go on when it ends."""

    def __init__(
        self,
        queue: OutboxQueue,
        senders: Mapping[OutboxKind, Sender],
        config: Config,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._senders = senders
        self._config = config
        self._clock = clock
        self._jitter = jitter
        self._to_hosts = Underway()
        self._room = asyncio.Event()
        self.under_way: set[asyncio.Task[None]] = set()

    def slow(self) -> Counter[str]:
        """How many tries take long, by host."""
        return self._to_hosts.slow()

    async def run(self) -> None:
        while True:
            self._room.clear()
            most = self._config.max_at_once
            places = most - len(self.under_way) + min(self.slow().total(), most)
            if places <= 0:
                await self._wait_for_room()
                continue
            try:
                work = await self._queue.take_outbox(places, self._clock())
            except ImgserveError as error:  # a fault in one claim must not end all claiming
                logs.event("claiming_failed", level=logs.WARNING, code=error.code, detail=error.detail)
                await asyncio.sleep(STORAGE_PAUSE_S)
                continue
            for entry in work.entries:
                task = asyncio.create_task(self.send(entry))
                self.under_way.add(task)
                task.add_done_callback(self._ended)
            pause_s = LOOK_EVERY_S if work.due_at is None else work.due_at - self._clock()
            await self._queue.wait_for_outbox(max(pause_s, 0.001))

    async def _wait_for_room(self) -> None:
        """Until a try has ended since the room was counted, or one of them may have become slow."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN_S):
                await self._room.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.under_way.discard(task)
        self._room.set()

    async def send(self, entry: OutboxEntry) -> None:
        """One try. When none can be made now the entry falls due again by itself, uncharged, as its claim ends."""
        logs.job.set(entry.id)
        try:
            outcome = await self._try(entry)
        except StorageFailing as error:
            logs.event("storage_failing", level=logs.WARNING, detail=error.detail)
            return
        if outcome is not None:
            await until_stored(lambda: self._queue.settle_entry(entry, outcome, self._clock()))
        if outcome == "done":
            failpoint.reach("failed_paid")

    async def _try(self, entry: OutboxEntry) -> OutboxOutcome | None:
        host = entry.output.spec.placement.destination.origin
        try:
            if self.slow()[host] >= self._config.max_slow_per_host:
                logs.event("outbox_put_off", level=logs.DEBUG, output=entry.output.id)
                return None
            with stage("outbox", parent=entry.traceparent, is_outer=True), self._to_hosts.to(host):
                await self._senders[entry.kind](entry)
        except (Overtaken, NotOurs):
            return "cancelled"
        except ClaimLost:
            return None
        except StorageFailing:
            raise
        except ImgserveError as error:
            logs.event("outbox_failed", output=entry.output.id, code=error.code)
            return self._failed(entry)
        except Exception:  # noqa: BLE001 - as in an attempt: a bug must not keep the destination held for ever
            logs.bug("outbox_bug", output=entry.output.id)
            return self._failed(entry)
        logs.event("outbox_done", output=entry.output.id)
        return "done"

    def _failed(self, entry: OutboxEntry) -> OutboxOutcome:
        """The time of the next try. An entry past its time has had this last try, and is abandoned."""
        now = self._clock()
        if now > entry.until:
            logs.event("placeholder_left", level=logs.WARNING, output=entry.output.id)
            return "abandoned"
        return now + backoff(entry.attempts, self._jitter(), self._config.retry_delay_s)
