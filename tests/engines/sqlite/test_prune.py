"""What becomes of ended jobs in a queue that keeps many: small steps whatever else is kept, and a file that shrinks."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.sql.database import rows
from imgserve.jobs.sql.prune import STEP_S, Position, step
from imgserve.jobs.sqlite import shrinking
from imgserve.jobs.sqlite.compact import NEW_NAME, compact
from imgserve.jobs.sqlite.connection import Connection, connect
from imgserve.jobs.sqlite.queue import FILE_NAME
from imgserve.jobs.sqlite.schema import migrate
from tests.support.queues import START, accepted, due_entries, failed, output, pruned, released
from tests.support.sqlite import SqliteHouse, add_ended

CONFIG = Config(min_free_disk_bytes=0)
DAY_S = 24 * 3600.0
LATER = START + 1e8


@pytest.fixture
def db(tmp_path: Path) -> Connection:
    connection = connect(tmp_path / FILE_NAME)
    migrate(connection)
    return connection


def numbers_left(db: Connection) -> int:
    found: int = db.execute("SELECT count(*) FROM job").get
    return found


def run(db: Connection, now: float) -> tuple[int, int]:
    """Jobs and steps of a whole pass."""
    place: Position | None = Position()
    jobs = steps = 0
    while place is not None:
        with db:
            deleted, place = step(db, place, CONFIG, now)
        jobs, steps = jobs + deleted, steps + 1
    while not shrinking.step(db):
        pass
    return jobs, steps


class Work:
    """How many of SQLite's own steps were taken: the same on a busy machine as on an idle one."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self.count = 0

    def of(self, change: Callable[[], object]) -> int:
        self.count = 0
        self._db.set_progress_handler(self._note, 100)
        change()
        self._db.set_progress_handler(None)
        return self.count

    def _note(self) -> bool:
        self.count += 1
        return False


def test_the_work_is_that_of_what_is_deleted(db: Connection) -> None:
    """However many are kept: those of today, failed ones of last week, and those that still owe."""
    add_ended(db, 200, "succeeded", START)
    alone = Work(db).of(lambda: run(db, LATER))
    assert numbers_left(db) == 0
    add_ended(db, 4000, "succeeded", LATER - DAY_S / 2)
    add_ended(db, 4000, "failed", LATER - 7 * DAY_S)
    add_ended(db, 200, "succeeded", START)
    beside = Work(db).of(lambda: run(db, LATER))
    assert numbers_left(db) == 8000
    assert beside < 1.5 * alone + 10, (alone, beside)


def test_a_pass_looks_once_at_those_that_still_owe(db: Connection) -> None:
    add_ended(db, 1000, "succeeded", START)
    alone = Work(db).of(lambda: run(db, LATER))
    add_ended(db, 3000, "cancelled", START, is_owing=True)
    looked = Work(db).of(lambda: run(db, LATER))
    add_ended(db, 1000, "succeeded", START + 10)
    assert Work(db).of(lambda: run(db, LATER)) < looked + 1.5 * alone
    assert numbers_left(db) == 3000


def test_a_step_ends_when_its_time_is_over(db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock finds it a millisecond later."""
    now = iter(range(1_000_000))
    monkeypatch.setattr("imgserve.jobs.sql.prune.time.perf_counter", lambda: next(now) / 1000)
    add_ended(db, 100, "succeeded", START)
    with db:
        jobs, position = step(db, Position(), CONFIG, LATER)
    assert jobs == STEP_S * 1000 + 1
    assert position is not None
    assert run(db, LATER)[0] == 100 - jobs


def test_a_new_file_gives_its_room_back(db: Connection, tmp_path: Path) -> None:
    add_ended(db, 10_000, "succeeded", START)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before = (tmp_path / FILE_NAME).stat().st_size
    assert run(db, LATER)[0] == 10_000
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert (tmp_path / FILE_NAME).stat().st_size < before / 3


def old_file(directory: Path, jobs: int) -> None:
    """As an older version made it: free pages stay in the file."""
    sqlite3.connect(directory / FILE_NAME).execute("CREATE TABLE first (x)").connection.close()
    db = connect(directory / FILE_NAME)
    db.execute("DROP TABLE first")
    migrate(db)
    add_ended(db, jobs, "succeeded", START)
    assert db.execute("PRAGMA auto_vacuum").get == 0
    run(db, LATER)
    db.close()


async def test_an_older_file_uses_its_room_again_and_can_be_compacted(house: SqliteHouse, tmp_path: Path) -> None:
    old_file(tmp_path, 3000)
    path = tmp_path / FILE_NAME
    before = path.stat().st_size
    queue = await house.open()
    entry = await released(queue)
    await house.crash()
    assert path.stat().st_size == before
    path.chmod(0o640)
    done = compact(tmp_path)
    assert done is not None
    assert (done.before, done.after) == (before, path.stat().st_size)
    assert done.after < before / 10
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path)) == ["lock", FILE_NAME]
    queue = await house.open(START + 100)
    assert house.statuses() == {entry.number: "queued"}
    assert (await accepted(queue, output("http://place.test:80/b"))).number == entry.number + 1
    await house.crash()
    db = connect(path)
    assert db.execute("PRAGMA auto_vacuum").get == 2, "from now on it shrinks by itself"
    assert rows(db, "PRAGMA integrity_check") == [("ok",)]


async def test_compact_leaves_a_running_servers_file_alone(house: SqliteHouse, tmp_path: Path) -> None:
    await house.open()
    with pytest.raises(StorageFailing, match="belongs to another running imgserve"):
        compact(tmp_path)


def test_compact_of_nothing_and_of_a_damaged_file(tmp_path: Path) -> None:
    assert compact(tmp_path) is None
    (tmp_path / FILE_NAME).write_bytes(b"no database, but long enough to be looked at" * 100)
    (tmp_path / NEW_NAME).write_bytes(b"what a killed one left")
    with pytest.raises(StorageFailing, match="cannot be compacted: the file is damaged"):
        compact(tmp_path)
    assert not (tmp_path / NEW_NAME).exists()


async def test_a_pass_goes_on_between_other_changes(house: SqliteHouse, tmp_path: Path) -> None:
    queue = await house.open()
    await house.crash()
    db = connect(tmp_path / FILE_NAME)
    add_ended(db, 3000, "succeeded", START)
    add_ended(db, 2000, "failed", START)
    db.close()
    queue = await house.open()
    await failed(queue, now=START)
    jobs, _ = await asyncio.gather(pruned(queue, LATER), released(queue, output("http://place.test:80/b"), now=LATER))
    assert jobs == 5000
    assert len(await due_entries(queue, LATER)) == 1
    assert sorted(house.statuses().values()) == ["failed", "queued"]
