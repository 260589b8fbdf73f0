"""The commits of the queue in PostgreSQL. Used by the committer, in its thread.

READ COMMITTED: each statement sees all that was committed before it. Transactions that read before they write take
locks first (``Database.lock_order`` and its like), so that each finds what the last one has left.
"""

import time
from collections.abc import Callable

import psycopg

from imgserve.errors import ImgserveError
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.breakage import CONFLICTS, for_clients, storage_failing
from imgserve.jobs.postgres.connection import Connection
from imgserve.jobs.queue_url import shown
from imgserve.jobs.sql.committer import HalfDone

Transaction = Callable[[Connection], object]

# A transaction that conflicts with another node's is tried so often.
TRIES = 5
PAUSE_S = 0.01


class Commits:
    """``epoch`` is this node's, once it has one."""

    # The server's table of locks holds 6,400 with its usual settings, and a job takes one for each destination.
    most_at_once = 64

    def __init__(self, address: Address, *, is_clock_ours: bool) -> None:
        self._address = address
        self._is_clock_ours = is_clock_ours
        self._connection: Connection | None = None
        self.epoch = 0

    def open(self, prepare: Callable[[Connection], None]) -> Connection:
        place = shown(self._address.url)
        try:
            connection = Connection(psycopg.connect(self._address.conninfo()), is_pooled=self._address.is_pooled)
            self._connection = connection
            with connection.raw.transaction():
                prepare(connection)
        except psycopg.Error as error:
            raise (
                storage_failing(error, "the queue cannot be opened", place, "then start again")
                or StorageFailing(f"the queue at {place} cannot be opened: {error}", "look at the queue's URL")
            ) from error
        return connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.raw.close()

    def failure(self, error: Exception) -> StorageFailing | None:
        if isinstance(error, StorageFailing):
            return error
        what = "the queue cannot be written"
        failure = storage_failing(error, what, shown(self._address.url))
        return failure and for_clients(failure, what)

    def commit(self, batch: list[Transaction], *, is_synced: bool) -> list[object]:
        """All commits are synced: a claim that is lost would be given twice, while this process goes on."""
        assert self._connection is not None
        tries = TRIES if len(batch) == 1 else 1
        while True:
            tries -= 1
            try:
                return self._once(self._connection, batch)
            except CONFLICTS as error:
                if tries == 0 and len(batch) == 1:
                    raise
                if tries == 0:
                    raise HalfDone from error
                time.sleep(PAUSE_S)

    def _once(self, connection: Connection, batch: list[Transaction]) -> list[object]:
        try:
            with connection.raw.pipeline():
                connection.begin(self.epoch, is_clock_ours=self._is_clock_ours)
                # An error of a single transaction needs no ``_outcome``: it undoes the commit.
                outcomes = [batch[0](connection)] if len(batch) == 1 else [_outcome(connection, work) for work in batch]
                connection.backlog.store(connection, self.epoch)
                connection.raw.commit()
        except ImgserveError as error:
            self._undo(connection)
            return [error]
        except BaseException:
            self._undo(connection)
            raise
        return outcomes

    def _undo(self, connection: Connection) -> None:
        connection.rolled_back()
        if not connection.raw.closed:
            connection.raw.rollback()


def _outcome(connection: Connection, work: Transaction) -> object:
    """Its result, or its ImgserveError. Raises HalfDone."""
    writes = connection.writes
    try:
        return work(connection)
    except ImgserveError as error:
        if connection.writes != writes:
            raise HalfDone from error
        return error
