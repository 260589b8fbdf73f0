"""The queue loses its database and finds it again: each change is stored once, or refused."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from imgserve.clock import Clock
from imgserve.jobs.config import Config
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.model import Accepted, OutputResult, Settlement
from imgserve.jobs.postgres import commits
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.queue import PostgresQueue
from tests.support.postgres import OWNER, Postgres
from tests.support.queues import START, accepted, claimed, new_job, released
from tests.support.relay import Relay
from tests.support.sizes import PATIENCE_S

FAST = {"fsync": "off"}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Its own: it is killed."""
    with Postgres(FAST) as server:
        yield server


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "LAST_PAUSE_S", 0.2)


@asynccontextmanager
async def opened(url: str, now: float | Clock = START) -> AsyncIterator[PostgresQueue]:
    queue = await PostgresQueue.open(Address(url), Config(), now)
    try:
        yield queue
    finally:
        await queue.aclose()


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not await is_so():
        assert time.monotonic() < ends_at
        await asyncio.sleep(0.01)


async def back(queue: PostgresQueue) -> None:
    async def is_back() -> bool:
        return not any(state.name == "storage_failing" for state in queue.states())

    await eventually(is_back)


def jobs(server: Postgres, database: str) -> list[tuple[object, ...]]:
    return server.execute("SELECT number, status FROM imgserve.job ORDER BY number", database)


async def test_jobs_are_refused_at_once_while_it_is_away_and_taken_when_it_is_back(server: Postgres) -> None:
    name = server.database()
    async with opened(server.url(name)) as queue:
        entry = await released(queue)
        claim = await claimed(queue)
        server.kill()
        for _ in range(2):
            with pytest.raises(StorageFailing):
                await queue.enqueue(new_job(), START)
        with pytest.raises(StorageFailing):
            await queue.counts()
        (state,) = (one for one in queue.states() if one.name == "storage_failing")
        assert state.severity == "refusing"
        server.start()
        await back(queue)
        assert (await queue.counts()).running == 1
        result = OutputResult(claim.outputs[0].id, "delivered")
        assert await queue.settle(Settlement(claim.number, claim.token, (result,)), START)
        later = await accepted(queue)
        assert later.number > entry.number
        assert jobs(server, name) == [(entry.number, "succeeded"), (later.number, "accepting")]


async def test_a_server_that_has_started_again_meanwhile_is_not_noticed(server: Postgres) -> None:
    async with opened(server.url(server.database())) as queue:
        await accepted(queue)
        await queue.counts()
        server.kill()
        server.start()
        await accepted(queue)
        server.restart()
        assert (await queue.counts()).accepting == 2


async def test_a_commit_whose_answer_is_lost_is_stored_once(server: Postgres) -> None:
    name = server.database()
    with Relay(server.port) as relay:
        async with opened(f"postgresql://{OWNER}@127.0.0.1:{relay.port}/{name}") as queue:
            relay.swallow(b"COMMIT")
            entry = await accepted(queue)
            assert relay.broke.wait(PATIENCE_S)
            assert jobs(server, name) == [(entry.number, "accepting")]
            await accepted(queue)


async def test_a_commit_that_arrives_late_is_undone(server: Postgres) -> None:
    name = server.database()
    with Relay(server.port) as relay:
        async with opened(f"postgresql://{OWNER}@127.0.0.1:{relay.port}/{name}") as queue:
            relay.hold(b"COMMIT")
            reply = asyncio.create_task(queue.enqueue(new_job(), START))
            assert await asyncio.to_thread(relay.broke.wait, PATIENCE_S)

            async def is_new_connection() -> bool:
                return server.execute("SELECT 1 FROM imgserve.node WHERE link = 1", name) == [(1,)]

            await eventually(is_new_connection)
            relay.release()
            entry = await reply
            assert isinstance(entry, Accepted)
            assert jobs(server, name) == [(entry.number, "accepting")]
    assert "division by zero" in server.log.read_text()
