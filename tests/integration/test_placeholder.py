"""Placeholders are drawn once for all who want the same, as long as there is room."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from imgserve.engine.config import PlaceholderConfig
from imgserve.engine.placeholder import Placeholders
from imgserve.imaging.config import Config as PoolConfig
from imgserve.imaging.pool import Pool
from imgserve.request.limits import Limits
from tests.support.queues import output


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    made = Pool(PoolConfig(workers=1), Limits())
    await made.start()
    yield made
    await made.aclose()


async def test_drawn_once_where_there_is_room(pool: Pool) -> None:
    for config, is_kept in ((PlaceholderConfig(), True), (PlaceholderConfig(cache_bytes=0), False)):
        placeholders = Placeholders(pool, config)
        one, other = [await placeholders.waiting(output()) for _ in range(2)]
        assert one.digest == other.digest
        assert (one is other) == is_kept


async def test_equal_ones_are_drawn_once_at_a_time_even_without_room(pool: Pool) -> None:
    placeholders = Placeholders(pool, PlaceholderConfig(cache_bytes=0))
    one, other, failure = await asyncio.gather(
        placeholders.waiting(output()), placeholders.waiting(output()), placeholders.failed(output().rendering)
    )
    assert one is other
    assert failure is not one
