"""The SQLite engine for the contract suite, and for the tests that look into its file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from imgserve.jobs.config import Config
from imgserve.jobs.model import Ended
from imgserve.jobs.protocol import Queue
from imgserve.jobs.sql.database import rows
from imgserve.jobs.sqlite.queue import FILE_NAME, SqliteQueue
from tests.support.queues import START


class SqliteHouse:
    """One data directory and the servers that come and go on it, one at a time."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._queue: SqliteQueue | None = None

    async def open(
        self, now: float = START, config: Config | None = None, on_end: Callable[[Ended], None] = lambda _: None
    ) -> Queue:
        """A new owner; the one before is gone without having finished anything."""
        await self.crash()
        self._queue = await SqliteQueue.open(self.data_dir, config or Config(min_free_disk_bytes=0), now, on_end)
        return self._queue

    def statuses(self) -> dict[int, str]:
        """Every job's status as another reader of the disk sees it."""
        return {int(row[0]): str(row[1]) for row in self._read("SELECT number, status FROM job")}

    def answered(self) -> set[int]:
        """The numbers of the jobs whose answers are noted."""
        return {int(row[0]) for row in self._read("SELECT number FROM job WHERE is_answered = 1")}

    def leases(self) -> list[float]:
        """The ends of the leases, by the numbers of their jobs."""
        return [row[0] for row in self._read("SELECT lease_until FROM job WHERE status = 'running' ORDER BY number")]

    def _read(self, statement: str) -> list[tuple[Any, ...]]:
        reader = apsw.Connection(str(self.data_dir / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return rows(reader, statement)
        finally:
            reader.close()

    async def crash(self) -> None:
        if self._queue is not None:
            await self._queue.aclose()
            self._queue = None


def add_ended(db: apsw.Connection, count: int, status: str, ended_at: float, *, is_owing: bool = False) -> None:
    """So many ended jobs at once, written into the file of a queue that no server has; microseconds apart."""
    with db:
        db.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
            " INSERT INTO job (id, status, source, info, digest, is_answered, is_activated, epoch, created_at,"
            " deadline_at, run_at, principal, ended_at) SELECT lower(hex(randomblob(16))), ?2, zeroblob(300), x'', x'',"
            " 1, 1, 1, 1, 1, 1, 'a', ?3 + i / 1e6 FROM n",
            (count, status, ended_at),
        )
        db.execute(
            "INSERT INTO output (job, spec, destination, is_form, status)"
            " SELECT number, zeroblob(900), 'http://place.test:80/' || number, 0, 'delivered' FROM job"
            " WHERE number > (SELECT max(number) FROM job) - ?1",
            (count,),
        )
        if is_owing:
            db.execute(
                "INSERT INTO outbox (job, output, kind, due_at, until) SELECT job, id, 'error_image', 1, 1 FROM output"
                " WHERE job > (SELECT max(number) FROM job) - ?1",
                (count,),
            )
