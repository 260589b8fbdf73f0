"""Debts of failed jobs: each replaces a placeholder by a failure picture, or deletes it.

The runner claims due debts and hands them here one by one. A debt is tried again until it is paid or 72 h have passed.
A host with several slow debts gets no more of them for now, so that it cannot hold up the debts to other hosts.
"""

import random
import time
from collections import Counter
from collections.abc import Callable

from imgserve import failpoint
from imgserve.engine.delivery import ClaimLost, Deliveries, Overtaken, Underway
from imgserve.engine.placeholder import Placeholders
from imgserve.errors import ImgserveError
from imgserve.jobs.model import DebtClaim, DebtOutcome
from imgserve.jobs.persist import until_stored
from imgserve.jobs.protocol import Queue, StorageFailing
from imgserve.jobs.retry import FIRST_DELAY_S, backoff
from imgserve.telemetry import logs
from imgserve.telemetry.stage import stage
from imgserve.transfer.faults import NotOurs


class Debts:
    def __init__(
        self,
        queue: Queue,
        deliveries: Deliveries,
        placeholders: Placeholders,
        delivery_timeout_s: float,
        max_slow_per_host: int,
        retry_delay_s: float = FIRST_DELAY_S,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._deliveries = deliveries
        self._placeholders = placeholders
        self._delivery_timeout_s = delivery_timeout_s
        self._max_slow_per_host = max_slow_per_host
        self._retry_delay_s = retry_delay_s
        self._clock = clock
        self._jitter = jitter
        self._under_way = Underway()

    def slow(self) -> Counter[str]:
        """How many debts take long, by peer."""
        return self._under_way.slow()

    async def pay(self, debt: DebtClaim) -> None:
        """One try. When none can be made now the debt falls due again by itself, uncharged, as its claim ends."""
        logs.job.set(debt.id)
        try:
            outcome = await self._try(debt)
        except StorageFailing as error:
            logs.event("storage_failing", level=logs.WARNING, detail=error.detail)
            return
        if outcome is not None:
            await until_stored(lambda: self._queue.settle_debt(debt, outcome, self._clock()))
        if outcome == "paid":
            failpoint.reach("failed_paid")

    async def _try(self, debt: DebtClaim) -> DebtOutcome | None:
        try:
            peer = debt.output.spec.placement.destination.peer
            if self.slow()[peer] >= self._max_slow_per_host:
                logs.event("debt_put_off", level=logs.DEBUG, output=debt.output.id)
                return None
            with stage("debt", parent=debt.traceparent, is_outer=True), self._under_way.to(peer):
                await self._replace(debt)
        except (Overtaken, NotOurs):
            return "overtaken"
        except ClaimLost:
            return None
        except StorageFailing:
            raise
        except ImgserveError as error:
            logs.event("debt_unpaid", output=debt.output.id, code=error.code)
            return self._unpaid(debt)
        except Exception:  # noqa: BLE001 - as in an attempt: a bug must not keep the destination held for ever
            logs.bug("debt_bug", output=debt.output.id)
            return self._unpaid(debt)
        logs.event("debt_paid", output=debt.output.id)
        return "paid"

    def _unpaid(self, debt: DebtClaim) -> DebtOutcome:
        """The time of the next try. A failure picture past its time has had this last try, and is given up."""
        now = self._clock()
        if now > debt.owed_until:
            logs.event("placeholder_left", level=logs.WARNING, output=debt.output.id)
            return "given_up"
        return now + backoff(debt.attempts, self._jitter(), self._retry_delay_s)

    async def _replace(self, debt: DebtClaim) -> None:
        output, timeout_s = debt.output, self._delivery_timeout_s
        if output.spec.placement.on_failure == "delete":
            await self._deliveries.delete(output, debt.token, timeout_s)
            return
        drawn = await self._placeholders.failed(output.spec.rendering, output.caller)
        await self._deliveries.write(output, "failed", debt.token, drawn.blob, timeout_s)
