"""An attempt's clock stands still while it waits for others, and only then."""

import asyncio
import time

import pytest

from imgserve.timeout import limit, waiting


async def test_a_wait_is_not_charged() -> None:
    async with limit(0.1):
        with waiting():
            await asyncio.sleep(0.2)


async def test_work_is() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        async with limit(0.1):
            await asyncio.sleep(10)
    assert time.monotonic() - started < 5


async def test_the_clock_goes_on_after_the_wait() -> None:
    async def attempt() -> None:
        async with limit(0.1):
            with waiting():
                await asyncio.sleep(0.15)
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        await attempt()


async def test_two_outputs_may_wait_at_once() -> None:
    async def wait(seconds: float) -> None:
        with waiting():
            await asyncio.sleep(seconds)

    async with limit(0.1):
        await asyncio.gather(wait(0.05), wait(0.25))

    async def attempt() -> None:
        async with limit(0.1):
            await asyncio.gather(wait(0.05), wait(0.15))
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        await attempt()


async def test_outside_of_an_attempt_it_means_nothing() -> None:
    with waiting():
        await asyncio.sleep(0)


async def test_a_wait_can_be_broken_off() -> None:
    async def attempt() -> None:
        async with limit(10):
            with waiting():
                await asyncio.sleep(10)

    task = asyncio.create_task(attempt())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
