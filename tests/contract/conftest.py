"""Engines for the contract suite of the queue: each test that asks for ``house`` runs once over every one of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imgserve.jobs.queue import Queue
from tests.queues import SqliteHouse

ENGINES = {"sqlite": SqliteHouse}


@pytest.fixture(params=list(ENGINES))
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteHouse]:
    opened = ENGINES[str(request.param)](tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def queue(house: SqliteHouse) -> Queue:
    return await house.open()
