"""One write of a placeholder, a final or a failure picture to one destination, under the destination's lock.

Intake, attempts and the outbox call it. The queue decides which job may write, the transfers write. The lock stays held
when a write has ended: the transaction that stores its result releases it.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator

from imgserve import failpoint
from imgserve.blob import Blob
from imgserve.errors import ImgserveError
from imgserve.jobs.model import Intent, Output, WriteKind, intent_of
from imgserve.jobs.protocol import Busy, DeliveryQueue, Granted
from imgserve.request.destination import Destination
from imgserve.request.principal import OPERATOR_ID
from imgserve.request.recipe import MEDIA_TYPE
from imgserve.telemetry import logs, metrics
from imgserve.telemetry.stage import stage
from imgserve.timeout import waiting
from imgserve.transfer.dispatch import Delivery, Transfers, Write
from imgserve.transfer.faults import DeliveryUnknown

PATIENCE_S = 5.0
SLOW_AFTER_S = 2.0
# Longer than any wait before a retry, so that a silent host is known when its jobs come back.
REMEMBER_S = 900.0
# Between two tries for a destination that a form or a newer job holds, or a cancelled write that is not yet stored.
ASK_AGAIN_S = 1.0
# How soon a loop without room looks whether a write has become slow, and so makes room.
LOOK_AGAIN_S = 0.5
STAGES: dict[WriteKind, metrics.Stage] = {
    "placeholder": "deliver_placeholder", "final": "deliver_final", "failed": "deliver_failed",
}  # fmt: skip


# After a write or a deletion there.
Written = Callable[[Destination], Awaitable[None]]
# Whether the file at a write's destination is to stay.
Keeps = Callable[[Write], Awaitable[bool]]


class Overtaken(ImgserveError):
    """A newer job has the destination; nothing was written."""

    code = "overtaken"


class ClaimLost(ImgserveError):
    """Token or lease are no longer ours; nothing was written."""

    code = "claim_lost"


class Kept(ImgserveError):
    """What lies there is to stay; nothing was written."""

    code = "kept"


class DestinationBusy(ImgserveError):
    """A placeholder's destination was not free in time for the reply."""

    code = "destination_busy"
    status = 503
    is_retryable = True
    title = "The destination is being written to"


class Underway:
    """The running writes by host, with their start times, which show the slow hosts; those to webhooks too."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[object, tuple[str, float]] = {}
        self._last_slow_at: dict[str, float] = {}

    @contextlib.contextmanager
    def to(self, origin: str) -> Iterator[None]:
        mark, since = object(), self._clock()
        self._since[mark] = (origin, since)
        try:
            yield
        finally:
            del self._since[mark]
            now = self._clock()
            if now - since > SLOW_AFTER_S:
                self._last_slow_at[origin] = now
            else:
                self._last_slow_at.pop(origin, None)

    def slow(self) -> Counter[str]:
        """The number of writes by host that take more than ``SLOW_AFTER_S``, waits included."""
        before = self._clock() - SLOW_AFTER_S
        return Counter(origin for origin, since in self._since.values() if since < before)

    def expected_slow(self) -> Counter[str]:
        """As ``slow``, with all running writes to silent hosts from their start."""
        before, silent = self._clock() - SLOW_AFTER_S, self.silent()
        return Counter(origin for origin, since in self._since.values() if since < before or origin in silent)

    def silent(self) -> frozenset[str]:
        """The hosts with a slow last write. The next ones are expected to be slow too, until one is not."""
        before = self._clock() - REMEMBER_S
        self._last_slow_at = {origin: at for origin, at in self._last_slow_at.items() if at > before}
        return frozenset(self._last_slow_at)


async def _check_kept(keeps: Keeps | None, write: Write) -> None:
    """Raises Kept."""
    if keeps is not None and await keeps(write):
        raise Kept("the file that lies there is not imgserve's")


async def until_room(room: asyncio.Event) -> None:
    """Return when a write has ended since ``room`` was cleared, or when one of them may have become slow."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOK_AGAIN_S):
            await room.wait()


