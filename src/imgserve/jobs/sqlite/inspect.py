"""A look at a queue file from outside its server: nothing is written, no lock of the data directory is taken.

Called by ``imgserve check``. SQLite's own read locks are taken for a moment; the server's commits go on meanwhile.
"""

import errno
import os
from pathlib import Path

import apsw
import msgspec

from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.protocol import Counts
from imgserve.jobs.sql.listing import SQL, counts
from imgserve.jobs.sqlite.breakage import STORAGE_ERRORS, storage_failing
from imgserve.jobs.sqlite.queue import FILE_NAME
from imgserve.jobs.sqlite.schema import SCHEMA_VERSION, UNRELEASED, check_empty, check_shape

_BUSY_MS = 2000


class Inspected(msgspec.Struct, frozen=True):
    """``damage`` is what SQLite's quick_check reports, empty if all is well.

    ``counts``, with times by the wall clock, and ``version``, that of the last server, are those of an undamaged file
    of the newest schema.
    """

    schema: int
    newest_schema: int
    damage: tuple[str, ...] = ()
    counts: Counts | None = None
    version: str = ""


def inspect(data_dir: Path) -> Inspected | None:
    """None: there is no queue file yet. Raises StorageFailing for one that cannot be read, PermissionError."""
    path = data_dir / FILE_NAME
    if not path.exists():
        return None
    wal = path.with_name(path.name + "-wal")
    is_left_alone = not wal.exists()  # then no server has it open, and SQLite must create no files beside it
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
        if schema < SCHEMA_VERSION:
            db.execute("SELECT epoch FROM owner")  # raises for another program's file
            return Inspected(schema, SCHEMA_VERSION)
        check_shape(db)
        version, ahead_s = db.execute(SQL["last_server"]).get
        open_now = counts(db, lambda moment: moment - ahead_s)
        return Inspected(SCHEMA_VERSION, SCHEMA_VERSION, counts=open_now, version=version)
    except apsw.SQLError as error:  # a table or a column is missing
        raise StorageFailing(
            f"the queue file says schema {schema}, but is of no released version: {error}", UNRELEASED
        ) from error
    finally:
        db.close()
