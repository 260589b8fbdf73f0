"""Answers that are held back: until the job has ended, the client hangs up, the server drains, or time is over."""

import asyncio

import pytest

from imgserve.api.v1.waits import Waits
from imgserve.request.principal import Principal

ALONE, ONE, OTHER = Principal("@local", "local"), Principal("one", "one", has_quota=True), Principal("b", "b", True)


async def never() -> None:
    await asyncio.Event().wait()


async def held(waits: Waits, principal: Principal = ALONE) -> "asyncio.Task[bool]":
    waiting = asyncio.create_task(waits.hold(principal, never(), never()))
    await asyncio.sleep(0)
    return waiting


@pytest.mark.parametrize("first", ["ended", "gone"])
async def test_it_is_over_when_the_job_has_ended_or_the_client_has_gone(first: str) -> None:
    is_over = asyncio.Event()

    async def over() -> None:
        await is_over.wait()

    waits = Waits()
    waiting = asyncio.create_task(
        waits.hold(ALONE, over() if first == "ended" else never(), over() if first == "gone" else never())
    )
    await asyncio.sleep(0)
    assert not waiting.done()
    is_over.set()
    assert await waiting


async def test_a_drain_ends_all_and_none_is_held_any_more() -> None:
    waits = Waits()
    waiting = [await held(waits) for _ in range(3)]
    waits.end()
    assert await asyncio.gather(*waiting) == [True] * 3
    assert not await waits.hold(ALONE, never(), never())


async def test_one_of_several_may_have_half_of_them() -> None:
    waits = Waits(4)
    waiting = [await held(waits, ONE) for _ in range(2)]
    assert not await waits.hold(ONE, never(), never())
    waiting += [await held(waits, OTHER) for _ in range(2)]
    assert not await waits.hold(ALONE, never(), never()), "no more than that in all"
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    waiting.append(await held(waits, ONE))
    assert not waiting[-1].done(), "a client that gave up has left a place"
    waits.end()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_fault_while_waiting_is_not_swallowed() -> None:
    async def broken() -> None:
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        await Waits().hold(ALONE, broken(), never())
