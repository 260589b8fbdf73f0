"""A node that stands still in the middle of a transaction: its takeover ends its connection, and so its locks."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.queue import PostgresQueue
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import OWNER, PASSWORD, Postgres
from tests.support.postgres_nodes import Nodes, nodes_of
from tests.support.queues import GRANTED, START, claimed, ended, final_of, released
from tests.support.stopping_node import StoppingNode

LATER = START + Config().lease_s + 1
# A node's own row is locked by its heartbeat and by each commit.
LOCKS = {
    "job": "SELECT 1 FROM job FOR UPDATE",
    "node": "UPDATE node SET seen_at = seen_at WHERE epoch = current_setting('imgserve.epoch')::bigint RETURNING 1",
}
NO_LOCK = "SELECT 1"


@pytest.fixture
async def nodes(postgres: Postgres) -> AsyncIterator[Nodes]:
    async with nodes_of(postgres) as opened:
        yield opened


@pytest.mark.parametrize("table", LOCKS)
async def test_its_locks_end_with_its_takeover(nodes: Nodes, table: str) -> None:
    other = await nodes.open()
    entry = await released(other)
    with StoppingNode(nodes.address.url, LOCKS[table], LATER) as stopped:
        await stopped.until_stopped()
        ((former, backend),) = nodes.execute("SELECT epoch, backend FROM node ORDER BY epoch DESC LIMIT 1")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            nodes.execute(f"SELECT 1 FROM {table} FOR UPDATE NOWAIT")
        await other.heartbeat((), LATER)
        assert nodes.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", backend) == []
        again = await claimed(other, LATER)
        assert again.number == entry.number
        assert await other.acquire(final_of(again), LATER) == GRANTED
        report = await stopped.wake()
        assert (report.is_write_refused, report.kept_claims, report.is_settled) == (True, [], False)
        assert await other.settle(ended(again, "delivered"), LATER)
        epochs = [epoch for (epoch,) in nodes.execute("SELECT epoch FROM node ORDER BY epoch")]
        assert (len(epochs), former in epochs) == (2, False)
        assert nodes.execute("SELECT epoch FROM job WHERE number = %s", report.accepted) == [(epochs[-1],)]
        assert epochs[-1] != other._epoch


@contextmanager
def rights(server: Postgres, *roles: str) -> Iterator[None]:
    """The roles are the queue's user's meanwhile."""
    for role in roles:
        server.execute(f"GRANT {role} TO {OWNER}")
    try:
        yield
    finally:
        for role in roles:
            server.execute(f"REVOKE {role} FROM {OWNER}")


@pytest.mark.parametrize(
    ("roles", "event"),
    [
        ((), "connection_not_ended"),
        (("pg_read_all_stats", "pg_signal_backend"), "connection_ended"),
    ],
)
async def test_the_connection_of_another_user_ends_if_that_is_allowed(
    nodes: Nodes, postgres: Postgres, caplog: pytest.LogCaptureFixture, roles: tuple[str, ...], event: str
) -> None:
    other = await nodes.open()
    await released(other)
    url = psycopg.conninfo.make_conninfo(postgres.url(nodes.house.database, "other"), password=PASSWORD)
    with rights(postgres, *roles), StoppingNode(url, NO_LOCK, LATER) as stopped:
        await stopped.until_stopped()
        with caplog.at_level(logging.WARNING):
            await other.heartbeat((), LATER)
        events = [record.getMessage().split(" ", 1)[0] for record in caplog.records]
        assert [name for name in events if name.startswith("connection_")] == [event]
        assert nodes.execute("SELECT count(*) FROM node") == [(1,)]
        assert (await stopped.wake()).is_write_refused


async def test_the_backend_is_that_of_the_last_connection(nodes: Nodes) -> None:
    queue, _ = await nodes.open(), await nodes.open()
    find = "SELECT pid FROM node JOIN pg_stat_activity AS process ON pid = backend WHERE epoch = %s"
    find += " AND process.backend_start = node.backend_start"
    ((first,),) = nodes.execute(find, queue._epoch)
    nodes.execute("SELECT pg_terminate_backend(%s, 10000)", first)
    await queue.heartbeat((), START)
    ((second,),) = nodes.execute(find, queue._epoch)
    assert second != first
    await nodes.leave(queue)
    assert nodes.execute("SELECT backend FROM node WHERE epoch = %s", queue._epoch) == [(None,)], "nobody need end it"


async def test_a_connection_through_a_pooler_is_nobodys(nodes: Nodes, postgres: Postgres) -> None:
    direct = nodes.address.url
    with PgBouncer(postgres) as pooler:
        url = pooler.url(nodes.house.database)
        for address in (Address(url, direct), Address(url)):
            queue = await PostgresQueue.open(address, Config(), START)
            assert nodes.execute("SELECT backend, backend_start FROM node") == [(None, None)]
            await queue.aclose()
            nodes.execute("DELETE FROM node")
