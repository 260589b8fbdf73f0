"""The queue of one machine: a SQLite file that survives power loss, owned by one server process.

The transactions stand in modules of their own (``admission``, ``attempts``, ``outbox`` ...). This file connects them
with the event loop: group commit, wake-ups, the lock on the data directory.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from imgserve.clock import Clock, Mark
from imgserve.errors import counted, spell
from imgserve.jobs.config import Config
from imgserve.jobs.faults import DiskFull, QueueFault, QueueFull, QuotaFull, StorageFailing
from imgserve.jobs.model import (
    Accepted,
    Answer,
    Claim,
    Ended,
    Intent,
    NewJob,
    OutboxEntry,
    OutboxOutcome,
    PlaceholderResult,
    SentMessage,
    Settlement,
)
from imgserve.jobs.protocol import ANY_HOST, Busy, Denied, Granted, HostRoom, OutboxWork, Pruned, Work
from imgserve.jobs.sqlite import (
    admission,
    attempts,
    datadir,
    destinations,
    operator,
    outbox,
    placeholders,
    texts,
    uploads,
)
from imgserve.jobs.sqlite import clock as clocks
from imgserve.jobs.sqlite import prune as pruning
from imgserve.jobs.sqlite.backlog import Backlog
from imgserve.jobs.sqlite.committer import Committer
from imgserve.jobs.sqlite.connection import Connection
from imgserve.jobs.sqlite.datadir import OpenFiles
from imgserve.jobs.sqlite.end_rate import EndRate
from imgserve.jobs.sqlite.listing import Listing
from imgserve.jobs.sqlite.opening import take_over
from imgserve.jobs.sqlite.wakeups import Wakeups
from imgserve.jobs.sqlite.watches import EventWatch, Watches
from imgserve.telemetry.states import Name, State

T = TypeVar("T")

FILE_NAME = "queue.sqlite"


class SqliteQueue:
    """Build with ``open``. The methods are those of ``protocol.Queue``."""

    def __init__(
        self, data_dir: Path, config: Config, lock_fd: int, on_end: Callable[[Ended], None], clock: Clock | None
    ) -> None:
        self._data_dir = data_dir
        self._config = config
        self._lock_fd = lock_fd
        self._committer = Committer(data_dir / FILE_NAME, self._committed)
        self._clock = clock
        self._wall_of = clock.wall_of if clock else float
        self._listing = Listing(data_dir / FILE_NAME, self._wall_of)
        self.counts, self.page, self.job = self._listing.counts, self._listing.page, self._listing.job
        self.binding_of, self.webhook_log = self._listing.binding_of, self._listing.webhook_log
        self.newest_event, self.events_after = self._listing.newest_event, self._listing.events_after
        self.uploads, self.has_upload = self._listing.uploads, self._listing.has_upload
        self._on_end = on_end
        self._abandoned = self._webhooks_abandoned = 0
        self._end_rate = EndRate(0.0)  # anew when the file is taken over
        self._backlog = Backlog()  # the connection's, from then on
        self._watches = Watches()  # the connection's too
        self._epoch = 0
        self.id = ""
        self._wakeups = Wakeups()
        self.until_free = self._wakeups.until_free
        self._placeholders = placeholders.RecentPlaceholders()
        self._prune_position = pruning.Position()

    @classmethod
    async def open(
        cls, data_dir: Path, config: Config, now: float | Clock, on_end: Callable[[Ended], None] = lambda _: None
    ) -> "SqliteQueue":
        """Take the data directory over. A clock goes on where the last server's ended, and is looked at for steps.

        Raises StorageFailing, also while another server has the directory.
        """
        clock = now if isinstance(now, Clock) else None
        queue = cls(data_dir, config, datadir.lock(data_dir), on_end, clock)
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(queue.aclose)
            await queue._take_over(now)
            undo.pop_all()
        return queue

    async def _take_over(self, start: float | Clock) -> None:
        def prepare(db: Connection) -> None:
            db.wall_of = self._wall_of
            ownership = take_over(db, start, self._config, self._placeholders)
            self.id, self._epoch = ownership.id, ownership.epoch
            self._backlog, self._watches = db.backlog, db.watches
            self._end_rate = EndRate(ownership.now)

        await self._committer.open(prepare)
        self._committer.watch(OpenFiles(self._data_dir, FILE_NAME))
        self._committer.run_later(self._count_abandoned)
        datadir.sync(self._data_dir)

    def _committed(self, db: Connection) -> None:
        for end in db.take_ends():
            self._end_rate.ended(end.ended_at)
            self._wakeups.ended(end.id)
            self._on_end(end)
            if end.status != "succeeded":
                self._wakeups.outbox.set()  # its outputs may have entries from now on
        db.watches.committed()
        if db.is_outbox_filled:
            db.is_outbox_filled = False
            self._wakeups.outbox.set()
        if db.is_abandoned_changed:
            db.is_abandoned_changed = False
            self._committer.run_later(self._count_abandoned)

    def _count_abandoned(self, db: Connection) -> None:
        self._abandoned, self._webhooks_abandoned = db.execute(outbox.SQL["count_abandoned"]).get

    async def aclose(self) -> None:
        await self._listing.aclose()  # first: only a writer that is closed last empties SQLite's log into the file
        await self._committer.aclose()
        os.close(self._lock_fd)

    def states(self) -> Iterator[State]:
        if self._clock is not None:
            yield from clocks.states(self._clock, self._note)
        if self._abandoned:
            detail = (
                f"{counted(self._abandoned, 'placeholder')} of stored jobs that cannot be read will not be replaced"
            )
            yield State("placeholders_abandoned", detail)
        if self._webhooks_abandoned:
            messages = counted(self._webhooks_abandoned, "message")
            yield State("webhooks_abandoned", f"{messages} to webhooks will not be tried again")
        error = self._committer.failure or self._committer.look() or self._lack_of_room()
        if error is not None:
            name: Name = "disk_full" if isinstance(error, DiskFull) else "storage_failing"
            yield State(name, error.detail, spell(error.hint))

    def _lack_of_room(self) -> StorageFailing | None:
        return datadir.lack_of_room(self._data_dir, self._config.min_free_disk_bytes)

    def _note(self, mark: Mark) -> None:
        self._committer.run_later(lambda db: clocks.note(db, mark))

    def check_room(self, principal: str, digest: bytes, now: float, *, has_quota: bool) -> None:
        if digest in self._backlog.adoptable:
            return
        try:
            self._backlog.check(principal, self._config, has_quota=has_quota)
        except (QueueFull, QuotaFull) as error:
            error.retry_after_s = self._end_rate.retry_after_refusal_s(error, self._config, now)
            raise

    async def enqueue(
        self, job: NewJob, now: float, on_late: Callable[[Accepted], None] = lambda _: None
    ) -> Accepted | Answer:
        is_awaited = True

        def announce(entry: Accepted | Answer) -> None:
            if not is_awaited and isinstance(entry, Accepted):
                on_late(entry)

        if (lack := self._lack_of_room()) is not None:
            raise self._committer.look() or lack
        try:
            return await self._committer.run(
                lambda db: admission.enqueue(db, job, self._epoch, self._config, now), announce
            )
        except asyncio.CancelledError:
            is_awaited = False
            raise
        except (QueueFull, QuotaFull) as error:
            error.retry_after_s = self._end_rate.retry_after_refusal_s(error, self._config, now)
            raise

    def check_disk(self, size_bytes: int) -> None:
        if (lack := datadir.lack_of_room(self._data_dir, self._config.min_free_disk_bytes + size_bytes)) is not None:
            raise lack

    async def release_uploads(self, now: float) -> tuple[str, ...]:
        return await self._committer.run(lambda db: uploads.release(db, now))

    async def activate(self, number: int, placeholders: tuple[PlaceholderResult, ...], now: float) -> None:
        def transaction(db: Connection) -> list[str]:
            keys = admission.activate(db, number, placeholders, now)
            self._wakeups.is_work_waiting = True
            return keys

        self._wakeups.work.set()  # a runner that is woken now asks for work behind this change, in the same commit
        # Lost with the power, the row is found accepting, and activated then.
        await self._committer.run(transaction, self._wakeups.activated, survives_power_loss=False)

    async def refuse(
        self, number: int, placeholders: tuple[PlaceholderResult, ...], error: str, detail: str, now: float
    ) -> None:
        await self._committer.run(
            lambda db: admission.refuse(db, number, placeholders, error, detail, self._config, now),
            self._wakeups.free,
        )

    async def answered(self, number: int) -> None:
        self._committer.run_later(lambda db: admission.answered(db, number))

    async def take_work(self, jobs: int, now: float, reserved: int = 0, hosts: HostRoom = ANY_HOST) -> Work:
        def transaction(db: Connection) -> Work:
            self._wakeups.is_work_waiting = False
            return attempts.take_work(db, jobs, self._config, now, reserved, hosts)

        return await self._repairing(lambda: self._committer.run(transaction, survives_power_loss=False))

    async def heartbeat(self, claims: tuple[Claim, ...], now: float) -> frozenset[int]:
        def transaction(db: Connection) -> frozenset[int]:
            if self._clock is not None and claims:
                clocks.note(db, self._clock.mark())  # so that the next server knows how late it was
            return attempts.heartbeat(db, claims, self._epoch, self._config, now)

        return await self._committer.run(transaction, survives_power_loss=False)

    async def acquire(self, intent: Intent, now: float) -> Granted | Busy | Denied:
        def note(answer: Granted | Busy | Denied) -> None:
            """Runs before the next outcome of this commit, which may be that the destination is free again."""
            if isinstance(answer, Busy):
                self._wakeups.is_busy(intent.key)

        # A lock guards against this process's own bytes; a machine without power sends none.
        return await self._committer.run(
            lambda db: destinations.acquire(db, intent, self._epoch, now), note, survives_power_loss=False
        )

    async def record(self, settlement: Settlement, now: float) -> bool:
        settled = await self._committer.run(
            lambda db: attempts.record(db, settlement, self._config, now), lambda end: self._wakeups.free(end.keys)
        )
        return settled.is_ours

    async def settle(self, settlement: Settlement, now: float) -> bool:
        def announce(settled: attempts.Settled) -> None:
            self._wakeups.free(settled.keys)
            if settled.is_open or not settled.is_ours:  # of a lost claim the other's lease is not known here
                self._wakeups.work.set()
            if any(result.status == "failed" for result in settlement.results):
                self._wakeups.outbox.set()

        settled = await self._repairing(
            lambda: self._committer.run(lambda db: attempts.settle(db, settlement, self._config, now), announce)
        )
        return settled.is_ours

    async def take_outbox(self, entries: int, now: float) -> OutboxWork:
        return await self._repairing(
            lambda: self._committer.run(lambda db: outbox.take(db, entries, now), survives_power_loss=False)
        )

    async def put_off(self, entry: OutboxEntry, now: float, due_at: float) -> None:
        await self._committer.run(lambda db: outbox.put_off(db, entry, now, due_at), survives_power_loss=False)

    async def settle_entry(
        self, entry: OutboxEntry, outcome: OutboxOutcome, now: float, sent: SentMessage | None = None
    ) -> None:
        await self._committer.run(lambda db: outbox.settle(db, entry, outcome, now, sent), self._wakeups.free)
        self._wakeups.outbox.set()

    async def note_placeholder(self, digest: bytes, size_bytes: int, now: float) -> None:
        if not self._placeholders.is_noted(digest, now):
            await self._committer.run(
                lambda db: placeholders.note(db, digest, size_bytes, now), survives_power_loss=False
            )
            self._placeholders.add(digest, size_bytes, now)

    async def placeholder_digests(self, size_bytes: int, now: float) -> frozenset[bytes]:
        if not self._placeholders.has_size(size_bytes, now):
            return frozenset()
        return await self._committer.run(
            lambda db: placeholders.digests(db, size_bytes, now), survives_power_loss=False
        )

    async def wait_for_work(self, timeout_s: float) -> None:
        await self._wakeups.until(self._wakeups.work, timeout_s)

    async def wait_for_outbox(self, timeout_s: float) -> None:
        await self._wakeups.until(self._wakeups.outbox, timeout_s)

    async def until_ended(self, job_id: str, timeout_s: float) -> None:
        with self._wakeups.awaiting(job_id) as end:
            if not await self._listing.has_ended(job_id):
                await asyncio.wait([end], timeout=timeout_s)

    async def retry(
        self, job_id: str, names: tuple[str, ...] | None, deadline_s: float, now: float, principal: str | None = None
    ) -> int:
        return await self._committer.run(
            lambda db: operator.retry(db, job_id, names, deadline_s, self._config, now, principal),
            lambda _: self._wakeups.work.set(),
        )

    async def cancel(self, job_id: str, now: float, principal: str | None = None) -> int:
        return await self._committer.run(
            lambda db: operator.cancel(db, job_id, self._config, now, principal), lambda _: self._wakeups.work.set()
        )

    def watch_events(
        self, principal: str | None = None, job_id: str = ""
    ) -> contextlib.AbstractContextManager[EventWatch]:
        return self._watches.watch(principal, job_id)

    async def replay_webhooks(self, job_id: str, now: float, principal: str | None = None) -> int:
        return await self._committer.run(
            lambda db: operator.replay_webhooks(db, job_id, now, principal), lambda _: self._wakeups.outbox.set()
        )

    async def prune(self, now: float) -> Pruned:
        # Lost with the power, they are deleted again.
        jobs, position = await self._committer.run(
            lambda db: pruning.step(db, self._prune_position, self._config, now), survives_power_loss=False
        )
        self._prune_position = position or pruning.Position()
        if position is None:
            self._placeholders.forget_old(now)
        return Pruned(jobs, position is None)

    async def _repairing(self, change: Callable[[], Awaitable[T]]) -> T:
        """The change, repeated once if its fault came from damaged texts. Else one row would hold up all."""
        try:
            return await change()
        except QueueFault:
            if not await self._committer.run(texts.repair):
                raise
            return await change()
