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
        with await placeholders.waiting(output()) as one, await placeholders.waiting(output()) as other:
            assert one.fingerprint() == other.fingerprint()
            assert (one == other) == is_kept
        placeholders.close()


async def test_equal_ones_are_drawn_once_at_a_time_even_without_room(pool: Pool) -> None:
    placeholders = Placeholders(pool, PlaceholderConfig(cache_bytes=0))
    one, other, failure = await asyncio.gather(
        placeholders.waiting(output()), placeholders.waiting(output()), placeholders.failed(output().rendering)
    )
    with one, other, failure:
        assert one == other
        assert failure != one


async def test_who_waits_for_a_drawing_has_it_although_it_is_not_kept(pool: Pool) -> None:
    placeholders = Placeholders(pool, PlaceholderConfig(cache_bytes=0))
    drawing = asyncio.create_task(placeholders.waiting(output()))
    with await drawing as picture:
        assert len(picture.read()) == picture.size > 0
