"""The row of the server that has the file, and the leases of what it takes in."""

from importlib.metadata import version
from pathlib import Path

from imgserve.jobs.config import Config
from imgserve.jobs.sqlite.connection import connect, rows
from imgserve.jobs.sqlite.queue import FILE_NAME
from imgserve.jobs.stored import FORMAT
from tests.support.queues import START, accepted
from tests.support.sqlite import SqliteHouse

CONFIG = Config(min_free_disk_bytes=0)


def stored(directory: Path, sql: str) -> list[tuple[object, ...]]:
    db = connect(directory / FILE_NAME)
    found = rows(db, sql)
    db.close()
    return found


async def test_the_servers_row_says_when_it_was_seen(house: SqliteHouse, tmp_path: Path) -> None:
    queue = await house.open(START)
    await queue.heartbeat((), START + 15)
    sql = "SELECT epoch, version, format, started_at, seen_at FROM process ORDER BY epoch"
    first = (1, version("imgserve"), FORMAT, START, START + 15)
    assert stored(tmp_path, sql) == [first]
    await house.open(START + 60)
    assert stored(tmp_path, sql) == [first, (2, version("imgserve"), FORMAT, START + 60, START + 60)]
    await house.open(START + 90)
    assert [row[0] for row in stored(tmp_path, sql)] == [2, 3], "of the dead the last one alone"


async def test_what_is_taken_in_has_a_lease_until_it_is_released(house: SqliteHouse, tmp_path: Path) -> None:
    queue = await house.open(START)
    entry = await accepted(queue)
    sql = "SELECT lease_until FROM job"
    assert stored(tmp_path, sql) == [(START + CONFIG.lease_s,)]
    await queue.heartbeat((), START + 15)
    assert stored(tmp_path, sql) == [(START + 15 + CONFIG.lease_s,)]
    await queue.release(entry.number, (), START + 16)
    assert stored(tmp_path, sql) == [(None,)]
