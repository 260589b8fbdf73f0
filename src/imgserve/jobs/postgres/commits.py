"""The commits of the queue in PostgreSQL. Used by the committer, in its thread.

READ COMMITTED: each statement sees all that was committed before it. Transactions that read before they write take
locks first (``Database.lock_order`` and its like), so that each finds what the last one has left.

A connection may be lost while it commits. Each commit notes its number in the row of its node, so the next connection
finds out whether it was stored; and the older connection, which the server may still be serving, can commit no more.
"""

import random
import threading
import time
from collections.abc import Callable

import msgspec
import psycopg
from psycopg import errors

from imgserve.errors import ImgserveError
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.postgres import nodes
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.breakage import CONFLICTS, for_clients, storage_failing
from imgserve.jobs.postgres.connection import Connection
from imgserve.jobs.postgres.link import NoAnswer, connect, is_gone
from imgserve.jobs.queue_url import shown
from imgserve.jobs.sql.committer import Away, HalfDone
from imgserve.telemetry import logs

Transaction = Callable[[Connection], object]

# A transaction that conflicts with another node's is tried so often. Not one that has waited for a lock in vain: those
# behind it would wait as long.
TRIES = 5
PAUSE_S = 0.01
# Longer than a busy disk takes.
ANSWER_S = 15.0
# Of a lease, at the end of which other nodes believe that this one is dead: time is left to connect anew.
ANSWER_FRACTION = 0.25
# Between two tries to connect. With many nodes not all of them come at once.
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 5.0


class Node(msgspec.Struct):
    """This process in the table ``node``: the number of its connection, and of its last commit."""

    epoch: int
    link: int = 0
    commit: int = 0


