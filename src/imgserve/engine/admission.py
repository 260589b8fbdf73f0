"""Admission to intake: load shedding, quotas of principals, caps of hosts. ``intake`` asks for a slot for each request.

A request that is not admitted is refused before any work is done for it. So neither a flood by one principal, nor a
host that does not answer, keeps the others waiting. Of several principals the one with the fewest slots is next.
"""

import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import NamedTuple

from imgserve.errors import ImgserveError
from imgserve.jobs.protocol import QueueFull, QuotaFull
from imgserve.limiter import Key, Limiter
from imgserve.request.principal import Principal

# For so long a queue that has refused a job counts as full: else the probes of the refused cost more than the jobs.
FULL_FOR_S = 0.25


class IntakeFull(ImgserveError):
    code = "intake_full"
    status = 503
    is_retryable = True
    title = "Too many requests wait for their reply"


class _Quota(NamedTuple):
    """``key`` bounds the slots; ``requests``, those that have a slot or wait for one. ``of`` is for people."""

    key: Key
    requests: int
    of: str


class Admission:
    """``max_at_once`` slots, and ``max_waiting`` requests that wait for one.

    ``fraction``: the part of both that each of several principals may have. ``host_fraction``: the part that one host
    may have as a destination. As a source it has half of that, or a silent one would take all that there is for the one
    destination that many have.
    """

    def __init__(
        self,
        max_at_once: int,
        max_waiting: int,
        fraction: float,
        host_fraction: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = Limiter(max_at_once)
        self._max_waiting = max_waiting
        self._fraction = fraction
        self._host_fraction = host_fraction
        self._clock = clock
        self._refusals: dict[str, tuple[QueueFull | QuotaFull, float]] = {}  # by principal; of all of them under ""

    @contextlib.asynccontextmanager
    async def slot(
        self, principal: Principal, source: str = "", destinations: Iterable[str] = ()
    ) -> AsyncIterator[Callable[[], None]]:
        """Wait for a slot and hold it. Call the result when the source's header is read: its host has a slot again.

        Hosts are named as ``origin`` names them. Raises IntakeFull, QueueFull, ShareFull.
        """
        own_fraction, own = (self._fraction, " of this caller") if principal.has_quota else (1.0, "")
        quotas = [
            self._quota(f"of {principal.id}", own_fraction, own),
            self._quota("", 1, ""),
            *(self._quota(f"to {host}", self._host_fraction, " for results to this host") for host in destinations),
        ]
        if source:
            quotas.append(self._quota(f"from {source}", self._host_fraction / 2, " for pictures of this host"))

        def source_is_read() -> None:
            if source:
                self._slots.release(quotas.pop().key, weight=0)

        self._check_queue(principal)
        self._check(quotas)
        await self._slots.acquire(*(quota.key for quota in quotas))
        try:
            self._check_queue(principal)
            yield source_is_read
        finally:
            self._slots.release(*(quota.key for quota in quotas))

    def refused(self, error: QueueFull | QuotaFull, principal: Principal) -> None:
        """The queue has refused a job. The next ones, of this principal or of all, are refused without a probe."""
        principal_id = principal.id if isinstance(error, QuotaFull) else ""
        self._refusals[principal_id] = error, self._clock() + FULL_FOR_S

    def _check_queue(self, principal: Principal) -> None:
        for principal_id in ("", principal.id):
            error, until = self._refusals.get(principal_id, (None, 0.0))
            if error is not None and self._clock() < until:
                raise error.as_value()

    def _quota(self, name: str, fraction: float, of: str) -> _Quota:
        """One slot and one place to wait for it are always to be had."""
        slots = max(int(self._slots.total * fraction), 1)
        return _Quota(Key(name, slots), slots + math.ceil(self._max_waiting * fraction), of)

    def _check(self, quotas: Iterable[_Quota]) -> None:
        for quota in quotas:
            if (asked := self._slots.asked(quota.key)) >= quota.requests:
                detail = f"{asked} requests{quota.of} wait for their reply, which is the limit"
                raise IntakeFull(detail, "try again later")
