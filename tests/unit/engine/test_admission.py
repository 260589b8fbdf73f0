"""Who gets a slot at intake, who waits for one, and who is refused."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from imgserve.engine.admission import Admission, IntakeFull, IntakeQuotaFull
from imgserve.jobs.faults import QueueFull, QuotaFull
from imgserve.request.principal import Principal

FLOOD, CALM = Principal("flood", "flood", has_quota=True), Principal("calm", "calm", has_quota=True)
ALONE = Principal("@local", "local")


async def held(
    admission: Admission, principal: Principal, stack: AsyncExitStack, source: str = "", destination: str = ""
) -> bool:
    """Whether a slot is to be had at once."""
    return await _slot(admission, principal, stack, source, destination) is not None


async def _slot(
    admission: Admission, principal: Principal, stack: AsyncExitStack, source: str, destination: str
) -> Callable[[], None] | None:
    try:
        async with asyncio.timeout(0.01):
            return await stack.enter_async_context(admission.slot(principal, source, {destination} - {""}))
    except TimeoutError:
        return None


async def test_one_has_its_part_of_the_slots() -> None:
    admission = Admission(4, 100, 0.5, 1)
    async with AsyncExitStack() as stack:
        assert [await held(admission, principal, stack) for principal in (FLOOD, FLOOD, FLOOD)] == [True, True, False]
        assert [await held(admission, principal, stack) for principal in (CALM, CALM, CALM)] == [True, True, False]


async def test_who_is_alone_has_them_all() -> None:
    admission = Admission(4, 100, 0.5, 1)
    async with AsyncExitStack() as stack:
        assert [await held(admission, ALONE, stack) for _ in range(5)] == [True] * 4 + [False]


async def test_one_has_its_part_of_the_places_to_wait() -> None:
    admission = Admission(2, 4, 0.5, 1)
    async with AsyncExitStack() as stack:
        assert await held(admission, FLOOD, stack)
        waiting = [asyncio.create_task(held(admission, FLOOD, stack)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(IntakeQuotaFull, match="3 requests of this key"):
            await held(admission, FLOOD, stack)
        assert await held(admission, CALM, stack)
        await asyncio.gather(*waiting)
        assert not await held(admission, FLOOD, stack), "who has given up waiting has left a place"


async def test_a_full_queue_refuses_before_a_slot_is_taken() -> None:
    def check_queue() -> None:
        raise QuotaFull("4 jobs", "later", 0.5)

    admission = Admission(1, 0, 1, 1)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            with pytest.raises(QuotaFull):
                await stack.enter_async_context(admission.slot(FLOOD, check_queue=check_queue))
        assert await held(admission, CALM, stack)


async def test_a_request_that_waited_learns_that_the_queue_is_full_meanwhile() -> None:
    is_full = False

    def check_queue() -> None:
        if is_full:
            raise QueueFull("10 jobs", "later")

    admission = Admission(1, 100, 1, 1)
    async with AsyncExitStack() as stack:
        async with admission.slot(FLOOD):
            slot = admission.slot(FLOOD, check_queue=check_queue)
            waiting = asyncio.create_task(stack.enter_async_context(slot))
            await asyncio.sleep(0)
            is_full = True
        with pytest.raises(QueueFull):
            await waiting
        is_full = False
        assert await held(admission, CALM, stack), "its slot is free again"


async def test_of_several_principals_the_one_with_the_fewest_slots_is_next() -> None:
    admission = Admission(2, 100, 1, 1)
    order: list[str] = []
    first, go_on = asyncio.Event(), asyncio.Event()
    go_on.set()

    async def take(principal: Principal, until: asyncio.Event) -> None:
        async with admission.slot(principal):
            order.append(principal.id)
            await until.wait()

    tasks = [asyncio.create_task(take(FLOOD, first)) for _ in range(2)]
    tasks += [asyncio.create_task(take(principal, go_on)) for principal in (FLOOD, FLOOD, CALM)]
    await asyncio.sleep(0)
    first.set()
    await asyncio.gather(*tasks)
    assert order == ["flood", "flood", "calm", "flood", "flood"]


async def test_requests_beyond_all_that_may_wait_are_refused() -> None:
    admission = Admission(1, 1, 1, 1)
    async with AsyncExitStack() as stack:
        assert await held(admission, ALONE, stack)
        waiting = asyncio.create_task(held(admission, ALONE, stack))
        await asyncio.sleep(0)
        with pytest.raises(IntakeFull, match="2 requests wait for their reply"):
            await held(admission, FLOOD, stack)
        assert not await waiting


async def test_one_destination_has_its_part_and_one_source_half_of_it() -> None:
    admission = Admission(8, 100, 1, 0.5)
    async with AsyncExitStack() as stack:
        assert [await held(admission, ALONE, stack, "", "http://d") for _ in range(5)] == [True] * 4 + [False]
        assert [await held(admission, ALONE, stack, "http://s") for _ in range(3)] == [True] * 2 + [False]
        assert [await held(admission, ALONE, stack) for _ in range(3)] == [True] * 2 + [False], "all eight are held"


async def test_a_source_that_is_read_makes_room_and_its_destination_does_not() -> None:
    admission = Admission(8, 100, 1, 0.5)
    async with AsyncExitStack() as stack:
        slots = [await _slot(admission, ALONE, stack, "http://s", "http://d") for _ in range(2)]
        assert not await held(admission, ALONE, stack, "http://s", "http://d")
        for source_is_read in slots:
            assert source_is_read is not None
            source_is_read()
        more = [await held(admission, ALONE, stack, "http://s", "http://d") for _ in range(2)]
        assert more == [True, True]
        assert not await held(admission, ALONE, stack, "http://other", "http://d")
    async with AsyncExitStack() as stack:
        assert [await held(admission, ALONE, stack, "http://s", "http://d") for _ in range(3)] == [True] * 2 + [False]
