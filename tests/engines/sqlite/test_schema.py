"""Queue files of earlier versions: led forward, their jobs with them; a later version's is refused and left alone."""

from importlib import resources
from pathlib import Path

import apsw
import msgspec
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.model import Accepted
from imgserve.jobs.sql.database import rows
from imgserve.jobs.sqlite.inspect import inspect
from imgserve.jobs.sqlite.queue import FILE_NAME, SqliteQueue
from imgserve.jobs.sqlite.schema import SCHEMA_VERSION
from imgserve.jobs.stored import encode_output
from imgserve.request import tags
from imgserve.request.classic.destination import parse_destination
from imgserve.request.destination import hosts_of
from imgserve.request.encode import Encode
from imgserve.request.job import ResolvedOutput
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import LoadOptions, Recipe
from tests.support.queues import (
    GRANTED,
    OVERTAKEN,
    START,
    accepted,
    claimed,
    due_entries,
    ended,
    final_of,
    moved,
    new_job,
    output,
    released,
)
from tests.support.sqlite import SqliteHouse

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
        (encode(job.source), encode(job.info), job.digest, b"{}", START, START + 86_400, START),
    )
    db.execute(
        "INSERT INTO output (job, spec, destination, is_form, status, placeholder)"
        " VALUES (1, ?, ?, 0, 'placeholder', 'written')",
        (encode_output(job.outputs[0]), job.outputs[0].placement.destination.key),
    )
    db.close()


def version_5(directory: Path, *outputs: tuple[ResolvedOutput, bytes], written: int = 0) -> None:
    """A file as 0.4.0 left it: one job a pair of an output and the text that is stored of it, all queued."""
    version_1(directory)
    db = apsw.Connection(str(directory / FILE_NAME))
    for step in range(2, 6):
        db.execute((resources.files("imgserve.jobs.sqlite") / f"schema_{step}.sql").read_text())
    db.execute("PRAGMA user_version = 5")
    db.execute("DELETE FROM output")
    for number, (place, stored) in enumerate(outputs, 2):
        db.execute(
            "INSERT INTO job SELECT ?1, 'old-job-' || ?1, status, source, facts, digest, reply, 1, 1, epoch,"
            " created_at, deadline_at, run_at, attempts, crashes, token, lease_until, error, detail, ended_at,"
            " traceparent, caller FROM job WHERE number = 1",
            (number,),
        )
        db.execute(
            "INSERT INTO output (job, spec, destination, is_form, status, placeholder) VALUES (?, ?, ?, 0, ?, ?)",
            (number, stored, place.placement.destination.key, "placeholder", "written"),
        )
        db.execute(
            "INSERT OR REPLACE INTO destination (key, quiet_until, written) VALUES (?, 0, ?)",
            (place.placement.destination.key, written),
        )
    db.execute("DELETE FROM job WHERE number = 1")
    db.close()


def to(url: str) -> ResolvedOutput:
    place = parse_destination(url, {"method": "PUT"} if url.startswith("http") else {}).fill(tags.EXAMPLE)
    return moved(output(), place)


def stored_rows(directory: Path, sql: str) -> list[tuple[object, ...]]:
    db = apsw.Connection(str(directory / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
    found = rows(db, sql)
    db.close()
    return found


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
    assert len(await due_entries(queue)) == 1
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


@pytest.mark.parametrize(
    ("url", "hosts", "user"),
    [
        ("http://place.test/a.png", "http://place.test:80", ""),
        ("http://ann@place.test:8080/a.png", "http://place.test:8080", "ann"),
        ("ftp://ann:pass@place.test/dir/a.png", "ftp://place.test:21", "ann"),
        ("ftp://[::1]/a@b.png", "ftp://[::1]:21", ""),
        ("file:///tmp/a@b.png", "file://", ""),
    ],
)
async def test_version_5_jobs_get_their_hosts_and_users(tmp_path: Path, url: str, hosts: str, user: str) -> None:
    place = to(url)
    assert (hosts_of([place.placement.destination.key]), place.placement.destination.user) == (hosts, user), (
        "as a new job has them"
    )
    version_5(tmp_path, (place, encode_output(place)))
    await (await SqliteQueue.open(tmp_path, CONFIG, START)).aclose()
    assert stored_rows(tmp_path, "SELECT hosts, user FROM output JOIN job ON number = job") == [(hosts, user)]


@pytest.mark.parametrize(
    "stored", [b"{", b"", b"\xff\xfe", b"[]", b'{"destination": 7}', b'{"destination": {"url": 7}}']
)
async def test_a_version_5_output_that_cannot_be_read_is_led_forward(tmp_path: Path, stored: bytes) -> None:
    version_5(tmp_path, (to("http://ann@place.test/a.png"), stored))
    await (await SqliteQueue.open(tmp_path, CONFIG, START)).aclose()
    assert stored_rows(tmp_path, "SELECT hosts, user FROM output JOIN job ON number = job") == [
        ("http://place.test:80", "")
    ]


@pytest.mark.parametrize(("written", "is_overtaken"), [(0, [0, 0]), (2, [0, 0]), (3, [1, 0])])
async def test_who_had_written_at_version_5_stays_known(tmp_path: Path, written: int, is_overtaken: list[int]) -> None:
    place = output()
    pair = (place, encode_output(place))
    version_5(tmp_path, pair, pair, written=written)
    queue = await SqliteQueue.open(tmp_path, CONFIG, START)
    older, newer = (await queue.take_work(2, START)).claims
    assert await queue.acquire(final_of(older), START) == (OVERTAKEN if is_overtaken[0] else GRANTED)
    await queue.settle(ended(older, "superseded" if is_overtaken[0] else "delivered"), START)
    assert await queue.acquire(final_of(newer), START) == GRANTED
    await queue.aclose()


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (
            '{"operations":[{"operation":"resize","width":64,"height":null,"fit":"cover","gravity":"north",'
            '"enlarge":true}],"output":{"format":"webp"},"load":{"strict":false}}',
            Recipe(
                (Resize(width=64, gravity="north", if_small="enlarge"),),
                Encode("webp"),
                LoadOptions(strict=False),
            ),
        ),
        (
            '{"operations":[{"operation":"resize","width":64,"enlarge":false}],"output":{"format":"webp"}}',
            Recipe((Resize(width=64, if_small="refuse"),), Encode("webp")),
        ),
        (
            '{"operations":[{"operation":"rasterize","height":9,"fit":"fill","dpi":300.0}],"output":{"format":"png"}}',
            Recipe((Rasterize(height=9, fit="fill"),), Encode("png"), LoadOptions(dpi=300.0)),
        ),
        (
            '{"operations":[{"operation":"rasterize","width":9,"dpi":96.5}],"output":{"format":"png"},'
            '"load":{"strict":false}}',
            Recipe((Rasterize(width=9),), Encode("png"), LoadOptions(strict=False, dpi=96.5)),
        ),
    ],
)
async def test_recipes_of_version_11_mean_what_they_meant(tmp_path: Path, recipe: str, expected: Recipe) -> None:
    place = output()
    row = encode_output(place).replace(msgspec.json.encode(place.rendering.recipe), recipe.encode())
    assert recipe.encode() in row
    version_5(tmp_path, (place, row))
    queue = await SqliteQueue.open(tmp_path, CONFIG, START)
    (claim,) = (await queue.take_work(1, START)).claims
    assert claim.outputs[0].spec.rendering.recipe == expected
    await queue.aclose()


