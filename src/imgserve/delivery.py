"""One write to one destination, under that destination's lock: the road that placeholders, finals and failure pictures
share. Intake and runner call it; the queue decides who may write, the transfers write.

The lock stays held when a write has ended: the transaction that reports its result frees it.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine

from imgserve import failpoint, logs
from imgserve.blob import Blob
from imgserve.errors import ImgserveError
from imgserve.jobs.job import Intent
from imgserve.jobs.queue import Busy, Granted, Queue
from imgserve.spec.destination import Destination
from imgserve.transfer.dispatch import Delivery, Transfers, Write
from imgserve.transfer.faults import DeliveryUnknown

PATIENCE_S = 5.0


class Overtaken(ImgserveError):
    """A newer job has the destination; nothing was written."""

    code = "overtaken"
    title = "A newer job has the destination"


class ClaimLost(ImgserveError):
    """Token or lease are no longer ours; nothing was written."""

    code = "claim_lost"
    title = "The attempt is no longer this runner's"


class Deliveries:
    """The writes in flight of this process, one a destination."""

    def __init__(self, queue: Queue, transfers: Transfers, clock: Callable[[], float] = time.time) -> None:
        self._queue = queue
        self._transfers = transfers
        self._clock = clock
        self._in_flight: dict[str, asyncio.Task[Delivery | None]] = {}

    async def write(self, intent: Intent, destination: Destination, blob: Blob, write: Write) -> Delivery:
        """Deliver ``blob``. Raises Overtaken, ClaimLost, StorageFailing and what the transfer raises.

        DeliveryUnknown also when a newer job's write broke this one off.
        """
        await self._hold(intent, destination)
        delivered = await self._fly(intent, self._transfers.deliver(destination, blob, write))
        assert delivered is not None
        return delivered

    async def delete(self, intent: Intent, destination: Destination, write: Write) -> None:
        await self._hold(intent, destination)
        await self._fly(intent, self._transfers.delete(destination, write))

    async def _hold(self, intent: Intent, destination: Destination) -> None:
        asked_at = self._clock()
        while True:
            answer = await self._queue.acquire(intent, self._clock())
            if isinstance(answer, Granted):
                failpoint.reach(f"{intent.kind}_locked")
                return
            if not isinstance(answer, Busy):
                if answer.why == "overtaken":
                    raise Overtaken("a newer job writes to this destination")
                raise ClaimLost("the attempt was given to another runner")
            await self._wait(intent, answer, asked_at + PATIENCE_S - self._clock(), is_form=destination.kind == "form")

    async def _wait(self, intent: Intent, busy: Busy, patience_s: float, *, is_form: bool) -> None:
        if busy.until is not None:
            await asyncio.sleep(max(busy.until - self._clock(), 0.0) + 0.001)
            return
        await self._queue.until_free(intent.key, max(patience_s, 0.0) if not is_form else PATIENCE_S)
        if patience_s <= 0.05 and not is_form:
            self._break_off(intent.key)
            await self._queue.until_free(intent.key, 0.1)

    def _break_off(self, key: str) -> None:
        flight = self._in_flight.get(key)
        if flight is not None and not flight.done():
            logs.event("write_broken_off", reason="a newer job has waited long enough")
            flight.cancel()

    async def _fly(self, intent: Intent, transfer: Coroutine[None, None, Delivery | None]) -> Delivery | None:
        flight = asyncio.create_task(transfer)
        self._in_flight[intent.key] = flight
        try:
            with logs.stage(f"deliver_{intent.kind}", number=intent.number, output=intent.output_id):
                await asyncio.wait([flight])
                if flight.cancelled():
                    raise DeliveryUnknown("the write was broken off for a newer job's")
                outcome = flight.result()
        finally:
            if not flight.done():
                flight.cancel()
                with contextlib.suppress(asyncio.CancelledError, ImgserveError):
                    await flight
            if self._in_flight.get(intent.key) is flight:
                del self._in_flight[intent.key]
        failpoint.reach(f"{intent.kind}_sent")
        return outcome
