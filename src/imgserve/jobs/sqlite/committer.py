"""Group commit: one thread runs transactions from the event loop, many to a commit.

A transaction is a function of a connection. Its caller goes on only after the commit has reached the disk. One that
fails does not fail the others: if it has changed something before, the commit is undone and each is tried by itself.
"""

import asyncio
import contextvars
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import apsw
import msgspec

from imgserve.errors import ImgserveError
from imgserve.jobs.faults import QueueFault, StorageFailing
from imgserve.jobs.sqlite.breakage import STORAGE_ERRORS, storage_failing
from imgserve.jobs.sqlite.connection import SYNCED, UNSYNCED, Connection, connect
from imgserve.jobs.sqlite.datadir import OpenFiles
from imgserve.jobs.sqlite.loopthread import LoopThread
from imgserve.telemetry import logs

T = TypeVar("T")
Transaction = Callable[[Connection], object]
Announce = Callable[[object], None]

MAX_BATCH = 256
LATER_S = 0.05
BROKEN_REMEDY = "mend the disk, then restart the server: after a failed fsync nothing it reads can be trusted"


class Committer:
    """The only user of the SQLite connection. ``on_commit`` is called on the event loop after each commit.

    One commit is under way at a time. Transactions that come meanwhile go into the next one, in their order.
    """

    def __init__(self, path: Path, on_commit: Callable[[Connection], None]) -> None:
        self._path = path
        self._on_commit = on_commit
        self._loop = asyncio.get_running_loop()
        self._thread = LoopThread(self._loop, "queue")
        self._pending: list[_Entry] = []
        self._apart: list[_Entry] = []
        self._is_busy = False
        self._idle = asyncio.Event()
        self._connection: Connection | None = None
        self._is_broken = False
        self.failure: StorageFailing | None = None
        self._is_synced = True
        self._files: OpenFiles | None = None

    def watch(self, files: OpenFiles) -> None:
        """Store nothing while these files are not where they were."""
        self._files = files

    def look(self) -> StorageFailing | None:
        """The fault of the watched files."""
        return self._files.look() if self._files is not None else None

    async def open(self, prepare: Callable[[Connection], None]) -> None:
        """Open the file and run ``prepare`` on it. Raises StorageFailing."""

        def open_file() -> None:
            self._connection = connect(self._path)
            prepare(self._connection)

        try:
            await self._thread.call(open_file)
        except (*STORAGE_ERRORS, OSError) as error:
            what = f"the queue file {self._path} cannot be opened"
            raise storage_failing(error, what, self._path, is_start=True) from error

    async def run(
        self,
        transaction: Callable[[Connection], T],
        announce: Callable[[T], None] | None = None,
        *,
        survives_power_loss: bool = True,
    ) -> T:
        """The transaction's value, once it is stored. Raises what it raised, or StorageFailing.

        Every commit survives the death of this process. One that need not survive the machine's is not synced by
        itself: it is lost together with all that came after it, or not at all, since the WAL is read in order.
        ``announce`` gets the value even when the caller was cancelled meanwhile: the change is stored all the same.
        """
        future: asyncio.Future[object] = self._loop.create_future()
        self._pending.append(_Entry(transaction, future, announce, survives_power_loss))  # type: ignore[arg-type]
        self._start()
        return await future  # type: ignore[return-value]

    def run_later(self, transaction: Callable[[Connection], object]) -> None:
        """Store a change with the next commit, at the latest after ``LATER_S``. No caller waits for it."""
        future: asyncio.Future[object] = self._loop.create_future()
        future.add_done_callback(_log_failure)
        self._pending.append(_Entry(transaction, future, None, False))
        self._loop.call_later(LATER_S, self._start)

    async def aclose(self) -> None:
        """Finish what is pending, then close the file."""
        self._start()
        while self._is_busy:
            self._idle.clear()
            await self._idle.wait()

        def close_file() -> None:
            if self._connection is not None:
                self._connection.close()

        await self._thread.call(close_file)  # behind an ``open`` that is not done, too
        self._thread.stop()

    def _start(self) -> None:
        if self._pending and not self._is_busy:
            self._is_busy = True
            # At the end of this iteration of the loop, so that all its transactions share a commit. No job's context.
            self._loop.call_soon(self._send, context=contextvars.Context())

    def _send(self) -> None:
        """Hand the next batch to the thread, or become idle."""
        if self._apart:
            batch = [self._apart.pop(0)]
        elif self._pending:
            batch, self._pending = self._pending[:MAX_BATCH], self._pending[MAX_BATCH:]
        else:
            self._is_busy = False
            self._idle.set()
            return
        work = [entry.transaction for entry in batch]
        is_synced = any(entry.survives_power_loss for entry in batch)
        self._thread.send(lambda: self._commit(work, is_synced), lambda outcome: self._stored(batch, outcome))

    def _stored(self, batch: "list[_Entry]", result: "list[object] | Exception") -> None:
        """Resolve the batch's futures; or, when a bug has undone a batch of several, try them one by one."""
        self.failure = self._failure(result)
        if not isinstance(result, Exception):
            outcomes = result
            assert self._connection is not None
            self._on_commit(self._connection)
        elif self.failure is not None:
            outcomes = [type(self.failure)(self.failure.detail, self.failure.hint) for _ in batch]
        elif len(batch) > 1:
            self._apart, outcomes, batch = batch, [], []
        else:
            logs.bug("queue_fault", error=result)
            outcomes = [QueueFault("a fault inside the queue undid this change")]
        for entry, outcome in zip(batch, outcomes, strict=True):
            entry.resolve(outcome)
        self._send()

    def _failure(self, error: "list[object] | Exception") -> StorageFailing | None:
        if isinstance(error, StorageFailing):
            return error
        if not isinstance(error, STORAGE_ERRORS):
            return None
        if self._is_broken:
            return StorageFailing(f"the queue cannot be written: {error}", BROKEN_REMEDY)
        return storage_failing(error, "the queue cannot be written", self._path)

    def _commit(self, batch: list[Transaction], is_synced: bool) -> list[object]:
        connection = self._connection
        if connection is None or self._is_broken:
            raise apsw.IOError("the disk refused to keep an earlier commit")
        if is_synced and self._files is not None and (moved := self._files.look_again()) is not None:
            raise moved
        if is_synced != self._is_synced:
            connection.execute(SYNCED if is_synced else UNSYNCED)
            self._is_synced = is_synced
        connection.execute("BEGIN IMMEDIATE")
        try:
            # An error of a single transaction needs no ``_outcome``: it undoes the commit.
            outcomes = [batch[0](connection)] if len(batch) == 1 else [_outcome(connection, work) for work in batch]
            connection.execute("COMMIT")
        except ImgserveError as error:
            return [error]
        except apsw.IOError as error:
            # After a failed fsync the kernel may have dropped the pages: nothing read from here can be trusted.
            extended = getattr(error, "extendedresult", 0)
            self._is_broken = extended in (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC)
            raise
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return outcomes


class _HalfDone(Exception):
    """A transaction failed after it had changed something."""


def _outcome(connection: Connection, work: Transaction) -> object:
    """Its result, or its ImgserveError. Raises _HalfDone."""
    changes = connection.total_changes()
    try:
        return work(connection)
    except ImgserveError as error:
        if connection.total_changes() != changes:
            raise _HalfDone from error
        return error


def _log_failure(future: asyncio.Future[object]) -> None:
    error = future.exception()
    if isinstance(error, ImgserveError):
        logs.event("storage_failing", level=logs.WARNING, detail=error.detail)


class _Entry(msgspec.Struct, frozen=True):
    transaction: Transaction
    future: asyncio.Future[object]
    announce: Announce | None
    survives_power_loss: bool

    def resolve(self, outcome: object) -> None:
        if isinstance(outcome, ImgserveError):
            if not self.future.done():
                self.future.set_exception(outcome)
            return
        if self.announce is not None:
            self.announce(outcome)
        if not self.future.done():
            self.future.set_result(outcome)
