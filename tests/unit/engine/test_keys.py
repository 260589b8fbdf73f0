"""Two requests with one Idempotency-Key: the second waits for the first, within bounds."""

import asyncio

import pytest

from imgserve.engine.keys import KeyInUse, KeysInUse
from tests.support.sizes import PATIENCE_S


async def test_the_second_waits_until_the_first_has_ended() -> None:
    keys, order = KeysInUse(), []
    is_inside, may_end = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with keys.held("a", "k"):
            is_inside.set()
            await may_end.wait()
            order.append("first")
            raise ArithmeticError

    async def second() -> None:
        async with keys.held("a", "k"):
            order.append("second")

    async with asyncio.timeout(PATIENCE_S):
        one = asyncio.create_task(first())
        await is_inside.wait()
        other = asyncio.create_task(second())
        async with keys.held("a", "another"), keys.held("b", "k"):  # nobody else waits
            may_end.set()
        await asyncio.gather(one, other, return_exceptions=True)
    assert order == ["first", "second"]


async def test_nobody_waits_for_ever() -> None:
    keys = KeysInUse(wait_s=0.01)
    async with keys.held("a", "k"):
        with pytest.raises(KeyInUse, match=r"for more than 0\.01 s") as caught:
            async with keys.held("a", "k"):
                pass
    assert (caught.value.status, caught.value.retry_after_s) == (503, 5.0)
    async with keys.held("a", "k"):
        pass


async def test_only_so_many_wait() -> None:
    keys = KeysInUse(most_waiting=1)

    async def one_more() -> None:
        async with keys.held("a", "k"):
            pass

    async with keys.held("a", "k"):
        waits = asyncio.create_task(one_more())
        await asyncio.sleep(0)
        with pytest.raises(KeyInUse, match="1 request with this key"):
            await one_more()
    await waits