async def test_a_step_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    version_1(tmp_path)
    db = apsw.Connection(str(tmp_path / FILE_NAME))
    db.execute("CREATE INDEX output_given_up ON output (debt)")  # somebody's own; ours of that name cannot be made
    db.close()
    before = shape(tmp_path)
    with pytest.raises(StorageFailing, match="says schema 1, but cannot be led to 2: index output_given_up"):
        await SqliteQueue.open(tmp_path, CONFIG, START)
    assert shape(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ("ALTER TABLE output DROP COLUMN is_covered", "output.is_covered is missing"),
        ("ALTER TABLE output ADD COLUMN mood TEXT NOT NULL DEFAULT ''", "output.mood is unknown"),
        ("DROP TABLE placeholder", "placeholder.digest is missing"),
        ("DROP INDEX job_due", "job_due is missing"),
        ("DROP INDEX job_due; CREATE INDEX job_due ON job (run_at)", "job_due is other than that version's"),
    ],
)
async def test_a_file_of_an_unreleased_version_is_refused(
    house: SqliteHouse, tmp_path: Path, change: str, wrong: str
) -> None:
    await house.open()
    await house.crash()
    db = apsw.Connection(str(tmp_path / FILE_NAME))
    db.execute(change)
    db.close()
    before = shape(tmp_path)
    with pytest.raises(StorageFailing) as refused:
        await house.open()
    assert (
        refused.value.detail == f"the queue file says schema {SCHEMA_VERSION}, but is of no released version: {wrong}"
    )
    assert "start the version that wrote it" in refused.value.hint
    assert shape(tmp_path) == before
    with pytest.raises(StorageFailing, match="of no released version"):
        inspect(tmp_path)


async def test_an_unreleased_version_before_the_last_is_refused(tmp_path: Path) -> None:
    version_1(tmp_path)
    db = apsw.Connection(str(tmp_path / FILE_NAME))
    db.execute("PRAGMA user_version = 5")
    db.close()
    with pytest.raises(StorageFailing, match="says schema 5, but cannot be led to 6: "):
        await SqliteQueue.open(tmp_path, CONFIG, START)


async def test_another_programs_database_is_refused_and_its_tables_beside_ours_are_not(
    house: SqliteHouse, tmp_path: Path
) -> None:
    db = apsw.Connection(str(tmp_path / FILE_NAME))
    db.execute("CREATE TABLE recipes (cake TEXT)")
    db.close()
    with pytest.raises(StorageFailing, match="a database of another program"):
        await house.open()
    (tmp_path / FILE_NAME).unlink()
    await house.open()
    await house.crash()
    db = apsw.Connection(str(tmp_path / FILE_NAME))
    db.execute("CREATE TABLE _replica (position INTEGER); CREATE INDEX _replicated ON _replica (position)")
    db.close()
    assert isinstance(await accepted(await house.open()), Accepted)


async def test_a_later_file_is_refused_and_left_alone(house: SqliteHouse, tmp_path: Path) -> None:
    queue = await house.open()
    assert isinstance(await released(queue), Accepted)
    await house.crash()
    db = apsw.Connection(str(tmp_path / FILE_NAME))
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(StorageFailing, match=f"schema {SCHEMA_VERSION + 1}"):
        await house.open()
    assert shape(tmp_path)[0] == SCHEMA_VERSION + 1
