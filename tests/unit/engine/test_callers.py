"""How callers share intake: turns, places to wait for one, and what is remembered of a full share."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from imgserve.engine.admission import IntakeFull
from imgserve.engine.callers import FULL_FOR_S, Sharing, Turn
from imgserve.jobs.protocol import ShareFull
from imgserve.request.principal import Principal

FLOOD, CALM = Principal("flood", "flood", is_sharing=True), Principal("calm", "calm", is_sharing=True)
ALONE = Principal("@local", "local")


async def held(
    sharing: Sharing, principal: Principal, stack: AsyncExitStack, source: str = "", destination: str = ""
) -> bool:
    """Whether a turn is to be had at once."""
    return await _turn(sharing, principal, stack, source, destination) is not None


async def _turn(
    sharing: Sharing, principal: Principal, stack: AsyncExitStack, source: str, destination: str
) -> Turn | None:
    try:
        async with asyncio.timeout(0.01):
            return await stack.enter_async_context(sharing.turn(principal, source, {destination} - {""}))
    except TimeoutError:
        return None


async def test_one_has_its_part_of_the_turns() -> None:
    sharing = Sharing(4, 100, 0.5, 1)
    async with AsyncExitStack() as stack:
        assert [await held(sharing, principal, stack) for principal in (FLOOD, FLOOD, FLOOD)] == [True, True, False]
        assert [await held(sharing, principal, stack) for principal in (CALM, CALM, CALM)] == [True, True, False]


async def test_who_is_alone_has_them_all() -> None:
    sharing = Sharing(4, 100, 0.5, 1)
    async with AsyncExitStack() as stack:
        assert [await held(sharing, ALONE, stack) for _ in range(5)] == [True] * 4 + [False]


async def test_one_has_its_part_of_the_places_to_wait() -> None:
    sharing = Sharing(2, 4, 0.5, 1)
    async with AsyncExitStack() as stack:
        assert await held(sharing, FLOOD, stack)
        waiting = [asyncio.create_task(held(sharing, FLOOD, stack)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(IntakeFull, match="3 requests of this caller"):
            await held(sharing, FLOOD, stack)
        assert await held(sharing, CALM, stack)
        await asyncio.gather(*waiting)
        assert not await held(sharing, FLOOD, stack), "who has given up waiting has left a place"


async def test_a_full_share_is_remembered_for_a_moment() -> None:
    now = 10.0
    sharing = Sharing(4, 100, 0.5, 1, lambda: now)
    sharing.is_full(ShareFull("4 jobs", "later", 0.5, 7.0), FLOOD)
    async with AsyncExitStack() as stack:
        with pytest.raises(ShareFull) as again:
            await held(sharing, FLOOD, stack)
        assert again.value.retry_after_s == 7.0
        assert await held(sharing, CALM, stack)
        now += FULL_FOR_S
        assert await held(sharing, FLOOD, stack)


async def test_one_destination_has_its_part_and_one_source_half_of_it() -> None:
    sharing = Sharing(8, 100, 1, 0.5)
    async with AsyncExitStack() as stack:
        assert [await held(sharing, ALONE, stack, "", "http://d") for _ in range(5)] == [True] * 4 + [False]
        assert [await held(sharing, ALONE, stack, "http://s") for _ in range(3)] == [True] * 2 + [False]
        assert [await held(sharing, ALONE, stack) for _ in range(3)] == [True] * 2 + [False], "all eight are held"


async def test_a_source_that_is_read_makes_room_and_its_destination_does_not() -> None:
    sharing = Sharing(8, 100, 1, 0.5)
    async with AsyncExitStack() as stack:
        turns = [await _turn(sharing, ALONE, stack, "http://s", "http://d") for _ in range(2)]
        assert not await held(sharing, ALONE, stack, "http://s", "http://d")
        for turn in turns:
            assert turn is not None
            turn.source_is_read()
        more = [await held(sharing, ALONE, stack, "http://s", "http://d") for _ in range(2)]
        assert more == [True, True]
        assert not await held(sharing, ALONE, stack, "http://other", "http://d")
    async with AsyncExitStack() as stack:
        assert [await held(sharing, ALONE, stack, "http://s", "http://d") for _ in range(3)] == [True] * 2 + [False]
