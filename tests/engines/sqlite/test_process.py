"""The rows of the server that has the file and of the one before it."""

import logging
from importlib.metadata import version
from pathlib import Path

import pytest

from imgserve.jobs.sql.database import rows
from imgserve.jobs.sqlite.connection import connect
from imgserve.jobs.sqlite.queue import FILE_NAME
from imgserve.jobs.stored import FORMAT
from tests.support.queues import START
from tests.support.sqlite import SqliteHouse


def stored(directory: Path, sql: str) -> list[tuple[object, ...]]:
    db = connect(directory / FILE_NAME)
    found = rows(db, sql)
    db.close()
    return found


async def test_the_servers_row_says_when_it_was_seen(
    house: SqliteHouse, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    queue = await house.open(START)
    assert "queue_taken_over" not in caplog.text, "a new file had no server before"
    await queue.heartbeat((), START + 15)
    sql = "SELECT epoch, version, format, started_at, seen_at FROM process ORDER BY epoch"
    first = (1, version("imgserve"), FORMAT, START, START + 15)
    assert stored(tmp_path, sql) == [first]
    await house.open(START + 60)
    (line,) = [record.message for record in caplog.records if "queue_taken_over" in record.message]
    assert f"'from_version': '{version('imgserve')}', 'seen_s_ago': 45" in line
    assert stored(tmp_path, sql) == [first, (2, version("imgserve"), FORMAT, START + 60, START + 60)]
    await house.open(START + 90)
    assert [row[0] for row in stored(tmp_path, sql)] == [2, 3], "of the dead the last one alone"
