"""What the contract suites run over: the queue's over every engine, the transfers' over both kinds of event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from imgserve.jobs.protocol import Queue
from tests.support.queues import SqliteHouse

ENGINES = {"sqlite": SqliteHouse}


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.parent.name == "transfer":  # libcurl's sockets and timers are driven by the loop
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(params=list(ENGINES))
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqliteHouse]:
    opened = ENGINES[str(request.param)](tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def queue(house: SqliteHouse) -> Queue:
    return await house.open()
