"""Pictures of uploads in a table beside the queue's. A connection and a thread of their own, which the first picture
opens: so much data would hold up the commits of jobs.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import psycopg
from psycopg import errors

from imgserve.jobs.faults import SourceGone, StorageFailing
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.breakage import for_clients, storage_failing
from imgserve.jobs.postgres.connection import LOCKS, ReadConnection
from imgserve.jobs.postgres.link import connect
from imgserve.jobs.queue_url import shown
from imgserve.jobs.sql.queries import load
from imgserve.telemetry import logs

SQL = load("upload_parts", "postgres")

T = TypeVar("T")

# A part takes less.
ANSWER_S = 30.0
_WHAT = "uploaded pictures cannot be stored or read"


class Parts:
    """``jobs.protocol.UploadParts``."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="uploads")
        self._connection: ReadConnection | None = None

    async def add(self, upload_id: str, part: int, data: bytes, *, is_last: bool) -> None:
        def transaction(db: ReadConnection) -> None:
            if not is_last:
                db.execute(SQL["unsynced"])
            db.execute(SQL["add"], (upload_id, part, data))
            if is_last and part and db.execute(SQL["count_before"], (upload_id, part)).get != part:
                # The database has crashed, before the commit of a part reached its disk.
                raise StorageFailing("a part of the uploaded picture was lost with the database", "send it again")

        try:
            await self._run(transaction)
        except errors.ForeignKeyViolation as error:
            raise SourceGone("the uploaded picture took too long to come", "post the job anew") from error

    async def size_bytes(self, upload_id: str) -> int | None:
        size: int | None = await self._run(lambda db: db.execute(SQL["size"], (upload_id,)).get)
        return size

    async def read(self, upload_id: str, part: int) -> bytes | None:
        def transaction(db: ReadConnection) -> bytes | None:
            # As text, a byte would be two digits.
            row = psycopg.RawCursor(db.raw).execute(SQL["read"], (upload_id, part), binary=True).fetchone()
            return None if row is None else bytes(row[0])

        return await self._run(transaction)

    async def remove(self, upload_ids: Iterable[str]) -> None:
        """Each in a transaction of its own, as pictures may be large."""
        for upload_id in upload_ids:
            await self._run(partial(_remove, upload_id))

    async def aclose(self) -> None:
        if self._connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.raw.close)
        self._thread.shutdown()

    async def _run(self, transaction: Callable[[ReadConnection], T]) -> T:
        """Raises StorageFailing, ForeignKeyViolation."""

        def work() -> T:
            db = self._connected()
            try:
                return _once(db, transaction)
            except psycopg.OperationalError:
                if not db.raw.closed:
                    raise
            # The connection was cut, perhaps long ago. Each transaction may be done twice.
            return _once(self._connected(), transaction)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except errors.ForeignKeyViolation:
            raise
        except psycopg.Error as error:
            failure = storage_failing(error, _WHAT, shown(self._address.url))
            if failure is None:
                raise
            logs.event("uploads_not_reached", level=logs.WARNING, detail=failure.detail)
            raise for_clients(failure, _WHAT) from error

    def _connected(self) -> ReadConnection:
        if self._connection is None or self._connection.raw.closed:
            raw = connect(self._address, ANSWER_S)
            self._connection = ReadConnection(raw, is_pooled=self._address.is_pooled)
        return self._connection


def _once(db: ReadConnection, transaction: Callable[[ReadConnection], T]) -> T:
    # Without a pipeline, so that the time-outs of ``begin`` run, and a node that stands still keeps no locks. With
    # 256 KB in a part the round trips do not show.
    with db.raw.transaction():
        db.execute(LOCKS["begin"], ("0",))
        return transaction(db)


def _remove(upload_id: str, db: ReadConnection) -> None:
    db.execute(SQL["remove"], (upload_id,))
