"""Rewrites a queue file without the pages of deleted jobs.

Called by ``imgserve queue compact`` while no server runs; it holds the data directory's lock meanwhile.
"""

import os
from pathlib import Path

import msgspec

from imgserve.jobs.sqlite import datadir
from imgserve.jobs.sqlite.breakage import STORAGE_ERRORS, storage_failing
from imgserve.jobs.sqlite.connection import connect
from imgserve.jobs.sqlite.queue import FILE_NAME

NEW_NAME = FILE_NAME + ".compact"


class Compacted(msgspec.Struct, frozen=True):
    """Bytes of the file, its log included."""

    before: int
    after: int


def compact(data_dir: Path) -> Compacted | None:
    """None: there is no queue file. Raises StorageFailing, also while a server has the directory.

    The new file is written and synced beside the old one, then takes its name: until then the old one stays as it is.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        return None
    lock = datadir.lock(data_dir)
    try:
        return _rewrite(path)
    except (*STORAGE_ERRORS, OSError) as error:
        raise storage_failing(error, f"{path} cannot be compacted", path, is_start=True) from error
    finally:
        (data_dir / NEW_NAME).unlink(missing_ok=True)
        os.close(lock)


def _rewrite(path: Path) -> Compacted:
    new = path.with_name(NEW_NAME)
    new.unlink(missing_ok=True)
    before = sum(one.stat().st_size for one in path.parent.glob(f"{FILE_NAME}*"))
    db = connect(path)
    try:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # as a file that is made today
        db.execute("VACUUM INTO ?", (str(new),))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()
    owner = path.stat()
    descriptor = os.open(new, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.rename(path)
    datadir.sync(path.parent)
    return Compacted(before, path.stat().st_size)
