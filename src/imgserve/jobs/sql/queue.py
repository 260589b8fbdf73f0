"""What both engines do between the event loop and their transactions: group commit, wake-ups, figures in memory.

The transactions stand in modules of their own (``admission``, ``attempts``, ``outbox`` ...).
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Generic, TypeVar

from imgserve.clock import Clock
from imgserve.errors import counted, spell
from imgserve.jobs.config import Config
from imgserve.jobs.event_views import EventPage, EventQuery
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
from imgserve.jobs.protocol import (
    ANY_HOST,
    Busy,
    Denied,
    Granted,
    HostRoom,
    KeptUpload,
    OutboxWork,
    Pruned,
    UploadParts,
    Work,
)
from imgserve.jobs.purge import Purge
from imgserve.jobs.sql import admission, attempts, destinations, operator, outbox, placeholders, uploads
from imgserve.jobs.sql import prune as pruning
from imgserve.jobs.sql.backlog import Backlog
from imgserve.jobs.sql.committer import Committer, Store
from imgserve.jobs.sql.database import Database
from imgserve.jobs.sql.end_rate import EndRate
from imgserve.jobs.sql.listing import Listing, Snapshots
from imgserve.jobs.sql.wakeups import Wakeups
from imgserve.jobs.sql.watches import EventWatch, Watches
from imgserve.jobs.views import NodeView
from imgserve.telemetry.states import Name, State

T = TypeVar("T")
D = TypeVar("D", bound=Database)


class SqlQueue(Generic[D]):
    """The methods are those of ``protocol.Queue``. An engine opens it, and calls ``_taken_over`` then."""

    upload_parts: UploadParts | None = None

    def __init__(
        self, store: Store[D], snapshots: Snapshots, config: Config, on_end: Callable[[Ended], None],
        clock: Clock | None, wakeups: Wakeups,
    ) -> None:  # fmt: skip
        self._config = config
        self._committer = Committer(store, self._committed)
        self._clock = clock
        self._wall_of = clock.wall_of if clock else float
        self._listing = Listing(snapshots, self._wall_of)
        self.counts, self.page, self.job = self._listing.counts, self._listing.page, self._listing.job
        self.binding_of, self.webhook_log = self._listing.binding_of, self._listing.webhook_log
        self.uploads, self.upload_bytes = self._listing.uploads, self._listing.upload_bytes
        self._on_end = on_end
        self._abandoned = self._webhooks_abandoned = 0
        self._end_rate = EndRate(0.0)  # anew when the database is taken over
        self._backlog = Backlog()  # the connection's, from then on
        self._watches = Watches()  # the connection's too
        self._epoch = 0
        self.id = ""
        self._wakeups = wakeups
        self.until_free, self.until_suspect = self._wakeups.until_free, self._wakeups.until_suspect
        self._placeholders = placeholders.RecentPlaceholders()
        self._answered: deque[int] = deque()  # jobs with an answer that no commit has noted
        self._is_noting_answers = False
        self._prune_position = pruning.Position()
        self._on_newer: Callable[[Intent], None] = lambda _: None
        self._closing: asyncio.Task[None] | None = None

    def _taken_over(self, db: D, id_: str, epoch: int, now: float) -> None:
        self.id, self._epoch = id_, epoch
        self._backlog, self._watches = db.backlog, db.watches
        self._end_rate = EndRate(now)

    def _committed(self, db: D) -> None:
        for end in db.take_ends():
            self._end_rate.ended(end.ended_at)
            self._wakeups.ended(end.id)
            self._on_end(end)
            if end.status != "succeeded":
                self._wakeups.outbox_came()  # its outputs may have entries from now on
        db.watches.committed()
        if db.is_outbox_filled:
            db.is_outbox_filled = False
            self._wakeups.outbox_came()
        if db.is_abandoned_changed:
            db.is_abandoned_changed = False
            self._committer.run_later(self._count_abandoned)

    def _count_abandoned(self, db: D) -> None:
        self._abandoned, self._webhooks_abandoned = db.execute(outbox.SQL["count_abandoned"]).get

    async def aclose(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="queue closing")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self._listing.aclose()  # first: only a writer that is closed last empties SQLite's log into the file
        await self._committer.aclose()

    def states(self) -> Iterator[State]:
        if self._abandoned:
            detail = (
                f"{counted(self._abandoned, 'placeholder')} of stored jobs that cannot be read will not be replaced"
            )
            yield State("placeholders_abandoned", detail)
        if self._webhooks_abandoned:
            messages = counted(self._webhooks_abandoned, "message")
            yield State("webhooks_abandoned", f"{messages} to webhooks will not be tried again")
        error = self._committer.failure or self._trouble()
        if error is not None:
            error = error.in_full
            name: Name = "disk_full" if isinstance(error, DiskFull) else "storage_failing"
            yield State(name, error.detail, spell(error.hint))

    def _shortage(self) -> StorageFailing | None:
        """The fault for which no job is taken in; looked for at each, so without I/O that waits."""
        return None

    def _trouble(self) -> StorageFailing | None:
        """The fault of the storage that an operator can see before a commit fails."""
        return self._shortage()

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

        if (shortage := self._shortage()) is not None:
            raise self._trouble() or shortage
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

    async def reserve_upload(self, upload: KeptUpload, now: float) -> None:
        # Lost with the power, it leaves a file without a row, which the next start deletes.
        await self._committer.run(lambda db: uploads.reserve(db, upload, now), survives_power_loss=False)

    def resize_upload(self, upload_id: str, size_bytes: int) -> None:
        self._committer.run_later(lambda db: uploads.resize(db, upload_id, size_bytes))

    async def drop_upload(self, upload_id: str, now: float) -> bool:
        return await self._committer.run(lambda db: uploads.drop(db, upload_id, now), survives_power_loss=False)

    async def release_uploads(self, now: float) -> tuple[str, ...]:
        return await self._repairing(lambda: self._committer.run(lambda db: uploads.release(db, now)))

    async def forget_uploads(self, upload_ids: Iterable[str]) -> None:
        await self._committer.run(lambda db: uploads.forget(db, upload_ids), survives_power_loss=False)

    async def wait_for_uploads(self, timeout_s: float) -> None:
        await self._wakeups.until(self._wakeups.uploads, timeout_s)

    async def activate(self, number: int, placeholders: tuple[PlaceholderResult, ...], now: float) -> bool:
        def transaction(db: D) -> admission.Activated:
            activated = admission.activate(db, number, placeholders, now)
            self._wakeups.is_work_waiting = True
            return activated

        def announce(activated: admission.Activated) -> None:
            self._wakeups.activated(activated.keys)

        self._wakeups.work.set()  # a runner that is woken now asks for work behind this change, in the same commit
        # Lost with the power, the row is found accepting, and activated then.
        activated = await self._committer.run(transaction, announce, survives_power_loss=False)
        return activated.is_untouched

    async def refuse(
        self, number: int, placeholders: tuple[PlaceholderResult, ...], error: str, detail: str, now: float
    ) -> None:
        await self._committer.run(
            lambda db: admission.refuse(db, number, placeholders, error, detail, self._config, now),
            self._wakeups.free,
        )

    async def answered(self, number: int) -> None:
        self._answered.append(number)
        if not self._is_noting_answers:
            self._note_answers()

    def _note_answers(self) -> None:
        """One change for all that are answered until its commit begins."""
        numbers: list[int] = []  # kept, since a commit that was undone is tried again

        def transaction(db: D) -> None:
            while self._answered:
                numbers.append(self._answered.popleft())
            admission.answered(db, *numbers)

        def done(change: asyncio.Future[object]) -> None:
            self._is_noting_answers = False
            if change.exception() is not None and not numbers:
                self._answered.clear()  # the database is away; equal requests may get these jobs once more
            elif self._answered:
                self._note_answers()

        self._is_noting_answers = True
        self._committer.run_later(transaction, done)

    async def take_work(self, jobs: int, now: float, reserved: int = 0, hosts: HostRoom = ANY_HOST) -> Work:
        def transaction(db: D) -> Work:
            self._wakeups.is_work_waiting = False
            return attempts.take_work(db, jobs, self._config, now, reserved, hosts)

        return await self._repairing(lambda: self._committer.run(transaction, survives_power_loss=False))

    async def heartbeat(self, claims: tuple[Claim, ...], now: float) -> frozenset[int]:
        def transaction(db: D) -> frozenset[int]:
            self._beat(db, claims)
            return attempts.heartbeat(db, claims, self._epoch, self._config, now)

        return await self._committer.run(transaction, survives_power_loss=False)

    def _beat(self, db: D, claims: tuple[Claim, ...]) -> None:
        """Part of each heartbeat."""

    async def acquire(self, intent: Intent, now: float) -> Granted | Busy | Denied:
        def note(answer: Granted | Busy | Denied) -> None:
            """Runs before the next outcome of this commit, which may be that the destination is free again."""
            if isinstance(answer, Busy):
                self._wakeups.is_busy(intent.key)

        # A lock guards against this process's own bytes; a machine without power sends none.
        return await self._committer.run(
            lambda db: destinations.acquire(db, intent, self._epoch, now), note, survives_power_loss=False
        )

    @property
    def tells_purges(self) -> bool:
        return False

    def tell_purge(self, purge: Purge) -> None:
        """All caches are this process's own."""

    def when_purged(self, purged: Callable[[Purge], object], missed: Callable[[], object]) -> None:
        """There is nobody to hear."""

    def when_newer(self, call: Callable[[Intent], None]) -> None:
        self._on_newer = call

    def break_off(self, newer: Intent) -> None:
        """All older writes are this process's own."""

    async def record(self, settlement: Settlement, now: float) -> bool:
        settled = await self._committer.run(
            lambda db: attempts.record(db, settlement, self._config, now), lambda end: self._wakeups.free(end.keys)
        )
        return settled.is_ours

    async def settle(self, settlement: Settlement, now: float, patience_s: float = 0.0) -> bool:
        def announce(settled: attempts.Settled) -> None:
            self._wakeups.free(settled.keys)
            if settled.is_open or not settled.is_ours:  # of a lost claim the other's lease is not known here
                self._wakeups.work_came()
            if any(result.status == "failed" for result in settlement.results):
                self._wakeups.outbox_came()

        settled = await self._repairing(
            lambda: self._committer.run(
                lambda db: attempts.settle(db, settlement, self._config, now), announce, patience_s=patience_s
            )
        )
        return settled.is_ours

    def share_commits(self, under_way: Callable[[], int]) -> None:
        self._committer.share(under_way)

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
        self._wakeups.outbox_came()

    async def note_placeholder(self, digest: bytes, size_bytes: int, now: float) -> None:
        if not self._placeholders.is_noted(digest, now):
            await self._committer.run(
                lambda db: placeholders.note(db, digest, size_bytes, now), survives_power_loss=False
            )
            self._placeholders.add(digest, size_bytes, now)

    async def placeholder_digests(self, size_bytes: int, now: float) -> frozenset[bytes]:
        if not self._placeholders.has_size(size_bytes, now):
            return frozenset()
        return await self._stored_digests(size_bytes, now)

    async def _stored_digests(self, size_bytes: int, now: float) -> frozenset[bytes]:
        return await self._committer.run(
            lambda db: placeholders.digests(db, size_bytes, now), survives_power_loss=False
        )

    async def wait_for_work(self, timeout_s: float) -> None:
        await self._wakeups.until(self._wakeups.work, timeout_s)

    async def wait_for_outbox(self, timeout_s: float) -> None:
        await self._wakeups.until(self._wakeups.outbox, timeout_s)

    async def until_ended(self, job_id: str, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        until, has_ended = loop.time() + timeout_s, False
        while not has_ended and loop.time() < until:
            with self._wakeups.awaiting(job_id) as end:
                has_ended = await self._listing.has_ended(job_id)
                if not has_ended:
                    await asyncio.wait([end], timeout=until - loop.time())
                    has_ended = end.done() and end.result()

    async def retry(
        self, job_id: str, names: tuple[str, ...] | None, deadline_s: float, now: float, principal: str | None = None
    ) -> int:
        return await self._committer.run(
            lambda db: operator.retry(db, job_id, names, deadline_s, self._config, now, principal),
            lambda _: self._wakeups.work_came(),
        )

    async def cancel(self, job_id: str, now: float, principal: str | None = None) -> int:
        return await self._committer.run(
            lambda db: operator.cancel(db, job_id, self._config, now, principal), lambda _: self._wakeups.work_came()
        )

    def watch_events(
        self, principal: str | None = None, job_id: str = ""
    ) -> contextlib.AbstractContextManager[EventWatch]:
        return self._watches.watch(principal, job_id)

    async def replay_webhooks(self, job_id: str, now: float, principal: str | None = None) -> int:
        return await self._committer.run(
            lambda db: operator.replay_webhooks(db, job_id, now, principal), lambda _: self._wakeups.outbox_came()
        )

    async def newest_event(self) -> int:
        return await self._listing.newest_event()

    async def events_after(self, query: EventQuery, now: float) -> EventPage:
        return await self._listing.events_after(query, now)

    async def nodes(self) -> tuple[NodeView, ...]:
        return await self._listing.nodes(0.0 if self._clock is None else self._clock() - self._config.lease_s)

    async def prune(self, now: float) -> Pruned:
        # Lost with the power, they are deleted again.
        jobs, position = await self._committer.run(
            lambda db: pruning.step(db, self._prune_position, self._config, now), survives_power_loss=False
        )
        self._prune_position = position or pruning.Position()
        if position is None:
            self._placeholders.forget_old(now)
        return Pruned(jobs, position is None)

    def _repair(self, db: D) -> int:
        """Mend rows that a disk has damaged; their number."""
        return 0

    async def _repairing(self, change: Callable[[], Awaitable[T]]) -> T:
        """The change, repeated once if its fault came from damaged texts. Else one row would hold up all."""
        try:
            return await change()
        except QueueFault:
            if not await self._committer.run(self._repair):
                raise
            return await change()
