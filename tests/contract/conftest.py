"""What the contract suites run over: the queue's over every engine, the transfers' over the server's event loop, and
those that are about libcurl's sockets and timers over asyncio's own too.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from imgserve.jobs.protocol import Queue
from tests.support.postgres_house import PostgresHouse
from tests.support.queues import House
from tests.support.sqlite import SqliteHouse

ENGINES = ("sqlite", "postgres", pytest.param("pooled", marks=pytest.mark.full_size))
# The server runs on uvloop alone; `imgserve render` runs on asyncio's own loop, but transfers nothing but files. A loop
# drives what these are about: libcurl's sockets and timers, whole fetches, and whole writes of every kind. All else
# is done above that, or in threads (FTP, files), and is the same on both.
ON_BOTH_LOOPS = ("test_multi.py", "test_fetch.py", "test_deliver.py")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.parent.name == "transfer" and item.path.name in ON_BOTH_LOOPS:
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    if item.path.parent.name == "transfer":
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture(params=ENGINES)
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    if request.param == "sqlite":
        file = SqliteHouse(tmp_path)
        yield file
        await file.crash()
    else:
        pooler = request.getfixturevalue("pooler") if request.param == "pooled" else None
        database = PostgresHouse(request.getfixturevalue("postgres"), pooler)
        yield database
        await database.crash()
        database.close()


@pytest.fixture
async def queue(house: House) -> Queue:
    return await house.open()
