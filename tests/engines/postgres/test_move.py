"""A queue that moves from its file into a database: nothing is lost or changed, whenever the move is cut off."""

import time
from collections.abc import AsyncIterator, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import apsw
import msgspec
import psycopg
import pytest

from imgserve.clock import Clock
from imgserve.jobs import move as moving
from imgserve.jobs.config import Config
from imgserve.jobs.event_views import EventQuery
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.model import UPLOAD_PART_BYTES, Ended
from imgserve.jobs.move import TABLES, move
from imgserve.jobs.move_uploads import CHUNK_PARTS
from imgserve.jobs.postgres.arriving import ArrivingQueue
from imgserve.jobs.protocol import KeptUpload, Queue
from imgserve.jobs.sqlite.datadir import UPLOADS
from imgserve.jobs.sqlite.leaving import LEFT_NAME
from imgserve.jobs.sqlite.queue import FILE_NAME, SqliteQueue
from imgserve.jobs.views import JobQuery
from imgserve.request.source import received, sent_source
from tests.contract.queue.test_random import World
from tests.support.postgres import Postgres
from tests.support.postgres_house import PostgresHouse
from tests.support.queues import START, claimed, ended, failed, new_job, output, released
from tests.support.sqlite import SqliteHouse

CONFIG = Config(min_free_disk_bytes=0)


class MovingHouse:
    """A file whose queue moves into a database at the second start of a server."""

    def __init__(self, file: SqliteHouse, database: PostgresHouse) -> None:
        self._file = file
        self._database = database
        self._opened = 0

    @property
    def _now(self) -> SqliteHouse | PostgresHouse:
        return self._file if self._opened < 2 else self._database

    async def open(
        self, now: float = START, config: Config | None = None, on_end: Callable[[Ended], None] = lambda _: None
    ) -> Queue:
        await self.crash()
        self._opened += 1
        if self._opened == 2:
            move(self._file.data_dir, self._database.address, CONFIG, now)
        return await self._now.open(now, config, on_end)

    async def crash(self) -> None:
        await self._now.crash()

    def statuses(self) -> dict[int, str]:
        return self._now.statuses()


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[SqliteHouse]:
    opened = SqliteHouse(tmp_path)
    yield opened
    await opened.crash()


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[PostgresHouse]:
    opened = PostgresHouse(postgres, is_bare=True)
    yield opened
    await opened.crash()
    opened.close()


@pytest.mark.parametrize("seed", range(3))
async def test_a_queue_at_random_that_moves(file: SqliteHouse, database: PostgresHouse, seed: int) -> None:
    """It is at work when its server dies and it moves, and goes on as if nothing had been."""
    world = World(MovingHouse(file, database), seed)
    world.queue = await world.house.open(START)
    steps = [world.enqueue, world.place, world.finish_intake, world.take_work, world.write_final, world.settle]
    for step in world.random.choices([*steps, world.pay, world.let_time_pass, world.cancel, world.retry], k=70):
        await step()
    await world.crash()
    assert (file.data_dir / LEFT_NAME).exists()
    for step in world.random.choices([*steps, world.pay, world.let_time_pass, world.cancel, world.retry], k=30):
        await step()
    await world.drive_to_rest()
    world.check_rest()
    await world.check_told()


async def filled(file: SqliteHouse) -> Queue:
    """A queue with an ended job, a failed one and three that wait."""
    queue = await file.open()
    await released(queue)
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    await failed(queue, output("http://place.test:80/failed.png"))
    for number in range(3):
        await released(queue, output(f"http://place.test:80/{number}.png"))
    return queue


async def shown(queue: Queue) -> tuple[object, ...]:
    """Everything that people see of it."""
    page = await queue.page(JobQuery())
    events = await queue.events_after(EventQuery(after=0), START)
    return [await queue.job(one.id) for one in page.jobs], events.events, await queue.counts()


