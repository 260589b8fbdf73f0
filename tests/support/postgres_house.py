"""The PostgreSQL engine for the contract suite: one database and the nodes that come and go on it."""

from collections.abc import Callable

import psycopg

from imgserve.jobs.config import Config
from imgserve.jobs.model import Ended
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.queue import PostgresQueue
from imgserve.jobs.protocol import Queue
from tests.support.postgres import Postgres
from tests.support.queues import START


class PostgresHouse:
    """One node at a time, as ``queues.House`` has it."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self.database = server.database()
        self._queue: PostgresQueue | None = None

    @property
    def address(self) -> Address:
        return Address(self._server.url(self.database))

    async def open(
        self, now: float = START, config: Config | None = None, on_end: Callable[[Ended], None] = lambda _: None
    ) -> Queue:
        """A new owner; the one before is gone without having finished anything."""
        await self.crash()
        self._queue = await PostgresQueue.open(self.address, config or Config(), now, on_end)
        return self._queue

    def statuses(self) -> dict[int, str]:
        """Every job's status as another reader of the database sees it."""
        with psycopg.connect(self.address.url) as reader:
            return {int(row[0]): str(row[1]) for row in reader.execute("SELECT number, status FROM imgserve.job")}

    async def crash(self) -> None:
        """The next node need not wait until this one counts as dead."""
        if self._queue is not None:
            await self._queue.aclose()
            self._queue = None
            with psycopg.connect(self.address.url) as dying:
                dying.execute("UPDATE imgserve.node SET seen_at = '-infinity'")

    def close(self) -> None:
        self._server.drop(self.database)
