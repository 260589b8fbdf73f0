"""The queue of many machines: tables of a PostgreSQL database, which any number of server processes share.

A server process is a node of it: it takes jobs in, runs them, or both.
"""

import contextlib
from collections.abc import Callable, Iterator

from imgserve.clock import Clock
from imgserve.jobs.config import Config
from imgserve.jobs.event_views import EventPage, EventQuery
from imgserve.jobs.model import Claim, Ended
from imgserve.jobs.postgres import durability, nodes, takeover
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.commits import Commits, Node
from imgserve.jobs.postgres.connection import Connection
from imgserve.jobs.postgres.durability import Durability
from imgserve.jobs.postgres.schema import migrate
from imgserve.jobs.postgres.snapshots import DatabaseSnapshots
from imgserve.jobs.postgres.upload_parts import Parts
from imgserve.jobs.sql import feed
from imgserve.jobs.sql.queue import SqlQueue
from imgserve.jobs.sql.wakeups import Wakeups
from imgserve.telemetry.states import State


class PostgresQueue(SqlQueue[Connection]):
    """Build with ``open``."""

    def __init__(
        self, address: Address, config: Config, on_end: Callable[[Ended], None], clock: Clock | None, role: str,
        home: str,
    ) -> None:  # fmt: skip
        self._commits = Commits(address, self._rejoined, is_clock_ours=clock is not None)
        self._snapshots = DatabaseSnapshots(address, lambda: self._commits.absence)
        super().__init__(self._commits, self._snapshots, config, on_end, clock, Wakeups())
        self._role, self._home = role, home
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
            epoch = nodes.register(db, self._role, now, self._home)
            self._commits.node = Node(epoch)
            db.begin(epoch, is_clock_ours=False)
            nodes.skip_events(db)
            if dead := nodes.dead(db, epoch, now - self._config.lease_s):
                takeover.take_over(db, dead, self._config, now)
            if not nodes.has_others(db, epoch):
                takeover.resume(db, now)
            db.backlog.adoptable = takeover.adoptable(db)
            db.count_backlog()
            self._durability = durability.read(db)
            self._taken_over(db, nodes.queue_id(db), epoch, now)

        await self._committer.open(prepare)
        self._committer.run_later(self._count_abandoned)

    def _rejoined(self, db: Connection) -> None:
        """A new connection of the same node, which nobody took over meanwhile: its claims are still its own.

        It may lead to another machine, a promoted standby.
        """
        nodes.skip_events(db)
        self._durability = durability.read(db)
        if self._clock is not None:
            now = nodes.now(db)
            self._clock.follow(now)
            nodes.prolong_claims(db, self._epoch, now + self._config.lease_s)

    def states(self) -> Iterator[State]:
        yield from super().states()
        if self._durability is not None and self._durability.weakness:
            yield State("queue_not_durable", self._durability.weakness, durability.REMEDY)

    async def aclose(self) -> None:
        self._commits.give_up()
        await self._parts.aclose()
        await super().aclose()

    async def newest_event(self) -> int:
        return await self._snapshots.run_numbered(feed.newest)

    async def events_after(self, query: EventQuery, now: float) -> EventPage:
        return await self._snapshots.run_numbered(lambda db: feed.page(db, query, now, self._wall_of))

    def _beat(self, db: Connection, claims: tuple[Claim, ...]) -> None:
        """Any node takes dead ones over."""

    async def placeholder_digests(self, size_bytes: int, now: float) -> frozenset[bytes]:
        """Another node may have written them."""
        return await self._stored_digests(size_bytes, now)

    def check_disk(self, size_bytes: int) -> None:
        """The database tells when its disk is full."""
