"""Slots of pictures on demand: how many are made at once, and how many clients wait until theirs is begun.

A client that waits here holds no picture and no worker, only its connection, with what of its body has been read ahead
(uvicorn stops at 64 KB). The next slot goes to the principal with the fewest, and of one principal to the client
network with the fewest. Asked by ``ondemand`` for each picture.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import NamedTuple

from imgserve.engine.config import OnDemandConfig
from imgserve.engine.intake import Draining
from imgserve.errors import ImgserveError
from imgserve.limiter import Key, Limiter
from imgserve.request.principal import Principal
from imgserve.request.source import Source
from imgserve.telemetry import gets

_RANKED = 2  # by principal, then by client network


class OnDemandFull(ImgserveError):
    code = "on_demand_full"
    status = 503
    is_retryable = True
    title = "Too many pictures are being waited for"


class OnDemandQuotaFull(ImgserveError):
    code = "on_demand_quota_full"
    status = 429
    is_retryable = True
    title = "Your quota of pictures that are being waited for is full"


class _Quota(NamedTuple):
    """``key`` bounds the slots; ``requests``, those that have a slot or wait for one. ``whose``: empty where the client
    can do nothing about it.
    """

    key: Key
    requests: int
    whose: str


class Slots:
    """``fraction``: the part of slots and of waiting requests that each of several principals may have, and of that
    part one client network. ``host_fraction``: that for sources on one host.
    """

    def __init__(self, config: OnDemandConfig, fraction: float, host_fraction: float) -> None:
        self._slots = Limiter(config.max_at_once, _RANKED)
        self._max_waiting = config.max_waiting
        self._patience_s = config.patience_s
        self._fraction = fraction
        self._host_fraction = host_fraction
        self._requests = 0  # that have a slot or wait for one
        self._waits: set[asyncio.Timeout] = set()
        self.is_draining = False
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @property
    def held(self) -> int:
        return self._slots.held

    @property
    def waiting(self) -> int:
        return self._slots.waiting

    @property
    def max_per_principal(self) -> int:
        """The pictures of one of several principals that may be made at once."""
        return max(int(self._slots.total * self._fraction), 1)

    def check_open(self) -> None:
        """Raises Draining."""
        if self.is_draining:
            raise Draining("the server is stopping", "send the request again in a moment")

    async def drain(self) -> None:
        """Refuse all that wait, and return when no picture is made."""
        self.is_draining = True
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(0.0)
        await self._is_idle.wait()

    @contextlib.asynccontextmanager
    async def slot(
        self, principal: Principal, source: Source | None = None, client: str = "", *, may_wait: bool = True
    ) -> AsyncIterator[None]:
        """Hold a slot, after a wait where none is free and ``may_wait``. ``client`` is the network of one who asks
        without a key.

        Raises OnDemandFull, OnDemandQuotaFull: at once if too many wait already, else after the wait; Draining.
        """
        self.check_open()
        quotas = self._quotas(principal, source, client)
        keys = [quota.key for quota in quotas]
        self._requests += 1
        self._is_idle.clear()
        try:
            if not self._slots.take(*keys):
                if not may_wait:
                    raise self._refusal(quotas, "")
                await self._wait(quotas, keys)
            try:
                yield
            finally:
                self._slots.release(*keys)
        finally:
            self._requests -= 1
            if not self._requests:
                self._is_idle.set()

    async def _wait(self, quotas: list[_Quota], keys: list[Key]) -> None:
        if self.held + self.waiting >= self._slots.total + self._max_waiting or any(map(self._is_used_up, quotas)):
            raise self._refusal(quotas, "")
        try:
            with gets.stage("queue"):
                async with asyncio.timeout(self._patience_s) as wait:
                    self._waits.add(wait)
                    try:
                        await self._slots.acquire(*keys)
                    finally:
                        self._waits.remove(wait)
        except TimeoutError:
            self.check_open()
            raise self._refusal(quotas, f", and none was finished within {self._patience_s:g} s") from None

    def _quotas(self, principal: Principal, source: Source | None, client: str) -> list[_Quota]:
        part = self._fraction if principal.has_quota else 1.0
        quotas = [self._quota(f"of {principal.id}", part, "with this key")]
        if client:
            quotas.append(self._quota(f"for {client}", part * self._fraction, "from this network"))
        else:
            quotas.append(self._quota(f"with {principal.id}", 1.0, ""))  # what is ranked by principals alone
        if source is not None and source.origin:
            quotas.append(self._quota(f"from {source.origin}", self._host_fraction, ""))
        return quotas

    def _quota(self, name: str, fraction: float, whose: str) -> _Quota:
        slots = max(int(self._slots.total * fraction), 1)
        return _Quota(Key(name, slots), slots + math.ceil(self._max_waiting * fraction), whose)

    def _is_used_up(self, quota: _Quota) -> bool:
        return self._slots.asked(quota.key) >= quota.requests

    def _refusal(self, quotas: list[_Quota], late: str) -> ImgserveError:
        for key, _, whose in quotas:
            if whose and key.limit < self._slots.total and self._slots.asked(key) >= key.limit:
                what = f"{self._slots.asked(key)} pictures are being waited for {whose}, which is its quota{late}"
                return OnDemandQuotaFull(what, "wait for one of them")
        return OnDemandFull(f"too many pictures are being waited for, or too many of one host{late}", "try again later")