class Commits:
    """``rejoined`` is part of each later connection's first transaction."""

    # The server's table of locks holds 6,400 with its usual settings, and a job takes one for each destination.
    most_at_once = 64
    apart_s = 0.0  # its answers take long enough for others to come

    def __init__(
        self, address: Address, rejoined: Callable[[Connection], None], lease_s: float, *, is_clock_ours: bool
    ) -> None:
        self._address = address
        self._rejoined = rejoined
        self._lease_s = lease_s
        self._is_clock_ours = is_clock_ours
        self._connection: Connection | None = None
        self._join: Callable[[Connection], None]
        self._is_closing = threading.Event()
        self.node = Node(0)
        self._away: Away | None = None

    def open(self, prepare: Callable[[Connection], None]) -> Connection:
        """``prepare`` makes this process a node, now and if it is ever taken for dead."""
        place = shown(self._address.url)
        self._join = prepare
        try:
            raw = connect(self._address)
            self._connection = connection = Connection(raw, is_pooled=self._address.is_pooled)
            with raw.transaction():
                prepare(connection)
        except psycopg.Error as error:
            raise (
                storage_failing(error, "the queue cannot be opened", place, "then start again")
                or StorageFailing(f"the queue at {place} cannot be opened: {error}", "look at the queue's URL")
            ) from error
        raw.answer_s = self._answer_s
        return connection

    @property
    def _answer_s(self) -> float:
        return min(ANSWER_S, self._lease_s * ANSWER_FRACTION)

    def give_up(self) -> None:
        """Wait no longer for a database that is away. Called on the event loop."""
        self._is_closing.set()

    @property
    def absence(self) -> StorageFailing | None:
        """The fault while the database cannot be reached. Read on the event loop too."""
        away = self._away
        return None if away is None else away.failure

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
        """All commits are synced: a claim that is lost would be given twice, while this process goes on.

        A lost connection is replaced at once, and the batch is done over it if it was undone. Raises Away; at once, if
        the database did not answer.
        """
        assert self._connection is not None
        try:
            return self._tried(self._connection, batch)
        except _Lost as lost:
            if isinstance(lost.error, NoAnswer):
                raise self._as_away(self._connection, lost, lost.error) from lost.error
            stored = self._replaced(self._connection, lost)
        if stored is not None:
            return stored
        try:
            return self._tried(self._connection, batch)
        except _Lost as lost:
            raise self._as_away(self._connection, lost, lost.error) from lost.error

    def _tried(self, connection: Connection, batch: list[Transaction]) -> list[object]:
        tries = TRIES if len(batch) == 1 else 1
        while True:
            tries -= 1
            try:
                return self._once(connection, batch)
            except CONFLICTS as error:
                has_waited = isinstance(error, errors.LockNotAvailable)
                if len(batch) == 1 and (tries == 0 or has_waited):
                    raise
                if tries == 0:
                    raise HalfDone from error
                time.sleep(PAUSE_S)

    def _once(self, connection: Connection, batch: list[Transaction]) -> list[object]:
        """Raises _Lost, without ``rolled_back`` if the commit may be stored."""
        outcomes: list[object] = []
        is_sent = False
        writes = connection.writes
        try:
            with connection.raw.pipeline():
                connection.begin(self.node.epoch, is_clock_ours=self._is_clock_ours)
                # An error of a single transaction needs no ``_outcome``: it undoes the commit.
                outcomes = [batch[0](connection)] if len(batch) == 1 else [_outcome(connection, work) for work in batch]
                connection.backlog.store(connection, self.node.epoch)
                if connection.writes != writes:
                    self.node.commit += 1
                    nodes.mark(connection, self.node.epoch, self.node.link, self.node.commit)
                    is_sent = True
                connection.raw.commit()
        except ImgserveError as error:
            self._undo(connection)
            return [error]
        except errors.DivisionByZero as error:
            self._undo(connection)
            raise _Lost(error) from error
        except psycopg.Error as error:
            if not is_gone(connection.raw, error):
                self._undo(connection)
                raise
            if not is_sent:
                connection.rolled_back()
            raise _Lost(error, outcomes if is_sent else None) from error
        except BaseException:
            self._undo(connection)
            raise
        return outcomes

    def _undo(self, connection: Connection) -> None:
        connection.rolled_back()
        if not connection.raw.closed:
            connection.raw.rollback()

    def _replaced(self, connection: Connection, lost: "_Lost") -> list[object] | None:
        """As ``_reconnect``. Raises Away."""
        try:
            return self._reconnect(connection, lost)
        except (psycopg.Error, StorageFailing) as error:
            raise self._as_away(connection, lost, error) from error

    def _as_away(self, connection: Connection, lost: "_Lost", error: Exception) -> Away:
        self._away = away = Away(
            self._cause(error), lambda: self._recover(connection, lost, away), is_undone=lost.outcomes is None
        )
        return away

    def _cause(self, error: Exception) -> StorageFailing:
        return self.failure(error) or StorageFailing(f"the queue cannot be written: {error}", "report it")

    def _recover(self, connection: Connection, lost: "_Lost", away: Away) -> list[object] | None:
        """As ``_reconnect``, however long it takes. Raises StorageFailing when the queue is closed meanwhile."""
        pause_s = FIRST_PAUSE_S
        while not self._is_closing.wait(pause_s * random.uniform(0.5, 1.5)):  # noqa: S311
            try:
                stored = self._reconnect(connection, lost)
            except (psycopg.Error, StorageFailing) as error:
                away.failure = self._cause(error)
                pause_s = min(pause_s * 2, LAST_PAUSE_S)
            else:
                self._away = None
                return stored
        connection.rolled_back()
        raise away.failure

    def _reconnect(self, connection: Connection, lost: "_Lost") -> list[object] | None:
        """Connect anew; the outcomes of the last batch, if it may be stored. Raises psycopg.Error, StorageFailing."""
        connection.raw.close()
        raw = connect(self._address, self._answer_s)
        connection.attach(raw)
        with raw.transaction():
            connection.begin(self.node.epoch, is_clock_ours=False)
            last = nodes.relink(connection, self.node.epoch)
            if last is None:
                connection.rolled_back()
                self._join(connection)
            else:
                self._rejoined(connection)
        if last is None:
            logs.event("node_rejoined", level=logs.WARNING, epoch=self.node.epoch)
            return _untold(lost)
        self.node.link, commit = last
        if lost.outcomes is not None and commit == self.node.commit:
            return lost.outcomes
        connection.rolled_back()
        return None


class _Lost(Exception):
    """The connection is gone. ``outcomes``: those of a batch that may be stored; None: it was undone."""

    def __init__(self, error: psycopg.Error, outcomes: list[object] | None = None) -> None:
        super().__init__(str(error))
        self.error, self.outcomes = error, outcomes


def _untold(lost: _Lost) -> list[object] | None:
    """The outcomes of a batch, once nobody knows any more whether it was stored."""
    if lost.outcomes is None:
        return None
    detail = "the connection to the database broke while it stored this"
    return [StorageFailing(detail, "try again") for _ in lost.outcomes]


def _outcome(connection: Connection, work: Transaction) -> object:
    """Its result, or its ImgserveError. Raises HalfDone."""
    writes = connection.writes
    try:
        return work(connection)
    except ImgserveError as error:
        if connection.writes != writes:
            raise HalfDone from error
        return error
