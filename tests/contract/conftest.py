"""What the contract suites run over: the queue's over every engine, the transfers' over the server's event loop, and
those that are about libcurl's sockets and timers over asyncio's own too.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from imgserve.jobs.protocol import Queue
from tests.support.postgres_house import PostgresHouse
from tests.support.queues import House
from tests.support.sqlite import SqliteHouse

ENGINES = ("sqlite", "postgres", pytest.param("pooled", marks=pytest.mark.full_size))
# Of a test with so many cases PostgreSQL gets every fourth in each run of the tests, since it takes five times the CPU
# time of SQLite. ``make conformance`` has them all, through the pooler.
MANY_CASES, EACH = 6, 4
# The server runs on uvloop alone; `imgserve render` runs on asyncio's own loop, but transfers nothing but files. A loop
# drives what these are about: libcurl's sockets and timers, whole fetches, and whole writes of every kind. All else
# is done above that, or in threads (FTP, files), and is the same on both.
ON_BOTH_LOOPS = ("test_multi.py", "test_fetch.py", "test_deliver.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before those of full size are left out."""
    cases: dict[tuple[Path, str], list[pytest.Item]] = defaultdict(list)
    for item in items:
        callspec = getattr(item, "callspec", None)
        if isinstance(item, pytest.Function) and callspec and callspec.params.get("house") == "postgres":
            cases[item.path, item.originalname].append(item)
    for some in cases.values():
        for number, item in enumerate(some if len(some) >= MANY_CASES else ()):
            if number % EACH:
                item.add_marker(pytest.mark.full_size)


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
