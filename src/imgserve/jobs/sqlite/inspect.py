"""A look at a queue file from outside its server: nothing is written, no lock of the data directory is taken.

Called by ``imgserve check``. SQLite's own read locks are taken for a moment; the server's commits go on meanwhile.
"""

import errno
import os
from pathlib import Path

import apsw
import msgspec

from imgserve.jobs.protocol import StorageFailing
from imgserve.jobs.sqlite.breakage import STORAGE_ERRORS, storage_failing
from imgserve.jobs.sqlite.listing import COUNT_OUTBOX
from imgserve.jobs.sqlite.queue import FILE_NAME
from imgserve.jobs.sqlite.schema import SCHEMA_VERSION, UNRELEASED, check_empty, check_shape

_BUSY_MS = 2000
# As ``COUNT_OUTBOX``, until schema 7.
COUNT_DEBTS = (
    "SELECT count(*) FROM output WHERE debt = 'owed'",
    "SELECT count(*) FROM output WHERE debt = 'given_up'",
    "SELECT count(*) FROM output WHERE debt = 'abandoned'",
)


class Inspected(msgspec.Struct, frozen=True):
    """``damage`` is what SQLite's quick_check says, empty if all is well. Times are seconds since 1970.

    ``due_at`` is since when the most overdue job waits for its turn, ``newest_at`` when the youngest was made.
    """

    schema: int
    newest_schema: int
    damage: tuple[str, ...] = ()
    waiting: int = 0
    running: int = 0
    oldest_at: float | None = None
    due_at: float | None = None
    newest_at: float | None = None
    pending: int = 0
    abandoned: int = 0
    unreadable: int = 0


def inspect(data_dir: Path) -> Inspected | None:
    """None: there is no queue file yet. Raises StorageFailing for one that cannot be read, PermissionError."""
    path = data_dir / FILE_NAME
    if not path.exists():
        return None
    wal = path.with_name(path.name + "-wal")
    is_left_alone = not wal.exists()  # then nobody has it open, and SQLite must make no files for us beside it
    try:
        return _read(path, is_immutable=is_left_alone)
    except STORAGE_ERRORS as error:
        if is_left_alone and wal.exists():  # a server has started meanwhile
            return _read(path, is_immutable=False)
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, "permission denied", str(path)) from error
        raise storage_failing(error, f"{path} cannot be read", path) from error


def _read(path: Path, *, is_immutable: bool) -> Inspected:
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    schema = 0
    db = apsw.Connection(f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if is_immutable else ''}", flags=flags)
    try:
        db.set_busy_timeout(_BUSY_MS)
        schema = db.execute("PRAGMA user_version").get
        if schema == 0:
            check_empty(db)
        if schema == 0 or schema > SCHEMA_VERSION:
            return Inspected(schema, SCHEMA_VERSION)
        damage = tuple(str(row[0]) for row in db.execute("PRAGMA quick_check(5)") if row[0] != "ok")
        if damage:
            return Inspected(schema, SCHEMA_VERSION, damage)
        if schema == SCHEMA_VERSION:
            check_shape(db)
        return _counted(db, schema)
    except apsw.SQLError as error:  # a table or a column is missing
        raise StorageFailing(
            f"the queue file says schema {schema}, but is of no released version: {error}", UNRELEASED
        ) from error
    finally:
        db.close()


def _counted(db: apsw.Connection, schema: int) -> Inspected:
    ahead_s = _ahead_of_wall(db, schema)
    open_jobs = "FROM job WHERE ended_at IS NULL AND status <> 'running'"
    waiting, oldest_at, due_at = db.execute(f"SELECT count(*), min(created_at), min(run_at) {open_jobs}").get
    pending, abandoned, unreadable = COUNT_OUTBOX if schema >= 8 else COUNT_DEBTS
    newest_at: float | None = db.execute("SELECT max(created_at) FROM job").get
    return Inspected(
        schema,
        SCHEMA_VERSION,
        waiting=waiting,
        oldest_at=None if oldest_at is None else oldest_at - ahead_s,
        due_at=None if due_at is None else due_at - ahead_s,
        running=db.execute("SELECT count(*) FROM job WHERE status = 'running'").get,
        newest_at=None if newest_at is None else newest_at - ahead_s,
        pending=db.execute(pending).get,
        abandoned=db.execute(abandoned).get,
        unreadable=db.execute(unreadable).get,
    )


def _ahead_of_wall(db: apsw.Connection, schema: int) -> float:
    """Seconds by which the queue's own time is ahead of the wall clock, as its server last knew."""
    if schema < 6:
        return 0.0
    ahead_s: float = db.execute("SELECT coalesce(queue_s - wall_s, 0.0) FROM owner").get
    return ahead_s
