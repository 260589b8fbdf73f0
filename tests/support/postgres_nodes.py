"""Several nodes on one database, each with a queue of its own, as several server processes have."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg

from imgserve.clock import Clock
from imgserve.jobs.config import Config, Role
from imgserve.jobs.model import Ended
from imgserve.jobs.postgres import signals
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.queue import PostgresQueue
from tests.support.postgres import Postgres
from tests.support.postgres_house import PostgresHouse
from tests.support.queues import START

BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"


class Nodes:
    def __init__(self, server: Postgres) -> None:
        self.house = PostgresHouse(server)
        self._queues: list[PostgresQueue] = []

    @property
    def address(self) -> Address:
        return self.house.address

    async def open(
        self, role: Role = "all", now: float | Clock = START, config: Config | None = None,
        on_end: Callable[[Ended], None] = lambda _: None,
    ) -> PostgresQueue:  # fmt: skip
        """Another node, which has heard the others, and they it, when this returns."""
        before = {pid for (pid,) in self.execute(BACKENDS, signals.NAME)}  # some may be of a test that has ended
        queue = await PostgresQueue.open(self.address, config or Config(), now, on_end, role)
        self._queues.append(queue)
        while queue._signals._line is None or before.issuperset(self.listening()):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        return queue

    async def leave(self, queue: PostgresQueue) -> None:
        self._queues.remove(queue)
        await queue.aclose()

    def listening(self) -> list[int]:
        """The backends of the nodes that have told the others that they are there."""
        find = f"{BACKENDS} AND query = %s AND state = 'idle'"
        return [int(str(pid)) for (pid,) in self.execute(find, signals.NAME, signals.NOTIFY.decode())]

    def execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """As another client of the database."""
        with psycopg.connect(self.address.url, autocommit=True) as connection:
            connection.execute("SET search_path = imgserve")
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    async def close(self) -> None:
        for queue in tuple(self._queues):
            await self.leave(queue)
        self.house.close()


@asynccontextmanager
async def nodes_of(server: Postgres) -> AsyncIterator[Nodes]:
    nodes = Nodes(server)
    try:
        yield nodes
    finally:
        await nodes.close()
