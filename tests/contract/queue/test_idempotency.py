"""Requests that are sent again with the key of their first time."""

import asyncio

import msgspec
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.faults import IdempotencyKeyReused, IdempotentJobGone
from imgserve.jobs.model import KEY_MEMORY_S, Accepted, Answer, Binding, Bound, NewJob, PlaceholderResult
from imgserve.jobs.protocol import Queue
from imgserve.jobs.views import JobQuery
from tests.support.queues import KEY, START, House, claimed, ended, new_job, output, pruned

REQUEST, OTHER = b"request", b"other"


def keyed(key: str = "k1", request: bytes = REQUEST, principal: str = "ann") -> NewJob:
    """The digest is of principal and key, as intake makes it."""
    job = new_job(digest=f"{principal} {key}".encode())
    return msgspec.structs.replace(job, principal=principal, binding=Binding(key, request))


async def stored(queue: Queue, job: NewJob, now: float = START) -> Accepted:
    entry = await queue.enqueue(job, now)
    assert isinstance(entry, Accepted)
    return entry


async def succeeded(queue: Queue, entry: Accepted, now: float = START) -> None:
    await queue.activate(entry.number, (PlaceholderResult(entry.outputs[0].id, "written"),), now)
    await queue.settle(ended(await claimed(queue, now), "delivered"), now)


async def test_a_repeat_gets_the_first_job(queue: Queue) -> None:
    first = keyed()
    assert await queue.binding_of("ann", "k1", START) is None
    entry = await stored(queue, first)
    assert await queue.binding_of("ann", "k1", START) == Bound(first.id, REQUEST, is_gone=False)
    for now in (START, START + 9):
        assert await queue.enqueue(keyed(), now) == Answer(entry.number, first.id, first.outputs)
    await queue.answered(entry.number)
    await succeeded(queue, entry)
    assert await queue.enqueue(keyed(), START + KEY_MEMORY_S - 1) == Answer(entry.number, first.id, first.outputs)
    assert len((await queue.page(JobQuery())).jobs) == 1


async def test_a_hundred_at_once_make_one_job(queue: Queue) -> None:
    entries = await asyncio.gather(*(queue.enqueue(keyed(), START) for _ in range(100)))
    assert sum(isinstance(entry, Accepted) for entry in entries) == 1
    assert len({entry.number for entry in entries}) == 1


async def test_another_request_with_the_key_is_refused(queue: Queue) -> None:
    entry = await stored(queue, keyed())
    with pytest.raises(IdempotencyKeyReused, match=entry.id):
        await queue.enqueue(keyed(request=OTHER), START)
    assert len((await queue.page(JobQuery())).jobs) == 1


async def test_keys_are_their_principals_own(queue: Queue) -> None:
    entries = [await stored(queue, keyed(principal=principal)) for principal in ("ann", "bob", "")]
    assert len({entry.number for entry in entries}) == 3
    bound = await queue.binding_of("bob", "k1", START)
    assert bound is not None
    assert bound.job_id == entries[1].id
    for principal, numbers in (("ann", [entries[0].number]), (None, [entry.number for entry in reversed(entries)])):
        page = await queue.page(JobQuery(idempotency_key="k1", principal=principal))
        assert [job.number for job in page.jobs] == numbers
    assert (await queue.page(JobQuery(idempotency_key="k2"))).jobs == ()
    assert (await queue.page(JobQuery(("failed",), idempotency_key="k1"))).jobs == ()


@pytest.mark.parametrize("state", ["refused", "written"])
async def test_a_refused_job_leaves_its_key_free(queue: Queue, state: str) -> None:
    entry = await stored(queue, keyed())
    result = PlaceholderResult(entry.outputs[0].id, "written" if state == "written" else "refused")
    await queue.refuse(entry.number, (result,), "x", "y", START)
    assert await queue.binding_of("ann", "k1", START) is None
    await stored(queue, keyed(request=OTHER))


async def test_a_key_outlives_its_job_and_is_free_after_a_day(queue: Queue) -> None:
    entry = await stored(queue, keyed())
    other = await stored(queue, msgspec.structs.replace(keyed("k2"), outputs=(output(f"{KEY}2"),)), START + 500)
    await succeeded(queue, entry)
    assert await pruned(queue, START + KEY_MEMORY_S - 1) == 0
    later = START + KEY_MEMORY_S + 1
    assert await pruned(queue, later) == 1
    assert await queue.binding_of("ann", "k1", later) is None
    assert await queue.binding_of("ann", "k2", later) == Bound(other.id, REQUEST, is_gone=False)
    again = await stored(queue, keyed(request=OTHER), later)
    assert again.id != entry.id


async def test_a_late_repeat_of_a_deleted_job_is_refused(house: House) -> None:
    queue = await house.open(config=Config(min_free_disk_bytes=0, keep_ended_s=60.0))
    entry = await stored(queue, keyed())
    await succeeded(queue, entry)
    later = START + 100
    assert await pruned(queue, later) == 1
    assert await queue.binding_of("ann", "k1", later) == Bound(entry.id, REQUEST, is_gone=True)
    with pytest.raises(IdempotentJobGone, match=entry.id):
        await queue.enqueue(keyed(), later)
    with pytest.raises(IdempotencyKeyReused):
        await queue.enqueue(keyed(request=OTHER), later)


async def test_a_key_survives_the_server(house: House) -> None:
    queue = await house.open()
    entry = await stored(queue, keyed())
    queue = await house.open(START + 50)
    assert await queue.enqueue(keyed(), START + 51) == Answer(entry.number, entry.id, (output(),))
    with pytest.raises(IdempotencyKeyReused):
        await queue.enqueue(keyed(request=OTHER), START + 52)
    queue.check_room("ann", keyed().digest, START + 53, has_quota=False)
