"""The byte budget, the store, and the slots: who waits, who comes first, what comes back."""

import asyncio
import threading

import pytest

from imgserve.blob import Blob
from imgserve.transfer.client.slots import Slots
from imgserve.transfer.memory import SMALLEST_CHARGE_BYTES, Budget, Store


async def test_the_budget_serves_waiters_in_order() -> None:
    budget = Budget(100)
    first, second, third = (budget.reservation() for _ in range(3))
    assert first.take(80).done()
    large, small = second.take(90), third.take(10)
    assert not large.done()
    assert not small.done(), "a small wish must not overtake a large one"
    first.release()
    await large
    await small
    assert budget.free_bytes == 0
    second.release()
    second.release()
    assert budget.free_bytes == 90


async def test_a_wish_above_the_whole_budget_waits_for_all_of_it() -> None:
    budget = Budget(100)
    holder, greedy = budget.reservation(), budget.reservation()
    holder.take(1)
    wish = greedy.take(1000)
    assert not wish.done()
    holder.release()
    await wish
    assert budget.free_bytes == 0


async def test_a_cancelled_wish_takes_nothing() -> None:
    budget = Budget(100)
    holder, waiting = budget.reservation(), budget.reservation()
    holder.take(100)
    waiting.take(50).cancel()
    holder.release()
    await budget.reservation().take(100)
    assert budget.free_bytes == 0


async def test_shrinking_gives_the_rest_to_the_next() -> None:
    budget = Budget(100)
    one, other = budget.reservation(), budget.reservation()
    one.take(100)
    wish = other.take(70)
    one.shrink(30)
    await wish
    one.release()
    other.release()
    assert budget.free_bytes == 100


async def test_a_blob_that_goes_in_another_thread_wakes_a_waiter() -> None:
    budget = Budget(10)
    reservation = budget.reservation()
    reservation.take(10)
    blobs = [Blob(on_close=reservation.release)]
    wish = budget.reservation().take(10)
    thread = threading.Thread(target=blobs.clear)
    thread.start()
    await asyncio.wait_for(wish, 5)
    thread.join()


def test_the_store_drops_the_oldest() -> None:
    unit = SMALLEST_CHARGE_BYTES
    store: Store[str] = Store(10 * unit)
    store.keep("a", "A", 6 * unit)
    store.keep("b", "B", 4 * unit)
    store.keep("c", "C", 3 * unit)
    assert store.take("a") is None
    assert store.take("b") == "B"
    assert store.take("b") is None
    store.keep("c", "C2", 5 * unit)
    assert store.size_bytes == 5 * unit
    store.keep("huge", "H", 10 * unit + 1)
    assert store.take("huge") is None
    assert store.take("c") == "C2"
    assert store.size_bytes == 0
    store.keep("small", "S", 1)
    assert store.size_bytes == unit


async def test_slots_hold_back_one_host_and_let_others_pass() -> None:
    slots = Slots(3)
    await slots.acquire("a", 1)
    blocked = asyncio.create_task(slots.acquire("a", 1))
    await asyncio.wait_for(slots.acquire("b", 1), 5)
    assert not blocked.done()
    slots.release("a")
    await asyncio.wait_for(blocked, 5)


async def test_slots_limit_the_total_and_survive_cancelling() -> None:
    slots = Slots(1)
    await slots.acquire("a", 8)
    order: list[str] = []

    async def take(name: str) -> None:
        await slots.acquire(name, 8)
        order.append(name)
        slots.release(name)

    tasks = [asyncio.create_task(take(name)) for name in ("b", "c", "d")]
    await asyncio.sleep(0)  # one turn of the loop: each has queued
    tasks[1].cancel()
    slots.release("a")
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    await asyncio.gather(tasks[0], tasks[2])
    assert order == ["b", "d"]


def test_the_store_keeps_no_more_than_so_many_and_the_newest_for_a_place() -> None:
    dropped: list[str] = []
    store: Store[str] = Store(10**9, 3, on_drop=dropped.append)
    for name in "abcd":
        store.keep(name, name.upper(), 1)
    assert dropped == ["A"]
    store.keep("e", "E", 1, "there")
    store.keep("f", "F", 1, "there")
    assert dropped == ["A", "B", "E"]
    assert store.take("f") == "F"
    store.keep("g", "G", 1, "there")
    store.keep("g", "G2", 1, "elsewhere")
    assert dropped == ["A", "B", "E", "G"]
    store.keep("h", "H", 1, "there")
    assert dropped == ["A", "B", "E", "G", "C"]
    assert [store.take(name) for name in "cdgh"] == [None, "D", "G2", "H"]
    assert store.size_bytes == 0
