"""The queue of one machine: a SQLite file that survives power loss, owned by one server process.

This file connects it with its data directory: the lock, the free room, the clock that goes on.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from imgserve.clock import Clock, Mark
from imgserve.jobs.config import Config
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.model import Claim, Ended
from imgserve.jobs.protocol import Pruned
from imgserve.jobs.sql.queue import SqlQueue
from imgserve.jobs.sql.wakeups import Wakeups
from imgserve.jobs.sqlite import clock as clocks
from imgserve.jobs.sqlite import datadir, shrinking, texts
from imgserve.jobs.sqlite.commits import Commits
from imgserve.jobs.sqlite.connection import Connection
from imgserve.jobs.sqlite.datadir import OpenFiles
from imgserve.jobs.sqlite.opening import take_over
from imgserve.jobs.sqlite.snapshots import FileSnapshots
from imgserve.telemetry.states import State

FILE_NAME = "queue.sqlite"


class SqliteQueue(SqlQueue[Connection]):
    """Build with ``open``."""

    def __init__(
        self, data_dir: Path, config: Config, lock_fd: int, on_end: Callable[[Ended], None], clock: Clock | None
    ) -> None:
        path = data_dir / FILE_NAME
        self._commits = Commits(path)
        super().__init__(self._commits, FileSnapshots(path), config, on_end, clock, Wakeups())
        self._data_dir = data_dir
        self._lock_fd = lock_fd
        self._is_shrinking = False

    @classmethod
    async def open(
        cls, data_dir: Path, config: Config, now: float | Clock, on_end: Callable[[Ended], None] = lambda _: None
    ) -> "SqliteQueue":
        """Take the data directory over. A clock goes on where the last server's ended, and is looked at for steps.

        Raises StorageFailing, also while another server has the directory.
        """
        clock = now if isinstance(now, Clock) else None
        queue = cls(data_dir, config, datadir.lock(data_dir), on_end, clock)
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(queue.aclose)
            await queue._take_over(now)
            undo.pop_all()
        return queue

    async def _take_over(self, start: float | Clock) -> None:
        def prepare(db: Connection) -> None:
            db.wall_of = self._wall_of
            ownership = take_over(db, start, self._config, self._placeholders)
            self._taken_over(db, ownership.id, ownership.epoch, ownership.now)

        await self._committer.open(prepare)
        self._commits.watch(OpenFiles(self._data_dir, FILE_NAME))
        self._committer.run_later(self._count_abandoned)
        datadir.sync(self._data_dir)

    async def _close(self) -> None:
        await super()._close()
        os.close(self._lock_fd)

    def states(self) -> Iterator[State]:
        if self._clock is not None:
            yield from clocks.states(self._clock, self._note)
        yield from super().states()

    def _shortage(self) -> StorageFailing | None:
        return datadir.lack_of_room(self._data_dir, self._config.min_free_disk_bytes)

    def _trouble(self) -> StorageFailing | None:
        return self._commits.look() or self._shortage()

    def check_disk(self, size_bytes: int) -> None:
        if (lack := datadir.lack_of_room(self._data_dir, self._config.min_free_disk_bytes + size_bytes)) is not None:
            raise lack

    def _note(self, mark: Mark) -> None:
        self._committer.run_later(lambda db: clocks.note(db, mark))

    def _beat(self, db: Connection, claims: tuple[Claim, ...]) -> None:
        if self._clock is not None and claims:
            clocks.note(db, self._clock.mark())  # so that the next server knows how late it was

    def _repair(self, db: Connection) -> int:
        return texts.repair(db)

    async def prune(self, now: float) -> Pruned:
        """Afterwards the file gives free pages back."""
        jobs = 0
        if not self._is_shrinking:
            pruned = await super().prune(now)
            if not pruned.is_done:
                return pruned
            jobs = pruned.jobs
        self._is_shrinking = not await self._committer.run(shrinking.step, survives_power_loss=False)
        return Pruned(jobs, not self._is_shrinking)