async def test_people_see_the_same_jobs_and_events(file: SqliteHouse, database: PostgresHouse) -> None:
    before = await shown(await filled(file))
    await file.crash()
    moved = move(file.data_dir, database.address, CONFIG, START)
    assert moved.is_new
    assert moved.rows["job"] == 5
    assert stored(database, "SELECT DISTINCT epoch FROM imgserve.job") == [(0,)], "a node may have the file's epochs"
    assert stored(database, "SELECT sum(jobs) FROM imgserve.backlog") == [(3,)]
    queue = await database.open()
    assert await shown(queue) == before
    new = await released(queue, output("http://place.test:80/new.png"))
    assert new.number == 6


async def test_numbers_are_not_given_out_again(file: SqliteHouse, database: PostgresHouse) -> None:
    """A reader of events must not meet numbers that it has passed over, nor another job under an old number."""
    queue = await filled(file)
    newest = await queue.newest_event()
    await file.crash()
    changed(file, "PRAGMA foreign_keys = ON; DELETE FROM job WHERE number = 5")
    move(file.data_dir, database.address, CONFIG, START)
    queue = await database.open()
    assert (await released(queue, output("http://place.test:80/new.png"))).number == 6
    page = await queue.events_after(EventQuery(after=newest), START)
    assert page.events
    assert all(event.number > newest for event in page.events)


def changed(file: SqliteHouse, statements: str) -> None:
    db = apsw.Connection(str(file.data_dir / FILE_NAME))
    db.execute(statements)
    db.close()


def stored(database: PostgresHouse, select: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.address.url) as db:
        cursor = db.execute(select.encode())
        return cursor.fetchall() if cursor.description else []


async def test_its_times_are_the_databases(file: SqliteHouse, database: PostgresHouse) -> None:
    """The wall clock of the old machine was an hour behind. Its queue's time went on with that."""
    behind = Clock(wall=lambda: time.time() - 3600)
    queue = await SqliteQueue.open(file.data_dir, CONFIG, behind)
    await released(queue, now=behind())
    await queue.aclose()
    move(file.data_dir, database.address, CONFIG, Clock(wall=lambda: time.time() - 3600))
    [(created_at, run_at, not_before)] = stored(database, "SELECT created_at, run_at, not_before FROM imgserve.job")
    assert abs(created_at - time.time()) < 60
    assert abs(run_at - time.time()) < 60
    assert not_before is None


async def test_damaged_texts_arrive_readable(file: SqliteHouse, database: PostgresHouse) -> None:
    await filled(file)
    await file.crash()
    changed(file, "UPDATE output SET detail = CAST(x'61ff62' AS TEXT); UPDATE output SET hint = char(97, 0, 98)")
    move(file.data_dir, database.address, CONFIG, START)
    assert set(stored(database, "SELECT detail, hint FROM imgserve.output")) == {("a\ufffdb", "a\ufffdb")}


def test_every_table_and_time_is_known() -> None:
    """A new table or column of the file has to be thought of here."""
    db = apsw.Connection(":memory:")
    db.execute((resources.files("imgserve.jobs.sqlite") / "schema.sql").read_text())
    columns = db.execute(
        "SELECT entry.name, field.name, field.type FROM sqlite_schema AS entry"
        " JOIN pragma_table_info(entry.name) AS field WHERE entry.type = 'table' AND entry.name NOT LIKE 'sqlite_%'"
    ).fetchall()
    assert {table for table, _, _ in columns} == TABLES.keys() | {"owner", "process"}
    assert {name for table, name, type_ in columns if type_ == "REAL" and table in TABLES} == moving.TIMES


def refusal(data_dir: Path, database: PostgresHouse) -> str:
    with pytest.raises(StorageFailing) as raised:
        move(data_dir, database.address, CONFIG, START)
    return raised.value.sentence()