class Deliveries:
    """The writes in flight, one for each destination. ``patience_s``: how long a newer job waits for an older write."""

    def __init__(
        self,
        queue: DeliveryQueue,
        transfers: Transfers,
        clock: Callable[[], float] = time.time,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._queue = queue
        self._transfers = transfers
        self._clock = clock
        self._patience_s = patience_s
        self._in_flight: dict[str, tuple[Intent, asyncio.Task[Delivery | None]]] = {}
        self._on_written: Written | None = None
        queue.when_newer(self._cancel_older)

    def when_written(self, call: Written) -> None:
        """``call`` is awaited when a final or a failure picture was written or a file deleted, or may have been."""
        self._on_written = call

    async def write(
        self,
        output: Output,
        kind: WriteKind,
        token: int,
        blob: Blob,
        timeout_s: float,
        *,
        is_held: bool = False,
        keeps: Keeps | None = None,
    ) -> Delivery:
        """Deliver ``blob``; ``is_held``: the destination's lock is held already.

        ``keeps`` tells, once it is held, whether the file there is to stay; then Kept is raised.

        A failure picture replaces only the placeholder of this output, where a file destination can tell.
        Raises Overtaken, ClaimLost, StorageFailing, DestinationBusy and the faults of the transfer; DeliveryUnknown
        also when a newer job's write ended this one.
        """
        intent = intent_of(output, kind, token)
        granted = Granted() if is_held else await self._hold(intent, output.spec.placement.destination, timeout_s)
        write = self._write(output, intent, timeout_s, granted.abandoned)
        failpoint.reach(f"{kind}_locked")
        await _check_kept(keeps, write)
        place = output.spec.placement.destination
        delivered = await self._noted(intent, place, self._transfers.deliver(place, blob, write))
        assert delivered is not None
        return delivered

    async def delete(self, output: Output, token: int, timeout_s: float, *, keeps: Keeps | None = None) -> None:
        """Delete a failed job's placeholder. Raises as ``write`` does."""
        intent, place = intent_of(output, "failed", token), output.spec.placement.destination
        await self._hold(intent, place, timeout_s)
        failpoint.reach("failed_locked")
        write = self._write(output, intent, timeout_s)
        await _check_kept(keeps, write)
        await self._noted(intent, place, self._transfers.delete(place, write))

    def _write(
        self, output: Output, intent: Intent, timeout_s: float, abandoned: tuple[tuple[int, int], ...] = ()
    ) -> Write:
        return Write(
            state=intent.kind,
            media_type=MEDIA_TYPE[output.spec.rendering.format],
            name=self._name(output.id),
            token=intent.token,
            timeout_s=timeout_s,
            abandoned=tuple((self._name(output_id), token) for output_id, token in abandoned),
            only_over=output.fingerprint if intent.kind == "failed" else None,
            etag=output.etag or "",
            principal=output.principal,
        )

    def _name(self, output_id: int) -> str:
        """For temporary files. Two servers may write to one directory, each with an output of this number."""
        return f"{self._queue.id}-o{output_id}"

    async def _hold(self, intent: Intent, destination: Destination, timeout_s: float) -> Granted:
        """Acquire the destination's lock. A placeholder, whose reply is awaited, waits ``timeout_s`` for it at most.

        Raises Overtaken, ClaimLost, StorageFailing, DestinationBusy.
        """
        if intent.kind != "placeholder":
            return await self._hold_patiently(intent, destination)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._hold_patiently(intent, destination)
        except TimeoutError:
            raise DestinationBusy(
                "the destination is being written to, or was when its server died", "send the request again"
            ) from None

    async def _hold_patiently(self, intent: Intent, destination: Destination) -> Granted:
        impatient_at: float | None = None
        while True:
            now = self._clock()
            answer = await self._queue.acquire(intent, now)
            if isinstance(answer, Granted):
                return answer
            if not isinstance(answer, Busy):
                if answer.why == "overtaken":
                    raise Overtaken("a newer job writes to this destination")
                raise ClaimLost("the attempt was given to another runner")
            if answer.until is not None:
                with waiting():
                    await asyncio.sleep(max(answer.until - now, 0.0) + 0.001)
                continue
            if impatient_at is None:
                impatient_at = now + self._patience_s
            left_s = impatient_at - now
            if left_s <= 0.0:
                left_s = ASK_AGAIN_S
                if destination.writing.is_repeatable:
                    self._cancel_older(intent)
                    self._queue.break_off(intent)
            with waiting():
                await self._queue.until_free(intent.key, left_s)

    def _cancel_older(self, newer: Intent) -> None:
        """Cancel an older write, once: a second cancellation would interrupt its cleaning up.

        Another principal's write goes on: the newer job may not even be able to write there.
        """
        if newer.key not in self._in_flight:
            return
        intent, task = self._in_flight[newer.key]
        if newer.principal not in (intent.principal, OPERATOR_ID) or task.done() or task.cancelling():
            return
        if (intent.number, intent.token) < (newer.number, newer.token):
            logs.event("write_broken_off", output=intent.output_id, by=newer.number)
            task.cancel()

    async def _noted(
        self, intent: Intent, place: Destination, transfer: Coroutine[None, None, Delivery | None]
    ) -> Delivery | None:
        try:
            return await self._fly(intent, transfer)
        finally:  # a write that seems to have failed may have changed the file too
            if self._on_written is not None and intent.kind != "placeholder":
                await self._on_written(place)

    async def _fly(self, intent: Intent, transfer: Coroutine[None, None, Delivery | None]) -> Delivery | None:
        with stage(STAGES[intent.kind], output=intent.output_id):
            flight = asyncio.create_task(transfer)  # inside the stage, so that it belongs to its trace
            entry = self._in_flight[intent.key] = intent, flight
            try:
                await _ended(flight)
                if flight.cancelled():
                    raise DeliveryUnknown("the write was broken off for a newer job's")
                outcome = flight.result()
            finally:
                if not flight.done():
                    flight.cancel()
                    with contextlib.suppress(asyncio.CancelledError, ImgserveError):
                        await flight
                if self._in_flight.get(intent.key) is entry:
                    del self._in_flight[intent.key]
        failpoint.reach(f"{intent.kind}_sent")
        return outcome


async def _ended(flight: asyncio.Task[Delivery | None]) -> None:
    """Return when it is done, as ``asyncio.wait`` of one task does in a third of the time."""
    end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(_: object) -> None:
        if not end.done():
            end.set_result(None)

    flight.add_done_callback(note)
    await end
