"""The SQLite engine alone, for what is its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imgserve.jobs.protocol import Queue
from tests.support.sqlite import SqliteHouse


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[SqliteHouse]:
    opened = SqliteHouse(tmp_path)
    yield opened
    await opened.crash()


@pytest.fixture
async def queue(house: SqliteHouse) -> Queue:
    return await house.open()
