"""The PostgreSQL engine for the contract suite: one database and the nodes that come and go on it."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import psycopg

from imgserve.jobs.config import Config
from imgserve.jobs.model import Ended
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.connection import Connection
from imgserve.jobs.postgres.queue import PostgresQueue
from imgserve.jobs.postgres.schema import migrate
from imgserve.jobs.protocol import Queue
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.queues import START

SCHEMA = "imgserve"
# Makes an empty queue and returns its URL, which is itself empty for that of a data directory's file.
NewQueue = Callable[[], str]


class PostgresHouse:
    """One node at a time, as ``queues.House`` has it; behind ``pooler``, if there is one.

    ``is_bare``: no queue was ever in the database.
    """

    def __init__(self, server: Postgres, pooler: PgBouncer | None = None, *, is_bare: bool = False) -> None:
        self._server, self._pooler, self._is_bare = server, pooler, is_bare
        if is_bare:
            self.database = server.database()
        else:
            self.database = server.reusable.pop() if server.reusable else _new(server)
        self._queue: PostgresQueue | None = None

    @property
    def address(self) -> Address:
        direct = self._server.url(self.database)
        return Address(direct) if self._pooler is None else Address(self._pooler.url(self.database), direct)

    async def open(
        self, now: float = START, config: Config | None = None, on_end: Callable[[Ended], None] = lambda _: None
    ) -> Queue:
        """A new owner; the one before is gone without having finished anything.

        It listens when this returns: all who wait are woken when it begins to, as it may have missed something.
        """
        await self.crash()
        self._queue = await PostgresQueue.open(self.address, config or Config(), now, on_end)
        while self._queue._signals._line is None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
        return self._queue

    def statuses(self) -> dict[int, str]:
        """Every job's status as another reader of the database sees it."""
        jobs = self._server.execute(f"SELECT number, status FROM {SCHEMA}.job", self.database)
        return {int(str(number)): str(status) for number, status in jobs}

    async def crash(self) -> None:
        """The next node need not wait until this one counts as dead."""
        if self._queue is not None:
            await self._queue.aclose()
            self._queue = None
            self._server.execute(f"UPDATE {SCHEMA}.node SET seen_at = '-infinity'", self.database)

    def close(self) -> None:
        """The database goes to the next house, as a new one: that takes a tenth of the time of making it."""
        if self._is_bare:
            self._server.drop(self.database)
        else:
            self._server.reset(self.database, SCHEMA)
            self._server.reusable.append(self.database)


@contextlib.contextmanager
def empty_queue(server: Postgres) -> Iterator[str]:
    """The URL of a database with an empty queue, for a real server."""
    house = PostgresHouse(server)
    try:
        yield server.url(house.database)
    finally:
        house.close()


def _new(server: Postgres) -> str:
    """A database with the queue's tables, which ``reset`` can empty."""
    name = server.database()
    with psycopg.connect(server.url(name)) as raw:
        migrate(Connection(raw))
    server.remember(name, SCHEMA)
    return name
