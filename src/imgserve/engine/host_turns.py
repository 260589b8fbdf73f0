"""Turns of hosts, so that none holds up what is to be sent to the others. Called by ``outbox``."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from imgserve.engine.delivery import Underway
from imgserve.limiter import Key, Limiter

# With the longest delivery it is shorter than a claim.
MAX_WAIT_S = 30.0
# So many entries of all hosts wait in memory for their turn, and then only those of hosts that have none there yet.
MAX_WAITING = 512
_REMEMBERED_HOSTS = 1024


class Standing(NamedTuple):
    """What a host may have that is known to answer, or to be silent, or is new.

    ``in_line``: so many of its entries wait in memory for their turn. The others are put off for ``put_off_s``.
    ``is_limited``: the turns of all hosts of this standing together are limited.
    """

    name: str
    in_line: int
    put_off_s: float
    is_limited: bool = True


# A host that takes 10 ms for a message takes its line in the time after which the next ones come back.
ANSWERING = Standing("answering", 128, 1.0, is_limited=False)
# Its first message shows whether it answers, so the others wait.
NEW = Standing("new", 8, 1.0)
SILENT = Standing("silent", 4, 30.0)


class Turn(NamedTuple):
    """A turn that a host asks for, by its standing at that time. ``own`` limits the host, ``keys`` include it."""

    host: str
    standing: Standing
    own: Key
    keys: tuple[Key, ...]


class HostTurns:
    """Half of ``max_at_once`` are for one host, and three times as many for all. Silent hosts have ``max_at_once`` of
    them at most, and so have hosts of which nothing is known yet, one each.
    """

    def __init__(self, max_at_once: int) -> None:
        self._max_at_once = max_at_once
        self._max_per_host = max(max_at_once // 2, 1)
        self._limiter = Limiter(3 * max_at_once)
        self._underway = Underway()
        self._answering: dict[str, None] = {}  # hosts that have, the latest last

    def of(self, host: str) -> Turn:
        standing = self._standing_of(host)
        own = Key(host, 1 if standing is NEW else self._max_per_host)
        all_of_it = (Key(standing.name, self._max_at_once),) if standing.is_limited else ()
        return Turn(host, standing, own, (own, *all_of_it))

    async def take(self, turn: Turn) -> bool:
        """Wait for it, then ``running`` gives it back. False: it would take too long."""
        in_line = turn.standing.in_line if self._limiter.waiting < MAX_WAITING else 0
        if self._limiter.asked(turn.own) >= turn.own.limit + in_line:
            return False
        try:
            async with asyncio.timeout(MAX_WAIT_S):
                await self._limiter.acquire(*turn.keys)
        except TimeoutError:
            return False
        return True

    @contextlib.contextmanager
    def running(self, turn: Turn) -> Iterator[None]:
        """The block is one try."""
        try:
            with self._underway.to(turn.host):
                yield
            self._note_answer(turn.host)
        finally:
            self._limiter.release(*turn.keys)

    def _standing_of(self, host: str) -> Standing:
        if host in self._underway.silent() or self._underway.slow()[host]:
            return SILENT
        return ANSWERING if host in self._answering else NEW

    def _note_answer(self, host: str) -> None:
        self._answering.pop(host, None)
        self._answering[host] = None
        if len(self._answering) > _REMEMBERED_HOSTS:
            del self._answering[next(iter(self._answering))]
