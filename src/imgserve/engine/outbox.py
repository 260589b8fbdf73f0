"""The outbox: what remains to be sent after an end: writes to destinations, and messages to webhooks.

A loop claims due entries, and a sender for each kind acts. An entry is tried again until it is done or its time has
passed. The entries of one host wait in a line of their own, so that they do not hold up those of other hosts.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from imgserve import failpoint
from imgserve.engine import webhooks
from imgserve.engine.delivery import ClaimLost, Deliveries, Kept, Overtaken
from imgserve.engine.existing import Existing
from imgserve.engine.host_turns import HostTurns
from imgserve.engine.placeholder import Placeholders
from imgserve.errors import ImgserveError
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.model import Message, OutboxEntry, OutboxKind, OutboxOutcome, SentMessage
from imgserve.jobs.persist import until_stored
from imgserve.jobs.protocol import OutboxQueue
from imgserve.jobs.retry import FIRST_DELAY_S, backoff
from imgserve.telemetry import logs
from imgserve.telemetry.stage import stage
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DeliveryFailed, NotOurs

LOOK_EVERY_S = 3600.0

# The status that a webhook's host answered; None for a write.
Sender = Callable[[OutboxEntry], Awaitable[int | None]]


class _Try(NamedTuple):
    """How a try ended. ``outcome`` None: it has not been one. ``sent`` is for a webhook's log."""

    outcome: OutboxOutcome | None
    sent: SentMessage | None = None


def senders(
    deliveries: Deliveries,
    placeholders: Placeholders,
    existing: Existing,
    transfers: Transfers,
    timeout_s: float,
    wall_clock: Callable[[], float] = time.time,
) -> dict[OutboxKind, Sender]:
    """How an entry of each kind is sent, a write within ``timeout_s``. A refused deletion becomes a failure picture.

    After a crash of intake it is not known whether an output has kept what lies there, so ``existing`` is asked again.
    """

    async def send_error_image(entry: OutboxEntry) -> None:
        output, keeps = entry.output, existing.guard_of(entry.output)
        with await placeholders.failed(output.spec.rendering, output.principal) as picture:
            await deliveries.write(output, "failed", entry.token, picture, timeout_s, keeps=keeps)

    async def delete(entry: OutboxEntry) -> None:
        try:
            await deliveries.delete(entry.output, entry.token, timeout_s, keeps=existing.guard_of(entry.output))
        except DeliveryFailed as error:
            if error.is_retryable:
                raise
            # It allows writes alone, so the placeholder can still be replaced.
            logs.event("deletion_refused", output=entry.output.id, detail=error.detail)
            await send_error_image(entry)

    async def notify(entry: OutboxEntry) -> int:
        assert entry.message is not None
        return await webhooks.send(entry.message, transfers, wall_clock())

    return {"error_image": send_error_image, "deletion": delete, "webhook": notify}


class Outbox:
    """``run`` is the loop, which its caller starts again after an error; ``under_way`` are the tries that it has
    started, which go on when it ends.

    All that is due is claimed, ``max_at_once`` entries at a time, and waits in memory for one of its host's turns, or
    is put off: what the queue hands out first may be for a slow host.
    """

    def __init__(
        self,
        queue: OutboxQueue,
        senders: Mapping[OutboxKind, Sender],
        max_at_once: int,
        retry_delay_s: float = FIRST_DELAY_S,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._senders = senders
        self._max_at_once = max_at_once
        self._retry_delay_s = retry_delay_s
        self._clock = clock
        self._jitter = jitter
        self._turns = HostTurns(max_at_once)
        self._in_line: set[asyncio.Task[None]] = set()
        self.under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        try:
            await self._claim_forever()
        finally:
            for task in self._in_line:
                task.cancel()  # its claim ends by itself

    async def _claim_forever(self) -> None:
        while True:
            work = await self._queue.take_outbox(self._max_at_once, self._clock())
            for entry in work.entries:
                task = asyncio.create_task(self._send_in_turn(entry))
                self._in_line.add(task)
                task.add_done_callback(self._ended)
            pause_s = LOOK_EVERY_S if work.due_at is None else work.due_at - self._clock()
            await self._queue.wait_for_outbox(max(pause_s, 0.001))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._in_line.discard(task)
        self.under_way.discard(task)

    async def _send_in_turn(self, entry: OutboxEntry) -> None:
        turn = self._turns.of(_host_of(entry))
        if not await self._turns.take(turn):
            await self._put_off(entry, turn.standing.put_off_s)
            return
        task = asyncio.current_task()
        assert task is not None
        self._in_line.discard(task)
        self.under_way.add(task)
        with self._turns.running(turn):
            await self.send(entry)

    async def _put_off(self, entry: OutboxEntry, delay_s: float) -> None:
        """With all that are due for the same host, so that they do not hold up others in the queue."""
        _log("outbox_put_off", entry, level=logs.DEBUG)
        now = self._clock()
        with contextlib.suppress(StorageFailing):  # then its claim ends by itself
            await self._queue.put_off(entry, now, now + delay_s)

    async def send(self, entry: OutboxEntry) -> None:
        """One try. When none can be stored now, the entry becomes due again as its claim ends."""
        logs.job.set(entry.id)
        try:
            outcome, sent = await self._try(entry)
        except StorageFailing as error:
            logs.event("storage_failing", level=logs.WARNING, detail=error.detail)
            return
        if outcome is not None:
            await until_stored(lambda: self._queue.settle_entry(entry, outcome, self._clock(), sent))
        if entry.message is not None:
            webhooks.count_end(outcome)
            failpoint.reach("webhook_settled")
        elif outcome == "done":
            failpoint.reach("failed_paid")

    async def _try(self, entry: OutboxEntry) -> _Try:
        started = time.monotonic()
        try:
            with stage("outbox", parent=entry.traceparent, is_outer=True):
                status = await self._senders[entry.kind](entry)
        except (Overtaken, NotOurs, Kept):
            return _Try("cancelled")
        except ClaimLost:
            return _Try(None)
        except StorageFailing:
            raise
        except ImgserveError as error:
            _log("outbox_failed", entry, code=error.code, detail=error.detail)
            return self._failed(entry, error, started)
        except Exception:  # noqa: BLE001 - as in an attempt: a bug must not keep the destination held for ever
            logs.bug("outbox_bug", entry=entry.entry_id)
            return self._failed(entry, ImgserveError("a fault inside imgserve ended the try"), started)
        _log("outbox_done", entry)
        return _Try("done", None if status is None else webhooks.log_entry(status, None, started))

    def _failed(self, entry: OutboxEntry, error: ImgserveError, started: float) -> _Try:
        """The time of the next try. An entry past its time is abandoned."""
        now = self._clock()
        if entry.message is not None:
            outcome = webhooks.next_step(entry, error, now, self._jitter())
            return _Try(outcome, webhooks.log_entry(None, error, started))
        if now > entry.until:
            logs.event("placeholder_left", level=logs.WARNING, output=entry.output.id)
            return _Try("abandoned")
        return _Try(now + backoff(entry.attempts, self._jitter(), self._retry_delay_s))


def _host_of(entry: OutboxEntry) -> str:
    if entry.message is not None:
        return webhooks.host_of(entry.message)
    return entry.output.spec.placement.destination.origin


def _log(action: str, entry: OutboxEntry, *, level: int = logs.INFO, code: str = "", detail: str = "") -> None:
    """With the output or the message that the entry is about."""
    about = entry.content
    output, message = (None, about.id) if isinstance(about, Message) else (about.id, None)
    logs.event(action, level=level, output=output, message=message, code=code, detail=detail)
