"""The memory budget: who waits, who comes first, what comes back."""

import asyncio
import threading

import pytest

from imgserve.blob import Blob
from imgserve.limiter import Limiter
from imgserve.transfer.memory import Reservation, Together


async def test_the_budget_serves_waiters_in_order() -> None:
    budget = Limiter(100)
    first, second, third = (Reservation(budget) for _ in range(3))
    assert first.take(80).done()
    large, small = second.take(90), third.take(10)
    assert not large.done()
    assert not small.done(), "a small wish must not overtake a large one"
    first.release()
    await large
    await small
    assert budget.held == 100
    second.release()
    second.release()
    assert budget.held == 10


async def test_a_wish_above_the_whole_budget_waits_for_all_of_it() -> None:
    budget = Limiter(100)
    holder, greedy = Reservation(budget), Reservation(budget)
    holder.take(1)
    wish = greedy.take(1000)
    assert not wish.done()
    holder.release()
    await wish
    assert budget.held == greedy.size_bytes == 100


async def test_a_cancelled_wish_takes_nothing() -> None:
    budget = Limiter(100)
    holder, waiting = Reservation(budget), Reservation(budget)
    holder.take(100)
    waiting.take(50).cancel()
    holder.release()
    await Reservation(budget).take(100)
    assert budget.held == 100


async def test_a_wish_of_one_that_is_gone_is_given_up() -> None:
    budget = Limiter(100)
    holder, gone = Reservation(budget), Reservation(budget)
    holder.take(100)
    wish = gone.take(50)
    gone.release()
    assert wish.cancelled()
    holder.release()
    await Reservation(budget).take(100)


async def test_shrinking_gives_the_rest_to_the_next() -> None:
    budget = Limiter(100)
    one, other = Reservation(budget), Reservation(budget)
    one.take(100)
    wish = other.take(70)
    one.shrink(30)
    await wish
    one.release()
    other.release()
    assert budget.held == 0


async def test_a_blob_that_is_closed_in_another_thread_wakes_a_waiter() -> None:
    budget = Limiter(10)
    reservation = Reservation(budget)
    reservation.take(10)
    blob = Blob(on_close=reservation.release)
    wish = Reservation(budget).take(10)
    thread = threading.Thread(target=blob.close)
    thread.start()
    await asyncio.wait_for(wish, 5)
    thread.join()


async def test_what_is_forgotten_comes_back_without_interrupting_the_loop() -> None:
    """The garbage collector may run in the middle of the budget's own code."""
    budget = Limiter(10)
    reservation = Reservation(budget)
    reservation.take(10)
    with pytest.warns(ResourceWarning, match=r"Blob\(0 bytes\) was never closed"):
        Blob(on_close=reservation.release)
    assert budget.held == 10
    await asyncio.sleep(0)
    assert budget.held == 0


async def test_sources_of_one_rendering_are_granted_in_one_step() -> None:
    """Two renderings that hold half of what they need each would wait for ever."""
    budget = Limiter(100)
    groups = [Together(budget, 2) for _ in range(2)]
    (one, two), (three, four) = ((Reservation(group), Reservation(group)) for group in groups)
    begun = [one.take(40), three.take(40)]
    await asyncio.sleep(0)
    assert budget.held == 0
    first, second = two.take(40), four.take(40)
    await first
    assert begun[0].done()
    assert budget.held == one.size_bytes + two.size_bytes == 80
    two.shrink(30)
    one.release()
    await asyncio.sleep(0)
    assert not second.done()
    two.release()
    await second
    assert budget.held == three.size_bytes + four.size_bytes == 80


async def test_sources_that_are_larger_than_the_budget_wait_for_all_of_it() -> None:
    budget = Limiter(100)
    group = Together(budget, 3)
    for wish in [Reservation(group).take(1000) for _ in range(3)]:
        await wish
    assert budget.held == 99


async def test_a_source_that_fails_before_it_asks_holds_up_no_other() -> None:
    budget = Limiter(100)
    group = Together(budget, 3)
    failed, *others = (Reservation(group) for _ in range(3))
    wishes = [reservation.take(30) for reservation in others]
    failed.forgo()
    failed.forgo()
    for wish in wishes:
        await wish
    assert budget.held == 60
    for reservation in (failed, *others):
        reservation.release()
    assert budget.held == 0


@pytest.mark.parametrize("ended", range(2))
async def test_sources_of_which_one_is_given_up_take_nothing(ended: int) -> None:
    budget = Limiter(100)
    holder, group = Reservation(budget), Together(budget, 2)
    holder.take(80)
    waiting = [Reservation(group) for _ in range(2)]
    wishes = [reservation.take(40) for reservation in waiting]
    waiting[ended].release()
    await asyncio.sleep(0)
    await Reservation(budget).take(20)
    holder.release()
    await asyncio.sleep(0)
    assert budget.held == 20
    assert not any(wish.done() and not wish.cancelled() for wish in wishes)


async def test_a_source_that_is_given_up_at_the_moment_of_the_grant_comes_back() -> None:
    budget = Limiter(100)
    holder, group = Reservation(budget), Together(budget, 2)
    holder.take(100)
    waiting = [Reservation(group) for _ in range(2)]
    for reservation in waiting:
        reservation.take(40)
    holder.release()
    waiting[0].release()
    await asyncio.sleep(0)
    waiting[1].release()
    assert budget.held == 0
