"""The queue of many machines: tables of a PostgreSQL database, which any number of server processes share.

A server process is a node of it: it takes jobs in, runs them, or both.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from imgserve.clock import Clock
from imgserve.jobs.config import Config
from imgserve.jobs.event_views import EventPage, EventQuery
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.model import Claim, Ended, Intent
from imgserve.jobs.postgres import durability, nodes, strays, takeover
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.commits import Commits, Node
from imgserve.jobs.postgres.connection import Connection
from imgserve.jobs.postgres.durability import Durability
from imgserve.jobs.postgres.news import Newer, News
from imgserve.jobs.postgres.nodes import Sight
from imgserve.jobs.postgres.purges import SharedPurges
from imgserve.jobs.postgres.schema import migrate
from imgserve.jobs.postgres.signals import Signals
from imgserve.jobs.postgres.snapshots import DatabaseSnapshots
from imgserve.jobs.postgres.upload_parts import Parts
from imgserve.jobs.postgres.wakeups import SharedWakeups, SharedWatches
from imgserve.jobs.protocol import ANY_HOST, HostRoom, OutboxWork, Work
from imgserve.jobs.purge import Purge
from imgserve.jobs.sql import feed
from imgserve.jobs.sql.queue import SqlQueue
from imgserve.telemetry import logs
from imgserve.telemetry.states import State

# A node hears for so many heartbeats what it has said that it wants.
INTEREST_BEATS = 2.5
# The database's clock is followed when this process's is so far from it.
MOST_APART_S = 0.05
LEAVE_S = 2.0


class PostgresQueue(SqlQueue[Connection]):
    """Build with ``open``."""

    def __init__(
        self, address: Address, config: Config, on_end: Callable[[Ended], None], clock: Clock | None, role: str,
        home: str,
    ) -> None:  # fmt: skip
        self._commits = Commits(address, self._rejoined, config.lease_s, is_clock_ours=clock is not None)
        self._snapshots = DatabaseSnapshots(address, lambda: self._commits.absence)
        interest_s = config.heartbeat_s * INTEREST_BEATS
        self._signals = Signals(address, self._hear, self._connected, self._tell, interest_s)
        self._shared_purges = SharedPurges(self._signals, interest_s)
        self._shared_wakeups = SharedWakeups(self._signals, has_outbox=role != "api")
        self._shared_watches = SharedWatches(self._signals)
        super().__init__(self._commits, self._snapshots, config, on_end, clock, self._shared_wakeups)
        self._role, self._home = role, home
        self._sight: Sight | None = None
        self._last_now = 0.0
        self._beaten_at = time.monotonic()
        self._is_beat_due = asyncio.Event()
        self._live_task: asyncio.Task[None] | None = None
        self._signals_task: asyncio.Task[None] | None = None
        self._durability: Durability | None = None
        self.upload_parts = self._parts = Parts(address)

    @classmethod
    async def open(
        cls, address: Address, config: Config, now: float | Clock, on_end: Callable[[Ended], None] = lambda _: None,
        role: str = "all", home: str = "",
    ) -> "PostgresQueue":  # fmt: skip
        """Create or migrate the tables where need be, and become a node. A clock is set to the database's.

        ``home`` is ``datadir.home``: the node that had it before is taken over at once.
        Raises StorageFailing.
        """
        clock = now if isinstance(now, Clock) else None
        queue = cls(address, config, on_end, clock, role, home)
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(queue.aclose)
            await queue._join(now)
            undo.pop_all()
        return queue

    async def _join(self, start: float | Clock) -> None:
        def prepare(db: Connection) -> None:
            migrate(db)
            now = nodes.now(db) if isinstance(start, Clock) else start
            if isinstance(start, Clock):
                start.follow(now)
            db.wall_of = self._wall_of
            db.watches = self._shared_watches
            former = self._commits.node.epoch
            epoch = nodes.register(db, self._role, now, self._home)
            self._commits.node = Node(epoch)
            db.begin(epoch, is_clock_ours=False)
            if former:
                strays.follow(db, former, epoch)
            nodes.skip_events(db)
            self._take_over_dead(db, epoch, now)
            has_others = nodes.look(db, epoch, now, now).has_others
            self._signals.note_others(are_there=has_others)
            if not has_others:
                takeover.resume(db, now)
            db.backlog.adoptable = takeover.adoptable(db)
            db.count_backlog()
            db.backlog.store(db, epoch)  # of jobs that the takeover has ended
            db.backlog.committed()
            self._durability = durability.read(db)
            self._taken_over(db, nodes.queue_id(db), epoch, now)

        await self._committer.open(prepare)
        self._committer.run_later(self._count_abandoned)
        self._wakeups.uploads.set()  # dead nodes may have left some
        self._signals_task = asyncio.create_task(self._signals.run())
        self._live_task = asyncio.create_task(self._live())

    def _take_over_dead(self, db: Connection, epoch: int, now: float) -> None:
        before = now - self._config.lease_s
        nodes.end_backends(db, epoch, before)
        if dead := nodes.dead(db, epoch, before):
            takeover.take_over(db, dead, self._config, now)

    def _rejoined(self, db: Connection) -> None:
        """A new connection of the same node, which nobody took over meanwhile: its claims are still its own.

        It may lead to another machine, a promoted standby.
        """
        nodes.skip_events(db)
        self._durability = durability.read(db)
        if self._clock is not None:
            now = nodes.now(db)
            self._clock.follow(now)
            nodes.spare(db, self._epoch, now, self._config.lease_s)
            nodes.go_on(db, self._epoch, now, now + self._config.lease_s)

    def states(self) -> Iterator[State]:
        yield from super().states()
        if self._durability is not None and self._durability.weakness:
            yield State("queue_not_durable", self._durability.weakness, durability.REMEDY)

    async def _close(self) -> None:
        """The others take over at once what this node leaves."""
        await _ended(self._live_task)
        if self._signals_task is not None and self._commits.absence is None:
            with contextlib.suppress(StorageFailing, TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self._committer.run(lambda db: nodes.leave(db, self._epoch))
                    await self._signals.tell_last()
        await _ended(self._signals_task)
        self._commits.give_up()
        await self._parts.aclose()
        await super()._close()

    async def newest_event(self) -> int:
        return await self._snapshots.run_numbered(feed.newest)

    async def events_after(self, query: EventQuery, now: float) -> EventPage:
        return await self._snapshots.run_numbered(lambda db: feed.page(db, query, now, self._wall_of))

    async def _live(self) -> None:
        """A heartbeat where nobody else makes one, and the work that is due to none of the nodes in particular."""
        failures = logs.Failures()
        while True:
            late_s = self._config.heartbeat_s * 1.1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(self._beaten_at + late_s - time.monotonic(), 0.001)):
                    await self._is_beat_due.wait()
            is_asked = self._is_beat_due.is_set()
            self._is_beat_due.clear()
            try:
                if self._clock is not None and (is_asked or self._beaten_at + late_s <= time.monotonic()):
                    await self.heartbeat((), self._clock())
                if self._sight is not None and self._sight.has_unnumbered_events:
                    await self._snapshots.run_numbered(lambda _: None)
            except StorageFailing as error:
                failures.event("heartbeat_failed", code=error.code, detail=error.detail)
                self._beaten_at = time.monotonic()

    async def take_work(self, jobs: int, now: float, reserved: int = 0, hosts: HostRoom = ANY_HOST) -> Work:
        work = await super().take_work(jobs, now, reserved, hosts)
        if work.is_held_back or (work.due_at is not None and work.due_at <= now):
            self._shared_wakeups.work_left()
        return work

    async def take_outbox(self, entries: int, now: float) -> OutboxWork:
        work = await super().take_outbox(entries, now)
        if work.due_at is not None and work.due_at <= now:
            self._shared_wakeups.outbox_left()
        return work

    async def cancel(self, job_id: str, now: float, principal: str | None = None) -> int:
        number = await super().cancel(job_id, now, principal)
        self._signals.tell_soon().cancelled.add(number)
        return number

    def break_off(self, newer: Intent) -> None:
        told = Newer(newer.number, newer.output_id, newer.token, newer.key, newer.principal)
        self._signals.tell_soon().newer.append(told)

    @property
    def tells_purges(self) -> bool:
        return self._shared_purges.is_wanted

    def tell_purge(self, purge: Purge) -> None:
        self._shared_purges.tell(purge)

    def when_purged(self, purged: Callable[[Purge], object], missed: Callable[[], object]) -> None:
        self._shared_purges.listen(purged, missed)

    async def heartbeat(self, claims: tuple[Claim, ...], now: float) -> frozenset[int]:
        self._last_now = now
        ours = await super().heartbeat(claims, now)
        self._beaten_at = time.monotonic()
        if self._sight is not None:
            self._saw(self._sight, now)
        return ours

    def _beat(self, db: Connection, claims: tuple[Claim, ...]) -> None:
        """Any node takes dead ones over. The database's settings may have changed since the connection was made."""
        now = db.time(self._last_now)
        self._durability = durability.read(db)
        self._sight = nodes.look(db, self._epoch, now - self._config.lease_s, now)
        if self._sight.has_dead:
            self._take_over_dead(db, self._epoch, now)

    def _saw(self, sight: Sight, asked_at: float) -> None:
        self._signals.note_others(are_there=sight.has_others)
        self._want()
        if sight.has_dead:
            self._shared_wakeups.taken_over()
            self._wakeups.uploads.set()
            self._signals.tell_soon().came.add("adoptable")
        elif sight.is_lease_over:
            self._wakeups.work.set()
        if self._clock is not None:
            now = self._clock()
            if not asked_at - MOST_APART_S <= sight.now <= now + MOST_APART_S:
                self._clock.follow(sight.now + (now - asked_at) / 2)

    def _want(self) -> None:
        for topic in self._shared_wakeups.wants():
            self._signals.want(topic)
        if self._shared_watches.is_watched:
            self._signals.want("events")
        self._shared_purges.want()

    def _hear(self, news: News) -> None:
        if news.is_new:
            self._want()
        self._shared_purges.hear(news)
        self._shared_wakeups.hear(news)
        self._shared_watches.hear(news)
        if news.ends and self._clock is not None:
            self._end_rate.ended(self._clock(), news.ends)
        if news.is_leaving:
            self._is_beat_due.set()
        if "adoptable" in news.came:
            self._committer.run_later(self._read_adoptable)
        for newer in news.newer:
            self._on_newer(Intent(newer.number, newer.output_id, newer.token, newer.key, "final", newer.principal))

    def _connected(self) -> None:
        self._shared_purges.connected()

    def _tell(self, text: bytes) -> None:
        self._committer.run_later(lambda db: nodes.tell(db, text))

    def _read_adoptable(self, db: Connection) -> None:
        db.backlog.adoptable = takeover.adoptable(db)

    async def placeholder_digests(self, size_bytes: int, now: float) -> frozenset[bytes]:
        """Another node may have written them."""
        return await self._stored_digests(size_bytes, now)

    def check_room(self, principal: str, digest: bytes, now: float, *, has_quota: bool) -> None:
        """While the database is away nothing is fetched for a job that could not be stored."""
        if (absence := self._commits.absence) is not None:
            raise absence.again()
        super().check_room(principal, digest, now, has_quota=has_quota)

    def check_disk(self, size_bytes: int) -> None:
        """The database tells when its disk is full."""


async def _ended(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])
