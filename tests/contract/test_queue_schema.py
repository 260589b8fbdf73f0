"""Queue files of earlier versions: led forward, their jobs with them; a later version's is refused and left alone."""

from pathlib import Path

import apsw
import msgspec
import pytest

from imgserve.jobs.committer import rows
from imgserve.jobs.job import Accepted
from imgserve.jobs.queue import Config, StorageFailing
from imgserve.jobs.sqlite import FILE_NAME, SqliteQueue
from imgserve.jobs.sqlite_schema import SCHEMA_VERSION
from tests.queues import START, SqliteHouse, claimed, due_debts, ended, new_job, released

OLD = Path(__file__).with_name("schema_1.sql")
CONFIG = Config(min_free_disk_bytes=0)


def version_1(directory: Path) -> None:
    """A file as version 1 wrote it, with one job that is queued."""
    job = new_job()
    db = apsw.Connection(str(directory / FILE_NAME))
    db.execute(OLD.read_text())
    db.execute("INSERT INTO owner VALUES (4, 'abcd1234')")
    db.execute("PRAGMA user_version = 1")
    encode = msgspec.json.encode
    db.execute(
        "INSERT INTO job (id, status, source, facts, digest, reply, is_answered, is_released, epoch, created_at,"
        " deadline_at, run_at) VALUES ('old-job', 'queued', ?, ?, ?, ?, 1, 1, 4, ?, ?, ?)",
        (encode(job.source), encode(job.facts), job.digest, job.reply, START, START + 86_400, START),
    )
    db.execute(
        "INSERT INTO output (job, spec, destination, is_form, status, placeholder)"
        " VALUES (1, ?, ?, 0, 'placeholder', 'written')",
        (encode(job.outputs[0]), job.outputs[0].destination.key),
    )
    db.close()


def shape(directory: Path) -> tuple[int, list[object], list[object]]:
    """Version, columns and indexes."""
    db = apsw.Connection(str(directory / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
    tables = [row[0] for row in rows(db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    columns: list[object] = [(table, rows(db, f"PRAGMA table_xinfo({table})")) for table in tables]
    indexes: list[object] = [*rows(db, "SELECT name, sql FROM sqlite_schema WHERE type = 'index' ORDER BY name")]
    version: int = db.execute("PRAGMA user_version").get
    db.close()
    return version, columns, indexes


async def test_a_file_of_version_1_goes_on_with_its_jobs(tmp_path: Path) -> None:
    version_1(tmp_path)
    queue = await SqliteQueue.open(tmp_path, CONFIG, START)
    claim = await claimed(queue)
    assert (claim.id, claim.traceparent) == ("old-job", "")
    assert queue.id == "abcd1234"
    await queue.settle(ended(claim, "failed"), START)
    assert len(await due_debts(queue)) == 1
    await queue.aclose()


async def test_it_has_the_shape_of_a_new_file_then(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    version_1(tmp_path / "old")
    before = shape(tmp_path / "old")
    for name in ("old", "new"):
        await (await SqliteQueue.open(tmp_path / name, CONFIG, START)).aclose()
    assert shape(tmp_path / "old") == shape(tmp_path / "new") != before
    assert shape(tmp_path / "new")[0] == SCHEMA_VERSION


async def test_a_step_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    version_1(tmp_path)
    db = apsw.Connection(str(tmp_path / FILE_NAME))
    db.execute("CREATE INDEX output_given_up ON output (debt)")  # somebody's own; ours of that name cannot be made
    db.close()
    before = shape(tmp_path)
    with pytest.raises(apsw.SQLError, match="output_given_up"):
        await SqliteQueue.open(tmp_path, CONFIG, START)
    assert shape(tmp_path) == before


async def test_a_later_file_is_refused_and_left_alone(house: SqliteHouse, tmp_path: Path) -> None:
    queue = await house.open()
    assert isinstance(await released(queue), Accepted)
    await house.close()
    db = apsw.Connection(str(tmp_path / FILE_NAME))
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(StorageFailing, match=f"schema {SCHEMA_VERSION + 1}"):
        await house.open()
    assert shape(tmp_path)[0] == SCHEMA_VERSION + 1
