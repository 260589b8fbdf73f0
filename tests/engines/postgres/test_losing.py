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
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import OWNER, Postgres
from tests.support.queues import START, accepted, claimed, new_job, output, released
from tests.support.relay import Relay
from tests.support.sizes import PATIENCE_S
from tests.support.standby import Standby

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


async def quiet(queue: PostgresQueue) -> None:
    """Return when nothing is left to be stored by itself."""
    for _ in range(2):
        await queue.heartbeat((), START)


async def back(queue: PostgresQueue) -> None:
    async def is_back() -> bool:
        return not any(state.name == "storage_failing" for state in queue.states())

    await eventually(is_back)


async def taken(queue: PostgresQueue) -> None:
    """Have a job accepted, however often it is refused before."""

    async def is_taken() -> bool:
        try:
            await accepted(queue)
        except StorageFailing:
            return False
        return True

    await eventually(is_taken)


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
        with pytest.raises(StorageFailing):
            queue.check_room("local", b"", START, has_quota=False)
        (state,) = (one for one in queue.states() if one.name == "storage_failing")
        assert state.severity == "refusing"
        server.start()
        await back(queue)
        queue.check_room("local", b"", START, has_quota=False)
        assert (await queue.counts()).running == 1
        result = OutputResult(claim.outputs[0].id, "delivered")
        assert await queue.settle(Settlement(claim.number, claim.token, (result,)), START)
        later = await accepted(queue)
        assert later.number > entry.number
        assert jobs(server, name) == [(entry.number, "succeeded"), (later.number, "accepting")]


async def test_a_server_that_has_started_again_meanwhile_is_found_again(server: Postgres) -> None:
    async with opened(server.url(server.database())) as queue:
        await quiet(queue)
        await queue.counts()
        server.kill()
        server.start()
        await taken(queue)
        await taken(queue)
        await quiet(queue)
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


