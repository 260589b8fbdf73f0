"""What the queue keeps and for how long; what it counts."""

import asyncio

import pytest
from msgspec import structs

from imgserve.jobs.faults import QueueFault
from imgserve.jobs.model import Accepted, Ended, OutputResult, PlaceholderResult, Settlement
from imgserve.jobs.protocol import Counts, Queue
from tests.support.queues import (
    KEY,
    START,
    House,
    accepted,
    claimed,
    due_entries,
    ended,
    failed,
    new_job,
    output,
    pruned,
    released,
)

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
OTHER = "http://place.test:80/b.png"


async def test_ended_jobs_are_kept_for_a_day(queue: Queue) -> None:
    await released(queue)
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    assert await pruned(queue, START + DAY_S - 1) == 0
    assert await pruned(queue, START + DAY_S + 1) == 1
    assert await pruned(queue, START + DAY_S + 1) == 0


async def test_failed_jobs_are_kept_for_two_weeks(queue: Queue) -> None:
    await failed(queue, output(is_bare=True))
    assert await pruned(queue, START + 14 * DAY_S - 1) == 0
    assert await pruned(queue, START + 14 * DAY_S + 1) == 1


async def test_superseded_jobs_are_kept_for_a_day(queue: Queue) -> None:
    await released(queue)
    await released(queue)
    assert await pruned(queue, START + DAY_S + 1) == 1


async def test_open_jobs_are_never_pruned(queue: Queue) -> None:
    await accepted(queue, output(KEY))
    await released(queue, output(OTHER))
    assert await pruned(queue, START + 1e9) == 0
    assert len((await queue.take_work(10, START + 1e9)).claims) == 1


async def test_a_job_that_still_owes_is_not_pruned(queue: Queue) -> None:
    await failed(queue)
    assert await pruned(queue, START + 1e9) == 0
    owed = (await due_entries(queue, START + 1e9))[0]
    await queue.settle_entry(owed, "abandoned", START + 1e9)
    assert await pruned(queue, START + 1e9) == 1


async def test_pruned_numbers_and_outputs_do_not_come_back(queue: Queue) -> None:
    """Kept renditions and temporary files go by the output's id."""
    old = await released(queue)
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    await pruned(queue, START + 1e9)
    new = await accepted(queue)
    assert new.number > old.number
    assert new.outputs[0].id > old.outputs[0].id


async def test_counts(queue: Queue) -> None:
    nothing = Counts(0, 0, 0, 0, 0, None, None)
    assert await queue.counts() == nothing
    first = await accepted(queue, output(KEY))
    assert await queue.counts() == structs.replace(nothing, accepting=1, oldest_at=START)
    await released(queue, output(OTHER), now=START + 1)
    assert await queue.counts() == Counts(1, 1, 0, 0, 0, START, START + 1)
    claim = await claimed(queue, START + 1)
    assert await queue.counts() == Counts(1, 0, 1, 0, 0, START, None)
    await queue.settle(ended(claim, "failed"), START + 2)
    assert await queue.counts() == Counts(1, 0, 0, 1, 0, START, None)
    await queue.refuse(first.number, (), "delivery_failed", "", START + 2)
    [owed] = await due_entries(queue, START + 2)
    await queue.settle_entry(owed, "abandoned", START + 2)
    assert await queue.counts() == structs.replace(nothing, abandoned=1)


async def test_each_end_is_told_once(house: House) -> None:
    told: list[Ended] = []
    queue = await house.open(on_end=told.append)
    old = await released(queue)
    overtaker = await released(queue, now=START + 1)
    claim = await claimed(queue, START + 2)
    assert claim.number == overtaker.number
    await queue.settle(ended(claim, "retry", retry_at=START + 3), START + 2)
    assert told == [Ended("superseded", "", START, START + 1, old.id)]
    again = await claimed(queue, START + 3)
    poisoned = OutputResult(again.outputs[0].id, "failed", "crash", error="poison")
    failure = Settlement(again.number, again.token, (poisoned,))
    await queue.settle(failure, START + 4)
    await queue.settle(failure, START + 5)
    await pruned(queue, START + 1e9)
    assert told[1:] == [Ended("failed", "poison", START + 1, START + 4, overtaker.id)]
    queue = await house.open(on_end=told.append)
    assert len(told) == 2


async def test_an_end_that_was_undone_is_not_told(house: House) -> None:
    """A bug in one transaction undoes the whole batch; then each is run again by itself."""
    told: list[Ended] = []
    queue = await house.open(on_end=told.append)
    double = await released(queue)
    claim = await claimed(queue)
    twin = structs.replace(new_job(output(OTHER)), id=double.id)
    settled, fault = await asyncio.gather(
        queue.settle(ended(claim, "delivered"), START + 1), queue.enqueue(twin, START), return_exceptions=True
    )
    assert (settled, type(fault)) == (True, QueueFault)
    assert told == [Ended("succeeded", "", START, START + 1, double.id)]


async def test_a_trace_goes_on_with_its_job(queue: Queue) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    entry = await queue.enqueue(structs.replace(new_job(), traceparent=parent), START)
    assert isinstance(entry, Accepted)
    await queue.activate(entry.number, (PlaceholderResult(entry.outputs[0].id, "written"),), START)
    claim = await claimed(queue)
    assert claim.traceparent == parent
    await queue.settle(ended(claim, "failed"), START)
    assert [owed.traceparent for owed in await due_entries(queue)] == [parent]
    await released(queue, output(OTHER))
    assert (await claimed(queue)).traceparent == ""


async def test_digests_of_placeholders_are_known_by_size_for_a_day(queue: Queue) -> None:
    await queue.note_placeholder(b"one", 100, START)
    await queue.note_placeholder(b"two", 100, START)
    await queue.note_placeholder(b"three", 200, START)
    assert await queue.placeholder_digests(100, START + DAY_S - 1) == {b"one", b"two"}
    assert await queue.placeholder_digests(200, START) == {b"three"}
    assert await queue.placeholder_digests(300, START) == frozenset()
    assert await queue.placeholder_digests(100, START + DAY_S + HOUR_S + 1) == frozenset()


@pytest.mark.parametrize("is_reopened", [False, True])
@pytest.mark.parametrize("again_after_s", [60.0, HOUR_S - 1, HOUR_S + 1, 23 * HOUR_S])
async def test_the_day_begins_with_the_last_write(house: House, again_after_s: float, is_reopened: bool) -> None:
    queue = await house.open()
    await queue.note_placeholder(b"one", 100, START)
    await queue.note_placeholder(b"one", 100, START + again_after_s)
    last = START + again_after_s + DAY_S - 1
    await pruned(queue, last)
    if is_reopened:
        queue = await house.open(last)
    assert await queue.placeholder_digests(100, last) == {b"one"}


async def test_digests_are_forgotten_on_disk_too(house: House) -> None:
    queue = await house.open()
    await queue.note_placeholder(b"one", 100, START)
    await pruned(queue, START + 2 * DAY_S)
    assert await queue.placeholder_digests(100, START) == frozenset()
    queue = await house.open()
    assert await queue.placeholder_digests(100, START) == frozenset()
