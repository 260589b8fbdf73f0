"""A crowd: what a full queue says, that it counts exactly, and jobs of peers that hold up the others."""

import asyncio

import pytest

from imgserve.jobs.job import Accepted
from imgserve.jobs.queue import Config, Queue, QueueFull
from tests.queues import KEY, START, SqliteHouse, accepted, claimed, ended, new_job, output, released

SLOW, FAST = "http://slow.test:80", "http://fast.test:80"
FEW = Config(max_waiting=3, min_free_disk_bytes=0)


async def numbers_of(queue: Queue, now: float, *avoid: str, jobs: int = 10) -> list[int]:
    return [claim.number for claim in (await queue.take_work(jobs, 0, now, frozenset(avoid))).claims]


async def test_jobs_of_a_peer_to_avoid_let_the_others_pass(queue: Queue) -> None:
    slow = [await released(queue, output(f"{SLOW}/{n}.png")) for n in range(5)]
    fast = [await released(queue, output(f"{FAST}/{n}.png")) for n in range(2)]
    assert await numbers_of(queue, START, SLOW, jobs=2) == [entry.number for entry in fast]
    assert await numbers_of(queue, START, jobs=10) == [], "they would stand in the way again at once"
    assert await numbers_of(queue, START + 60, jobs=10) == [entry.number for entry in slow], "in their order, uncharged"


async def test_it_tells_when_jobs_that_were_put_off_are_due(queue: Queue) -> None:
    await released(queue, output(f"{SLOW}/a.png"))
    work = await queue.take_work(1, 0, START, frozenset([SLOW]))
    assert work.claims == ()
    assert work.due_at is not None
    assert START < work.due_at <= START + 10
    assert len(await numbers_of(queue, work.due_at)) == 1


async def test_only_those_in_the_way_are_put_off(queue: Queue) -> None:
    fast = await released(queue, output(f"{FAST}/a.png"))
    slow = await released(queue, output(f"{SLOW}/a.png"))
    assert await numbers_of(queue, START, SLOW, jobs=1) == [fast.number]
    assert await numbers_of(queue, START, jobs=1) == [slow.number]


async def test_a_full_queue_has_room_again_for_each_that_ends(house: SqliteHouse) -> None:
    queue = await house.open(config=FEW)
    entries = [await released(queue, output(f"{KEY}{n}")) for n in range(3)]
    with pytest.raises(QueueFull):
        await queue.enqueue(new_job(), START)
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    late = await accepted(queue, output(f"{KEY}late"))
    with pytest.raises(QueueFull) as full:
        await queue.enqueue(new_job(), START)
    assert full.value.retry_after_s is not None
    assert 1 <= full.value.retry_after_s <= 600
    await queue.refuse(late.number, (), "delivery_failed", "refused", START)
    await released(queue, output(f"{KEY}1"))  # it supersedes the older job of its place
    await released(queue, output(f"{KEY}1"))
    assert entries
    await house.close()


async def test_what_was_undone_does_not_count(house: SqliteHouse) -> None:
    queue = await house.open(config=FEW)
    ends = await asyncio.gather(
        *(queue.enqueue(new_job(output(f"{KEY}{n}")), START) for n in range(9)), return_exceptions=True
    )
    assert [type(end) for end in ends] == [Accepted] * 3 + [QueueFull] * 6
    queue = await house.open(START + 100, FEW)
    with pytest.raises(QueueFull):
        await queue.enqueue(new_job(), START)
    await house.close()
