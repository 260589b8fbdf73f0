"""A connection and a thread for reads, so that a long search delays no commit."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg

from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.postgres import numbering
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.breakage import for_clients, storage_failing
from imgserve.jobs.postgres.connection import LOCKS, ReadConnection
from imgserve.jobs.postgres.link import connect, is_gone
from imgserve.jobs.queue_url import shown
from imgserve.jobs.sql.database import Reader
from imgserve.telemetry import logs

T = TypeVar("T")

# A long search over millions of jobs takes less.
ANSWER_S = 30.0


class DatabaseSnapshots:
    """A connection that the first read opens. ``away``: the fault while the database cannot be reached."""

    def __init__(self, address: Address, away: Callable[[], StorageFailing | None]) -> None:
        self._address = address
        self._away = away
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="listing")
        self._connection: ReadConnection | None = None

    async def run(self, query: Callable[[Reader], T]) -> T:
        """Raises StorageFailing."""
        return await self._in_thread(lambda db: self._snapshot(db, query))

    async def run_numbered(self, query: Callable[[Reader], T]) -> T:
        """The same, when the events that can be seen have their numbers."""

        def transactions(db: ReadConnection) -> T:
            is_done = False
            while not is_done:
                is_done = self._numbered(db)
            return self._snapshot(db, query)

        return await self._in_thread(transactions)

    async def aclose(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):  # it is gone
                self._connection.raw.cancel_safe(timeout=1.0)  # a long search
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        if self._connection is not None:  # a read that nobody waits for any more may have opened it
            self._connection.raw.close()

    async def _in_thread(self, transactions: Callable[[ReadConnection], T]) -> T:
        if (away := self._away()) is not None:
            raise away.again()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, transactions)
        except psycopg.Error as error:
            what = "the queue cannot be read"
            failure = storage_failing(error, what, shown(self._address.url))
            if failure is None:
                raise
            logs.event("queue_not_read", level=logs.WARNING, detail=failure.detail)
            raise for_clients(failure, what) from error

    def _read(self, transactions: Callable[[ReadConnection], T]) -> T:
        """Tried again over a new connection, if it is the old one that is gone."""
        db = self._connected()
        try:
            return transactions(db)
        except psycopg.Error as error:
            if not is_gone(db.raw, error):
                raise
            db.raw.close()
        return transactions(self._connected())

    def _connected(self) -> ReadConnection:
        if self._connection is None or self._connection.raw.closed:
            raw = connect(self._address, ANSWER_S)
            self._connection = ReadConnection(raw, is_pooled=self._address.is_pooled)
        return self._connection

    def _snapshot(self, db: ReadConnection, query: Callable[[Reader], T]) -> T:
        """All of its statements see the same moment."""
        with db.raw.transaction():
            db.execute(LOCKS["snapshot"])
            db.execute(LOCKS["begin"], ("0",)).fetchone()
            return query(db)

    def _numbered(self, db: ReadConnection) -> bool:
        with db.raw.transaction():
            db.execute(LOCKS["begin"], ("0",)).fetchone()
            return numbering.number(db)
