"""Admission to intake: load shedding, quotas of principals, caps of hosts. ``intake`` asks for a slot for each request.

A request that is not admitted is refused before any work is done for it, so neither a flood by one principal nor a
host that does not answer delays the others. Slots are shared fairly: next is the principal with the fewest.
"""

import contextlib
import math
from collections.abc import AsyncIterator, Callable, Iterable
from typing import NamedTuple

from imgserve.errors import ImgserveError
from imgserve.limiter import Key, Limiter
from imgserve.request.principal import Principal


class IntakeFull(ImgserveError):
    code = "intake_full"
    status = 503
    is_retryable = True
    title = "Too many requests wait for their reply"


class IntakeQuotaFull(IntakeFull):
    code = "intake_quota_full"
    status = 429
    title = "Too many requests of this key wait for their reply"


class _Quota(NamedTuple):
    """``key`` bounds the slots; ``requests``, those that have a slot or wait for one. ``of`` is for people."""

    key: Key
    requests: int
    of: str
    full: type[IntakeFull]


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
    ) -> None:
        self._slots = Limiter(max_at_once)
        self._max_waiting = max_waiting
        self._fraction = fraction
        self._host_fraction = host_fraction
        self._all = self._quota("", 1, "")

    @property
    def held(self) -> int:
        """The slots that requests have."""
        return self._slots.held

    @contextlib.asynccontextmanager
    async def slot(
        self,
        principal: Principal,
        source: str = "",
        destinations: Iterable[str] = (),
        check_queue: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[Callable[[], None]]:
        """Wait for a slot and hold it. Call the result when the source's header is read: its host has a slot again.

        ``check_queue`` raises the queue's refusal of the job, if it would refuse it. Raises IntakeFull, and that.
        """
        fraction, of, full = 1.0, "", IntakeFull
        if principal.has_quota:
            fraction, of, full = self._fraction, " of this key", IntakeQuotaFull
        quotas = [
            self._quota(f"of {principal.id}", fraction, of, full),
            self._all,
            *(self._quota(f"to {host}", self._host_fraction, " for results to this host") for host in destinations),
        ]
        if source:
            quotas.append(self._quota(f"from {source}", self._host_fraction / 2, " for pictures of this host"))

        def source_is_read() -> None:
            if source:
                self._slots.release(quotas.pop().key, weight=0)

        check_queue()
        self._check(quotas)
        keys = [quota.key for quota in quotas]
        has_waited = not self._slots.take(*keys)
        if has_waited:
            await self._slots.acquire(*keys)
        try:
            if has_waited:
                check_queue()  # it may have become full meanwhile
            yield source_is_read
        finally:
            self._slots.release(*(quota.key for quota in quotas))

    def _quota(self, name: str, fraction: float, of: str, full: type[IntakeFull] = IntakeFull) -> _Quota:
        """At least one slot, and one place to wait for it."""
        slots = max(int(self._slots.total * fraction), 1)
        return _Quota(Key(name, slots), slots + math.ceil(self._max_waiting * fraction), of, full)

    def _check(self, quotas: Iterable[_Quota]) -> None:
        for quota in quotas:
            if (requests := self._slots.asked(quota.key)) >= quota.requests:
                detail = f"{requests} requests{quota.of} wait for their reply, which is the limit"
                raise quota.full(detail, "try again later")
