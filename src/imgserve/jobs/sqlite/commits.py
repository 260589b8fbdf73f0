"""The commits of the queue's file. Used by the committer, in its thread."""

from collections.abc import Callable
from pathlib import Path

import apsw

from imgserve.errors import ImgserveError
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.sql.committer import HalfDone
from imgserve.jobs.sqlite.breakage import STORAGE_ERRORS, storage_failing
from imgserve.jobs.sqlite.connection import SYNCED, UNSYNCED, Connection, connect
from imgserve.jobs.sqlite.datadir import OpenFiles

Transaction = Callable[[Connection], object]

BROKEN_REMEDY = "mend the disk, then restart the server: after a failed fsync nothing it reads can be trusted"


class Commits:
    most_at_once = 256
    # Longer gathers hardly more: half of the jobs under way wait by then.
    apart_s = 0.005

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: Connection | None = None
        self._is_broken = False
        self._is_synced = True
        self._files: OpenFiles | None = None

    def open(self, prepare: Callable[[Connection], None]) -> Connection:
        try:
            self._connection = connect(self._path)
            prepare(self._connection)
        except (*STORAGE_ERRORS, OSError) as error:
            what = f"the queue file {self._path} cannot be opened"
            raise storage_failing(error, what, self._path, is_start=True) from error
        return self._connection

    def watch(self, files: OpenFiles) -> None:
        """Store nothing while these files are not where they were."""
        self._files = files

    def look(self) -> StorageFailing | None:
        """The fault of the watched files."""
        return self._files.look() if self._files is not None else None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def failure(self, error: Exception) -> StorageFailing | None:
        if isinstance(error, StorageFailing):
            return error
        if not isinstance(error, STORAGE_ERRORS):
            return None
        if self._is_broken:
            return StorageFailing(f"the queue cannot be written: {error}", BROKEN_REMEDY)
        return storage_failing(error, "the queue cannot be written", self._path)

    def commit(self, batch: list[Transaction], *, is_synced: bool) -> list[object]:
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


def _outcome(connection: Connection, work: Transaction) -> object:
    """Its result, or its ImgserveError. Raises HalfDone."""
    changes = connection.total_changes()
    try:
        return work(connection)
    except ImgserveError as error:
        if connection.total_changes() != changes:
            raise HalfDone from error
        return error