async def test_a_database_that_stands_still_is_given_up_and_found_again(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = server.database()
    async with opened(server.url(name)) as queue:
        monkeypatch.setattr(commits, "ANSWER_S", 2.0)  # a busy machine answers in less
        await quiet(queue)
        server.restart()  # the next connection has less patience
        await taken(queue)  # one of its threads may have asked while the server was away
        server.freeze()
        with pytest.raises(StorageFailing):
            await queue.enqueue(new_job(), START)
        server.thaw()
        await back(queue)
        await accepted(queue)
        assert len(jobs(server, name)) == 2


async def test_a_node_that_was_taken_over_becomes_another_one(server: Postgres) -> None:
    name = server.database()
    async with opened(server.url(name)) as queue:
        await released(queue)
        claim = await claimed(queue)
        late = await accepted(queue, output("http://place.test:80/b.png"))
        (before,) = server.execute("SELECT epoch FROM imgserve.node", name)
        server.execute("UPDATE imgserve.node SET seen_at = '-infinity'", name)
        async with opened(server.url(name), START + 100):
            assert jobs(server, name) == [(claim.number, "queued"), (late.number, "queued")]
            assert await queue.heartbeat((claim,), START + 100) == frozenset()
            assert await queue.heartbeat((claim,), START + 100) == frozenset()
            await queue.activate(late.number, (), START + 100)
            entry = await accepted(queue)
            epochs = {epoch for (epoch,) in server.execute("SELECT epoch FROM imgserve.node", name)}
            assert (len(epochs), before[0] in epochs) == (2, False)
            assert server.execute(
                f"SELECT epoch IN (SELECT epoch FROM imgserve.node) FROM imgserve.job WHERE number = {entry.number}",
                name,
            ) == [(True,)]


async def test_claims_outlast_the_absence_of_the_database(server: Postgres) -> None:
    """Their node finds them again before anybody else takes them."""
    name, clock = server.database(), Clock()
    async with opened(server.url(name), clock) as queue:
        await released(queue, now=clock())
        claim = await claimed(queue, clock())
        server.execute("UPDATE imgserve.job SET lease_until = 1", name)
        server.restart()
        assert (await queue.take_work(1, clock())).claims == ()
        assert await queue.heartbeat((claim,), clock()) == {claim.number}


async def test_the_first_node_back_leaves_the_others_their_work(server: Postgres) -> None:
    name, clock = server.database(), Clock()
    async with opened(server.url(name), clock) as first, opened(server.url(name), Clock()) as other:
        await released(first, now=clock())
        claim = await claimed(other, clock())
        add_dead_node(server, name, seen_s_ago=100.0)
        absence_s = 2 * Config().lease_s
        server.execute(f"UPDATE imgserve.node SET seen_at = seen_at - {absence_s}", name)
        server.execute(f"UPDATE imgserve.job SET lease_until = lease_until - {absence_s}", name)
        server.restart()
        await beaten(first, clock)
        assert epochs(server, name) == [first._epoch, other._epoch], "the third one was dead before"
        assert (await first.take_work(1, clock())).claims == ()
        await beaten(other, clock)
        assert await other.heartbeat((claim,), clock()) == {claim.number}


async def test_a_node_that_is_away_for_a_moment_prolongs_no_other(server: Postgres) -> None:
    name, clock = server.database(), Clock()
    async with opened(server.url(name), clock) as queue:
        add_dead_node(server, name, seen_s_ago=0.9 * Config().lease_s)
        server.restart()
        await beaten(queue, clock)
        server.execute(f"UPDATE imgserve.node SET seen_at = seen_at - {0.2 * Config().lease_s}", name)
        await queue.heartbeat((), clock())
        assert epochs(server, name) == [queue._epoch]


def add_dead_node(server: Postgres, database: str, seen_s_ago: float) -> None:
    columns = "name, role, version, format, started_at"
    copy = f"SELECT nextval('imgserve.epoch'), {columns}, seen_at - {seen_s_ago} FROM imgserve.node LIMIT 1"
    server.execute(f"INSERT INTO imgserve.node (epoch, {columns}, seen_at) {copy}", database)


async def beaten(queue: PostgresQueue, clock: Clock) -> None:
    """Return when it has the database again, and has looked at the other nodes."""

    async def has_beaten() -> bool:
        try:
            await queue.heartbeat((), clock())
        except StorageFailing:
            return False
        return True

    await eventually(has_beaten)


def epochs(server: Postgres, database: str) -> list[object]:
    return [epoch for (epoch,) in server.execute("SELECT epoch FROM imgserve.node ORDER BY epoch", database)]


async def test_a_database_that_takes_no_writes_refuses_jobs_until_it_does(server: Postgres) -> None:
    async with opened(server.url(server.database())) as queue:
        server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        server.execute("SELECT pg_reload_conf()")

        async def is_refused() -> bool:
            try:
                await queue.enqueue(new_job(), START)
            except StorageFailing:
                return True
            return False

        await eventually(is_refused)
        server.execute("ALTER SYSTEM RESET default_transaction_read_only")
        server.execute("SELECT pg_reload_conf()")
        await back(queue)
        await accepted(queue)


@pytest.mark.full_size
async def test_settings_that_no_longer_keep_what_was_confirmed_are_told() -> None:
    with Postgres() as server:
        queue = await PostgresQueue.open(Address(server.url(server.database())), Config(), START)
        for setting, is_told in (("off", True), ("on", False)):
            server.execute(f"ALTER SYSTEM SET synchronous_commit = {setting}")
            server.execute("SELECT pg_reload_conf()")

            async def is_right(is_told: bool = is_told) -> bool:
                await queue.heartbeat((), START)
                return ("queue_not_durable" in {state.name for state in queue.states()}) == is_told

            await eventually(is_right)
        await queue.aclose()


async def test_a_queue_closes_while_its_database_is_away(server: Postgres) -> None:
    async with opened(server.url(server.database())) as queue:
        await queue.counts()
        server.kill()
        with pytest.raises(StorageFailing):
            await queue.enqueue(new_job(), START)
    server.start()


async def test_a_pooler_that_starts_again_is_found_again(server: Postgres) -> None:
    name = server.database()
    with PgBouncer(server) as pooler:
        queue = await PostgresQueue.open(Address(pooler.url(name), server.url(name)), Config(), START)
        await quiet(queue)
        pooler.kill()
        pooler.start()
        await taken(queue)
        await quiet(queue)
        server.restart()
        await taken(queue)
        assert (await queue.counts()).accepting == 2
        await queue.aclose()


@pytest.mark.full_size
async def test_a_promoted_standby_is_found_with_all_that_was_stored() -> None:
    with Postgres(FAST) as primary, Standby(primary, FAST) as standby:
        name = primary.database()
        standby.make_synchronous()
        async with opened(standby.both(name)) as queue:
            entries = await asyncio.gather(*(accepted(queue) for _ in range(20)))
            primary.kill()
            with pytest.raises(StorageFailing):
                await queue.enqueue(new_job(), START)
            standby.promote()
            await back(queue)
            entries.append(await accepted(queue))
            numbers = [entry.number for entry in entries]
            assert [number for number, _ in jobs(standby, name)] == sorted(numbers)