async def test_a_file_moves_once_and_without_a_server(file: SqliteHouse, database: PostgresHouse) -> None:
    assert "there is no queue file in" in refusal(file.data_dir, database)
    await filled(file)
    assert "belongs to another running imgserve" in refusal(file.data_dir, database)
    await file.crash()
    assert move(file.data_dir, database.address, CONFIG, START).is_new
    assert not move(file.data_dir, database.address, CONFIG, START).is_new
    stored(database, "DROP SCHEMA imgserve CASCADE")
    assert "has been moved, but not into" in refusal(file.data_dir, database)
    (file.data_dir / FILE_NAME).touch()
    assert "is there from an earlier move" in refusal(file.data_dir, database)


async def test_a_queue_that_is_there_is_left_alone(file: SqliteHouse, database: PostgresHouse) -> None:
    await filled(file)
    await file.crash()
    await database.open()
    await database.crash()
    assert "has a queue already" in refusal(file.data_dir, database)
    assert (file.data_dir / FILE_NAME).exists()


async def test_a_database_that_goes_away_says_what_to_do(
    file: SqliteHouse, database: PostgresHouse, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection ends before the second chunk is written."""
    await filled(file)
    await file.crash()
    method = ArrivingQueue.add

    def add(queue: ArrivingQueue, table: str, *arguments: Any) -> None:
        if table == "output":
            postgres.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                f" WHERE datname = '{database.database}' AND pid <> pg_backend_pid()"
            )
        method(queue, table, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ArrivingQueue, "add", add)
        sentence = refusal(file.data_dir, database)
    assert "the queue cannot be moved into" in sentence
    assert "then run the same command again" in sentence
    assert move(file.data_dir, database.address, CONFIG, START).is_new


class CutError(Exception):
    """The machine went down here."""


def cut_at(monkeypatch: pytest.MonkeyPatch, file: SqliteHouse, database: PostgresHouse, name: str, at: int = 1) -> bool:
    """Move, but go down before the ``at``-th call of that method; whether it came to that."""
    calls = 0
    method = getattr(ArrivingQueue, name)

    def cutting(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            raise CutError
        return method(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ArrivingQueue, name, cutting)
        try:
            move(file.data_dir, database.address, CONFIG, START)
        except CutError:
            return True
    return False


async def test_a_move_that_is_cut_off_goes_on(
    file: SqliteHouse, database: PostgresHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each of its chunks: no row comes twice, and there is no queue before all of them have come."""
    before = await shown(await filled(file))
    await file.crash()
    monkeypatch.setattr(moving, "CHUNK_ROWS", 2)
    cuts = 0
    while cut_at(monkeypatch, file, database, "add", at=2):
        cuts += 1
        assert stored(database, "SELECT to_regclass('imgserve.owner')") == [(None,)]
        assert cuts < 100
    assert cuts > 10
    queue = await database.open()
    assert await shown(queue) == before


@pytest.mark.parametrize("name", ["begin", "read", "become_the_queue"])
async def test_a_move_that_is_cut_off_between_its_parts_goes_on(
    file: SqliteHouse, database: PostgresHouse, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """At no time could servers begin on both."""
    before = await shown(await filled(file))
    await file.crash()
    assert cut_at(monkeypatch, file, database, name)
    assert stored(database, "SELECT to_regclass('imgserve.owner')") == [(None,)]
    assert (file.data_dir / FILE_NAME).exists() == (name != "become_the_queue")
    assert move(file.data_dir, database.address, CONFIG, START).is_new
    assert not (file.data_dir / FILE_NAME).exists()
    queue = await database.open()
    assert await shown(queue) == before


async def test_a_server_that_had_the_file_meanwhile(
    file: SqliteHouse, database: PostgresHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows that have come are not the file's any more: the move begins anew."""
    await filled(file)
    await file.crash()
    assert cut_at(monkeypatch, file, database, "read")
    queue = await file.open()
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    await file.crash()
    move(file.data_dir, database.address, CONFIG, START)
    await database.open()
    assert list(database.statuses().values()).count("succeeded") == 2


async def test_a_row_that_has_changed_is_found(
    file: SqliteHouse, database: PostgresHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(file)
    await file.crash()
    assert cut_at(monkeypatch, file, database, "read")
    stored(database, "UPDATE imgserve_move.output SET detail = 'x' WHERE id = 3")
    assert "the table output is not the file's" in refusal(file.data_dir, database)
    stored(database, "UPDATE imgserve_move.output SET detail = '' WHERE id = 3")
    stored(database, "INSERT INTO imgserve_move.placeholder VALUES ('x', 1, 1)")
    assert "the table placeholder is not the file's" in refusal(file.data_dir, database)
    assert (file.data_dir / FILE_NAME).exists()


async def test_two_files_do_not_come_into_one_queue(
    file: SqliteHouse, database: PostgresHouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await filled(file)
    await file.crash()
    assert cut_at(monkeypatch, file, database, "read")
    other = SqliteHouse(tmp_path / "other")
    other.data_dir.mkdir()
    await filled(other)
    await other.crash()
    assert "another data directory is being moved" in refusal(other.data_dir, database)


PICTURES = {"0" * 32: b"", "a" * 32: b"x" * (CHUNK_PARTS * UPLOAD_PART_BYTES + 1), "f" * 32: b"the last one"}


async def with_pictures(file: SqliteHouse) -> None:
    """Three jobs with their pictures, and a picture without a job."""
    queue = await file.open()
    (file.data_dir / UPLOADS).mkdir()
    (file.data_dir / UPLOADS / ("b" * 32)).write_bytes(b"of nobody")
    for upload_id, picture in PICTURES.items():
        (file.data_dir / UPLOADS / upload_id).write_bytes(picture)
        await queue.reserve_upload(KeptUpload(upload_id, "", len(picture)), START)
        source = received(sent_source("a"), upload_id, bytes(32))
        await queue.enqueue(msgspec.structs.replace(new_job(), source=source, source_bytes=len(picture)), START)
    await file.crash()


async def arrived_pictures(database: PostgresHouse) -> dict[str, bytes]:
    queue = await database.open()
    parts = queue.upload_parts
    assert parts is not None
    pictures = dict[str, bytes]()
    for upload in await queue.uploads():
        if await parts.size_bytes(upload.id) is not None:
            numbers = range(CHUNK_PARTS + 1)
            pictures[upload.id] = b"".join([await parts.read(upload.id, number) or b"" for number in numbers])
    return pictures


async def test_pictures_of_uploads_move_too(file: SqliteHouse, database: PostgresHouse) -> None:
    await with_pictures(file)
    assert move(file.data_dir, database.address, CONFIG, START).rows["upload_part"] == CHUNK_PARTS + 3
    assert await arrived_pictures(database) == PICTURES


async def test_a_picture_that_is_missing_holds_up_no_other(file: SqliteHouse, database: PostgresHouse) -> None:
    await with_pictures(file)
    (file.data_dir / UPLOADS / ("0" * 32)).unlink()
    said: list[str] = []
    move(file.data_dir, database.address, CONFIG, START, said.append)
    assert [line for line in said if "is missing" in line] == [
        f"the picture {file.data_dir / UPLOADS / ('0' * 32)} is missing; its job will fail with source_lost"
    ]
    assert (await arrived_pictures(database)).keys() == PICTURES.keys() - {"0" * 32}


async def test_pictures_that_were_copied_stay_and_one_that_has_changed_is_found(
    file: SqliteHouse, database: PostgresHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_pictures(file)
    assert cut_at(monkeypatch, file, database, "become_the_queue")
    stored(database, "UPDATE imgserve_move.upload_part SET data = 'y' WHERE part = 3")
    assert "the pictures of uploads are not those of the data directory" in refusal(file.data_dir, database)
    stored(database, "DELETE FROM imgserve_move.upload_part WHERE part >= 3 OR upload > 'a'")
    move(file.data_dir, database.address, CONFIG, START)
    assert await arrived_pictures(database) == PICTURES
