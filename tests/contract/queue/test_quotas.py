"""Quotas: each of several principals may fill its part of the queue and no more, however its jobs end."""

import asyncio
from contextlib import suppress

import msgspec
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.faults import QueueFull, QuotaFull
from imgserve.jobs.model import Accepted, NewJob
from imgserve.jobs.protocol import Queue
from imgserve.request.classic.spelling import number_of
from tests.support.queues import START, House, accepted, claimed, ended, new_job, output, states_of

CONFIG = Config(max_waiting=10, quota=0.4, min_free_disk_bytes=0)


def job_of(principal: str, *, has_quota: bool = True) -> NewJob:
    job = new_job()
    return msgspec.structs.replace(
        job, outputs=(output(f"http://place.test:80/{job.id}"),), principal=principal, has_quota=has_quota
    )


async def enqueued(queue: Queue, principal: str) -> Accepted:
    entry = await queue.enqueue(job_of(principal), START)
    assert isinstance(entry, Accepted)
    return entry


async def queued(queue: Queue, principal: str) -> Accepted:
    entry = await enqueued(queue, principal)
    await queue.activate(entry.number, states_of(entry, state="unknown"), START)
    return entry


async def room(queue: Queue, principal: str) -> int:
    """How many more jobs of this principal are accepted; they are deleted again."""
    entries = []
    with suppress(QuotaFull):
        while True:
            entries.append(await enqueued(queue, principal))
    for entry in entries:
        await queue.refuse(entry.number, (), "delivery_failed", "only a question", START)
    return len(entries)


async def test_one_fills_its_part_and_the_other_has_room(house: House) -> None:
    queue = await house.open(config=CONFIG)
    for _ in range(4):
        await enqueued(queue, "flood")
    with pytest.raises(QuotaFull) as full:
        await enqueued(queue, "flood")
    assert (number_of(full.value), full.value.status, full.value.code) == (301, 429, "queue_quota_full")
    assert await room(queue, "other") == 4


async def test_the_whole_queue_is_still_the_limit(house: House) -> None:
    queue = await house.open(config=CONFIG)
    for principal in "aaaabbbbcc":
        await enqueued(queue, principal)
    with pytest.raises(QueueFull):
        await enqueued(queue, "c")


async def test_a_principal_without_a_quota_has_the_whole_queue(house: House) -> None:
    queue = await house.open(config=CONFIG)
    for _ in range(10):
        await queue.enqueue(job_of("alone", has_quota=False), START)
    with pytest.raises(QueueFull):
        await queue.enqueue(job_of("alone", has_quota=False), START)


async def test_a_small_quota_is_one_job(house: House) -> None:
    queue = await house.open(config=msgspec.structs.replace(CONFIG, quota=0.01))
    assert await room(queue, "a") == 1


async def test_each_end_makes_room_and_a_retry_takes_it(house: House) -> None:
    queue = await house.open(config=CONFIG)
    refused = await enqueued(queue, "a")
    done = await queued(queue, "a")
    failing = await queued(queue, "a")
    cancelled = await queued(queue, "a")
    assert await room(queue, "a") == 0
    await queue.refuse(refused.number, (), "delivery_failed", "no", START)
    assert await room(queue, "a") == 1
    claim = await claimed(queue)
    assert claim.number == done.number
    assert await room(queue, "a") == 1, "a running job still counts"
    await queue.settle(ended(claim, "delivered"), START)
    claim = await claimed(queue)
    assert claim.number == failing.number
    await queue.settle(ended(claim, "failed"), START)
    assert await room(queue, "a") == 3
    await queue.cancel(cancelled.id, START)
    assert await room(queue, "a") == 4
    await queue.retry(failing.id, None, 1000.0, START)
    assert await room(queue, "a") == 3


async def test_a_superseded_job_makes_room(house: House) -> None:
    queue = await house.open(config=CONFIG)
    older = await queued(queue, "a")
    place = output(f"http://place.test:80/{older.id}")
    newer = await accepted(queue, place)
    await queue.activate(newer.number, states_of(newer, place), START)
    assert await room(queue, "a") == 4


async def test_a_new_owner_knows_the_counts(house: House) -> None:
    queue = await house.open(config=CONFIG)
    await queued(queue, "a")
    await enqueued(queue, "a")
    await queued(queue, "b")
    claim = await claimed(queue)
    await queue.settle(ended(claim, "delivered"), START)
    queue = await house.open(config=CONFIG)
    assert (await room(queue, "a"), await room(queue, "b")) == (3, 3)


async def test_an_undone_batch_is_not_counted(house: House) -> None:
    """Jobs of several principals commit together; a refused one leaves the others' counts as they are."""
    queue = await house.open(config=CONFIG)
    ends = await asyncio.gather(
        *(queue.enqueue(job_of(principal), START) for principal in "aaaaaabb"), return_exceptions=True
    )
    assert [isinstance(end, QuotaFull) for end in ends] == [False] * 4 + [True] * 2 + [False] * 2
    assert (await room(queue, "a"), await room(queue, "b")) == (0, 2)


async def test_the_wait_is_the_time_of_a_tenth_of_the_quota(house: House) -> None:
    """Twenty jobs have ended in twenty seconds; of forty open ones half are the principal's."""
    config = Config(max_waiting=200, quota=0.1, min_free_disk_bytes=0)
    queue = await house.open(config=config)
    for _ in range(20):
        entry = await queued(queue, "b")
        claim = await claimed(queue)
        assert claim.number == entry.number
        await queue.settle(ended(claim, "delivered"), START + 20)
    for _ in range(20):
        await enqueued(queue, "a")
        await queue.enqueue(job_of("", has_quota=False), START + 20)
    with pytest.raises(QuotaFull) as full:
        await queue.enqueue(job_of("a"), START + 20)
    assert full.value.retry_after_s == 4, "two places, every second of one job a second"


async def test_a_full_queue_is_known_without_a_transaction(house: House) -> None:
    """Load shedding asks before any work is done for a request, and gets the answer that ``enqueue`` would give."""
    queue = await house.open(config=CONFIG)
    for _ in range(4):
        await enqueued(queue, "flood")
    for principal in "bbbbc":
        queue.check_room(principal, b"", START, has_quota=True)
        await enqueued(queue, principal)
        with pytest.raises(QuotaFull) as expected:
            await enqueued(queue, "flood")
        with pytest.raises(QuotaFull) as known:
            queue.check_room("flood", b"", START, has_quota=True)
        assert (known.value.detail, known.value.retry_after_s) == (expected.value.detail, expected.value.retry_after_s)
    entry = await enqueued(queue, "c")
    for has_quota in (False, True):
        with pytest.raises(QueueFull, match="10 jobs are waiting"):
            queue.check_room("d", b"", START, has_quota=has_quota)
    await queue.refuse(entry.number, (), "delivery_failed", "made room", START)
    queue.check_room("d", b"", START, has_quota=True)
    queue = await house.open(config=CONFIG)
    with pytest.raises(QuotaFull):
        queue.check_room("flood", b"", START, has_quota=True)
