"""Purges of cached pictures: what one node tells, all that have a cache hear; and they know when they missed some."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.postgres.queue import PostgresQueue
from imgserve.jobs.purge import Purge
from tests.support.postgres import Postgres
from tests.support.postgres_nodes import Nodes, nodes_of
from tests.support.queues import START
from tests.support.sizes import PATIENCE_S

ONE = Purge("file:///srv/a.png")


@pytest.fixture
async def nodes(postgres: Postgres) -> AsyncIterator[Nodes]:
    async with nodes_of(postgres) as opened:
        yield opened


class Cache:
    """What a node hears. Its own beginning is one of the moments before which it may have missed some."""

    def __init__(self, queue: PostgresQueue) -> None:
        self.heard: list[Purge] = []
        self.misses = 0
        queue.when_purged(self.heard.append, self._missed)

    def _missed(self) -> None:
        self.misses += 1


async def until(happened: Callable[[], object], *beating: PostgresQueue) -> None:
    """The nodes that are ``beating`` tell with each heartbeat that they have a cache, as servers do."""
    async with asyncio.timeout(PATIENCE_S):
        while not happened():
            for queue in beating:
                await queue.heartbeat((), START)
            await asyncio.sleep(0.01)


async def test_a_purge_is_heard_by_all_nodes_with_a_cache_but_its_own(nodes: Nodes) -> None:
    one, two, three = await nodes.open(), await nodes.open(), await nodes.open("runner")
    caches = [Cache(one), Cache(two)]
    await until(lambda: one.tells_purges and two.tells_purges and three.tells_purges, one, two)
    purges = [Purge("file:///ä/b", "{}"), Purge("", is_prefix=True), ONE]
    for purge in purges:
        three.tell_purge(purge)
    await until(lambda: len(caches[0].heard) == len(caches[1].heard) == 3)
    assert caches[0].heard == caches[1].heard == purges
    one.tell_purge(ONE)
    await until(lambda: len(caches[1].heard) == 4)
    assert len(caches[0].heard) == 3
    assert [cache.misses for cache in caches] == [1, 1]


async def test_no_purge_is_left_out_however_many_there_are(nodes: Nodes) -> None:
    one, two = await nodes.open(), await nodes.open()
    cache = Cache(two)
    await until(lambda: one.tells_purges, two)
    purges = [Purge(f"http://place.test/{number:04}/" + "x" * 300) for number in range(200)]
    for purge in purges:
        one.tell_purge(purge)
    await until(lambda: len(cache.heard) == len(purges))
    assert cache.heard == purges


async def test_where_no_node_has_a_cache_nothing_is_kept_to_be_told(nodes: Nodes) -> None:
    one, _ = await nodes.open(), await nodes.open()
    assert not one.tells_purges
    one.tell_purge(ONE)
    assert not one._signals.tell_soon().purged


async def test_a_node_that_was_not_known_to_have_a_cache_learns_that_it_missed_some(nodes: Nodes) -> None:
    one, two = await nodes.open(), await nodes.open()
    one.tell_purge(ONE)
    cache = Cache(two)
    await until(lambda: cache.misses >= 2 and one.tells_purges, two)
    one.tell_purge(ONE)
    await until(lambda: cache.heard == [ONE])
    missed = cache.misses
    three = Cache(await nodes.open())
    await until(lambda: three.misses >= 1)
    assert cache.misses == missed


async def test_a_node_that_was_cut_off_knows_that_it_may_have_missed_some(nodes: Nodes) -> None:
    queue = await nodes.open()
    cache = Cache(queue)
    [pid] = nodes.listening()
    nodes.execute("SELECT pg_terminate_backend(%s)", pid)
    await until(lambda: cache.misses >= 2)


async def test_a_node_that_is_heard_of_no_more_is_told_nothing_until_its_next_heartbeat(nodes: Nodes) -> None:
    config = Config(lease_s=1.0, heartbeat_s=0.2)
    one, two = await nodes.open(config=config), await nodes.open(config=config)
    Cache(two)
    for _ in range(2):
        await until(lambda: one.tells_purges, two)
        await until(lambda: not one.tells_purges)
