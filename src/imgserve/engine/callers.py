"""Callers, and their shares of the server's intake.

``api`` identifies the caller. ``intake`` gives each of several callers, and each source and destination host, a part of
its slots only: neither a flood nor a host that does not answer keeps the others waiting. A caller whose share of the
queue was full a moment ago is rejected before its source is read.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from typing import Self

from imgserve.engine.shares import Part, Parts, Shares
from imgserve.jobs.protocol import ShareFull
from imgserve.request.principal import Principal

# A full share is believed to be full for so long: a probe for each job that is refused would cost more than the jobs.
FULL_FOR_S = 0.25


class Turn:
    """``async with`` waits for a turn at intake and holds it, with the parts that it needs. Made by ``Sharing``."""

    def __init__(
        self, shares: Shares, turns: asyncio.Semaphore, parts: Parts, source: Parts, check: Callable[[], None]
    ) -> None:
        self._shares = shares
        self._turns = turns
        self._parts = parts
        self._source = source
        self._check = check

    async def __aenter__(self) -> Self:
        """Raises IntakeFull, ShareFull."""
        await self._shares.take(self._parts)
        try:
            await self._turns.acquire()
        except asyncio.CancelledError:
            self._shares.give_back(self._parts)
            raise
        try:
            self._check()
        except ShareFull:
            self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end()

    def source_is_read(self) -> None:
        """The source's header has been read: release its host's slot."""
        self._shares.give_back(self._source)
        self._parts = tuple(part for part in self._parts if part not in self._source)
        self._source = ()

    def _end(self) -> None:
        self._turns.release()
        self._shares.give_back(self._parts)


class Sharing:
    def __init__(
        self,
        max_at_once: int,
        max_waiting: int,
        share: float,
        host_share: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``share``: the part of the turns, and of the places where one waits for them, that one caller may have.

        ``host_share``: the part of the turns that one host may have as a destination. As a source it has half of that,
        and fewer places to wait, or a silent one would hold all that there is for the one destination that many have.
        """
        self._all = asyncio.Semaphore(max_at_once)
        self._shares = Shares()
        self._of_caller = _sizes(max_at_once * share, max_waiting * share)
        self._of_destination = _sizes(max_at_once * host_share, max_waiting * host_share * 1.5)
        self._of_source = _sizes(max_at_once * host_share / 2, max_waiting * host_share)
        self._full: dict[str, tuple[ShareFull, float]] = {}
        self._clock = clock

    def turn(self, principal: Principal, source: str = "", destinations: Iterable[str] = ()) -> Turn:
        """Hosts are named as ``peer`` names them."""
        from_host = (Part(f"from {source}", *self._of_source, "for pictures of this host"),) if source else ()
        parts = (
            *((Part(f"of {principal.id}", *self._of_caller, "of this caller"),) if principal.is_sharing else ()),
            *(Part(f"to {peer}", *self._of_destination, "for results to this host") for peer in destinations),
            *from_host,
        )
        return Turn(self._shares, self._all, parts, from_host, lambda: self._check(principal))

    def _check(self, principal: Principal) -> None:
        """Raises ShareFull."""
        told = self._full.get(principal.id)
        if told is not None and self._clock() < told[1]:
            raise ShareFull(told[0].detail, told[0].hint, told[0].part, told[0].retry_after_s)

    def is_full(self, error: ShareFull, principal: Principal) -> None:
        """The queue has refused this caller's job."""
        self._full[principal.id] = (error, self._clock() + FULL_FOR_S)


def _sizes(turns: float, waiting: float) -> tuple[int, int]:
    """Turns, and places in all. One can always have a turn, and wait for it."""
    whole = max(int(turns), 1)
    return whole, whole + math.ceil(waiting)
