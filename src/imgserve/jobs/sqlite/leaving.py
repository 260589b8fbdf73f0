"""The queue file of a stopped server, to be copied elsewhere. Called by ``jobs.move``."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imgserve.clock import Clock
from imgserve.jobs.config import Config
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.sql.database import rows
from imgserve.jobs.sql.placeholders import RecentPlaceholders
from imgserve.jobs.sqlite import datadir
from imgserve.jobs.sqlite.breakage import STORAGE_ERRORS, storage_failing
from imgserve.jobs.sqlite.connection import Connection, connect, transaction
from imgserve.jobs.sqlite.opening import take_over
from imgserve.jobs.sqlite.queue import FILE_NAME
from imgserve.jobs.sqlite.schema import migrate

# The file's name once its jobs are elsewhere: no server finds it by chance and carries them out again.
LEFT_NAME = FILE_NAME + ".moved"

_KEPT_UPLOADS = "SELECT id FROM upload WHERE state = 'kept' ORDER BY id"
_COUNTERS = """SELECT name, seq FROM sqlite_sequence
    UNION ALL SELECT 'webhook_try', coalesce(max(number), 0) FROM webhook_try"""


class LeavingQueue:
    """``id`` is the queue's; its ``epoch`` grows with each server that has the file."""

    id: str
    epoch: int

    def __init__(self, db: Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._read_owner()

    @property
    def has_left(self) -> bool:
        return self._path.name == LEFT_NAME

    def settle(self, config: Config, now: float | Clock) -> float:
        """Let nothing be under way any more, as the start of a server does. Returns the queue's time."""
        take_over(self._db, now, config, RecentPlaceholders())
        self._read_owner()
        return now() if isinstance(now, Clock) else now

    def columns(self, table: str) -> dict[str, str]:
        """The types of its columns."""
        return dict(rows(self._db, "SELECT name, type FROM pragma_table_info(?)", (table,)))

    def read(self, select: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        return rows(self._db, select, values)

    def pictures(self) -> Iterator[tuple[str, Path]]:
        """The ids of uploads that jobs keep, in their order, and their files."""
        for (upload_id,) in rows(self._db, _KEPT_UPLOADS):
            yield upload_id, self._path.parent / datadir.UPLOADS / upload_id

    def counters(self) -> dict[str, int]:
        """The highest number that each table has given out; of tries, the highest that there is."""
        return dict(rows(self._db, _COUNTERS))

    def events_gone(self) -> int:
        number: int = self._db.execute("SELECT events_gone FROM owner").get
        return number

    def leave(self) -> None:
        """Rename the file. From here on no server opens it."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()
        self._path = self._path.rename(self._path.with_name(LEFT_NAME))
        datadir.sync(self._path.parent)

    def _read_owner(self) -> None:
        self.id, self.epoch = self._db.execute("SELECT id, epoch FROM owner").get


@contextlib.contextmanager
def opened(data_dir: Path) -> Iterator[LeavingQueue]:
    """The file, or the one that has left already. Raises StorageFailing, also while a server has the directory."""
    lock = datadir.lock(data_dir)
    try:
        path = _find(data_dir)
        try:
            with contextlib.closing(connect(path)) as db:
                with transaction(db):
                    migrate(db)
                yield LeavingQueue(db, path)
        except STORAGE_ERRORS as error:
            raise storage_failing(error, f"{path} cannot be moved", path, is_start=True) from error
    finally:
        os.close(lock)


def _find(data_dir: Path) -> Path:
    there = [path for path in (data_dir / FILE_NAME, data_dir / LEFT_NAME) if path.exists()]
    if not there:
        raise StorageFailing(f"there is no queue file in {data_dir}", "--data-dir names another place")
    if len(there) == 2:
        raise StorageFailing(f"{there[0]} cannot be moved: {LEFT_NAME} is there from an earlier move", "move it away")
    return there[0]
