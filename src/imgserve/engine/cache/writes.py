"""The answers that wait to be written to the disk, and the threads that write them.

``cache`` adds each answer that it was given, and looks here for those that are not on the disk yet. An answer that
cannot be written still takes the older one of its key off the disk. On the event loop; ``_fill`` and what it calls are
in threads.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial

import msgspec

from imgserve.blob import Blob
from imgserve.engine.cache.body import OpenBody
from imgserve.engine.cache.entry import Header, Key
from imgserve.engine.cache.health import Health
from imgserve.engine.cache.memory import Hit, hit_of
from imgserve.engine.cache.names import charge_of
from imgserve.engine.cache.purge import Records, Work, is_refused
from imgserve.engine.cache.store import Store
from imgserve.engine.cache.upkeep import Upkeep

# Of answers that wait to be written; a disk that is slower than the renders gets fewer of them.
_MAX_WAITING_BYTES = 64_000_000
# Answers that come within this time are written by one call of a thread, after they have been sent. Each call takes the
# interpreter's lock away from the event loop several times.
_GATHER_S = 0.1


class _Waiting(msgspec.Struct, frozen=True):
    """``body`` is bytes or a blob of its own; None: it cannot be written now, and its older file is being deleted."""

    work: Work
    header: Header
    body: bytes | Blob | None


class Writes:
    def __init__(
        self,
        store: Store,
        records: Records,
        health: Health,
        upkeep: Upkeep,
        pool: Executor,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._records = records
        self._health = health
        self._upkeep = upkeep
        self._pool = pool
        self._clock = clock
        self._waiting: dict[Key, _Waiting] = {}
        self._waiting_bytes = 0
        self._running: set[asyncio.Future[None]] = set()
        self._gathered: list[tuple[Callable[[], None], asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None  # while some are gathered
        self.skipped = 0

    def __contains__(self, key: Key) -> bool:
        """The file of this key is about to be replaced or deleted."""
        return key in self._waiting

    def hit(self, key: Key) -> Hit | None:
        """An answer that waits. The caller closes it."""
        waiting = self._waiting.get(key)
        if waiting is None or waiting.body is None or waiting.work.is_void:
            return None
        if isinstance(waiting.body, bytes):
            return hit_of(waiting.header, waiting.body)
        try:
            return hit_of(waiting.header, OpenBody(os.dup(waiting.body.fd), 0, waiting.body.size))
        except OSError:  # too many open files: a miss
            return None

    async def ended(self) -> None:
        """Return when the answers that were added until now are on the disk. None of them is gathered any longer."""
        while self._running:
            self._start()
            await asyncio.wait(self._running)

    def add(self, work: Work, header: Header, body: bytes | Blob) -> asyncio.Future[None]:
        """Write it, or delete the older entry there if it cannot be written now. The result comes when that is done.

        A blob stays the caller's.
        """
        # With a block for the header, which is rarely longer.
        size = charge_of(body.size if isinstance(body, Blob) else len(body)) + charge_of(1)
        if self._has_room(header, size):
            waiting = _Waiting(work, header, body.share() if isinstance(body, Blob) else body)
            future = self._soon(partial(self._fill, waiting))
        else:
            waiting, size = _Waiting(work, header, None), 0
            future = self._soon(partial(self._remove_older, work.key))
            self.skipped += header.meta.status < 400
        self._waiting[work.key] = waiting
        self._waiting_bytes += size
        self._running.add(future)

        def done(future: asyncio.Future[None]) -> None:
            self._running.discard(future)
            self._waiting_bytes -= size
            if self._waiting.get(work.key) is waiting:
                del self._waiting[work.key]
            if isinstance(waiting.body, Blob):
                waiting.body.close()

        future.add_done_callback(done)
        return future

    def _soon(self, call: Callable[[], None]) -> asyncio.Future[None]:
        """Together with those that come in the next moment."""
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_later(_GATHER_S, self._start)
        future = loop.create_future()
        self._gathered.append((call, future))
        return future

    def _start(self) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        gathered, self._gathered = self._gathered, []
        calls, futures = zip(*gathered, strict=True)

        def ended(run: asyncio.Future[None]) -> None:
            error = run.exception()  # of a bug: troubles of the disk are dealt with below
            for future in futures:
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)

        asyncio.wrap_future(self._pool.submit(_run, calls)).add_done_callback(ended)

    def _has_room(self, header: Header, size: int) -> bool:
        return (
            self._upkeep.has_room(size, self._waiting_bytes)
            and self._waiting_bytes + size <= _MAX_WAITING_BYTES
            and self._health.may_write
            and header.meta.status < 400  # an error lasts for seconds, and many of them would push pictures out
        )

    def _fill(self, waiting: _Waiting) -> None:
        """Where it cannot be written, the older entry goes too."""
        header, body = waiting.header, waiting.body or b""

        def is_wanted() -> bool:
            return not waiting.work.is_void and not is_refused(header, self._records.pending)

        is_placed = False
        with self._health.watched():
            is_placed = self._store.write(header, body, self._clock(), is_wanted)
        if is_placed:
            self._health.worked("entries")
        elif is_wanted():
            self._remove(header.key)

    def _remove_older(self, key: Key) -> None:
        self._store.wait_for_naming()  # of a write that was made void just after its last look
        self._remove(key)

    def _remove(self, key: Key) -> None:
        with self._health.watched():
            self._store.remove(key.name)


def _run(calls: Sequence[Callable[[], None]]) -> None:
    for call in calls:
        call()
