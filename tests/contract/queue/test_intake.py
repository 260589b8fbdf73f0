"""What the queue promises to intake: numbers, release, refusal, adoption, the limit."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.faults import QueueFault, QueueFull
from imgserve.jobs.model import Accepted, Answer, NewJob, PlaceholderResult
from imgserve.jobs.protocol import Queue
from imgserve.request.classic.spelling import number_of
from tests.support.queues import (
    BUSY,
    GRANTED,
    KEY,
    SOURCE,
    START,
    House,
    accepted,
    claimed,
    due_entries,
    ended,
    failure_of,
    final_of,
    hold,
    new_job,
    output,
    placeholder_of,
    released,
    states_of,
)
from tests.support.sizes import FOREVER_S

OTHER = "http://place.test:80/b.png"


async def test_numbers_and_output_ids_only_grow(house: House) -> None:
    queue = await house.open()
    first = await accepted(queue, output(), output(OTHER))
    first_ids = [place.id for place in first.outputs]
    assert first_ids == sorted(first_ids)
    await queue.refuse(first.number, (), "delivery_failed", "no", START)
    queue = await house.open()
    second = await accepted(queue)
    assert second.number > first.number
    assert min(place.id for place in second.outputs) > max(first_ids)


async def test_a_job_is_claimed_only_after_its_release(queue: Queue) -> None:
    entry = await accepted(queue)
    assert (await queue.take_work(10, START)).claims == ()
    await hold(queue, entry)
    await queue.activate(entry.number, states_of(entry), START)
    claim = await claimed(queue)
    assert (claim.number, claim.id, claim.source) == (entry.number, entry.id, SOURCE)
    assert claim.deadline_at == START + 86_400.0
    assert [(each.id, each.spec, each.placeholder) for each in claim.outputs] == [
        (entry.outputs[0].id, output(), "written")
    ]


async def test_an_activation_tells_whether_the_job_was_changed(queue: Queue) -> None:
    entry = await accepted(queue)
    assert (entry.created_at, entry.due_at) == (START, START)
    await hold(queue, entry)
    assert await queue.activate(entry.number, states_of(entry), START)
    assert not await queue.activate(entry.number, states_of(entry), START)  # as after a takeover
    newer = await accepted(queue)
    await hold(queue, newer)
    assert not await queue.activate(newer.number, states_of(newer), START)
    one_of_two = await accepted(queue, output(OTHER), output(OTHER + "2"))
    await hold(queue, one_of_two, output(OTHER), output(OTHER + "2"))
    await released(queue, output(OTHER, is_bare=True))  # ends the older job's output there
    states = states_of(one_of_two, output(OTHER), output(OTHER + "2"))
    assert not await queue.activate(one_of_two.number, states, START)


async def test_a_job_without_placeholder_says_so(queue: Queue) -> None:
    entry = await accepted(queue, output(is_bare=True))
    await queue.activate(entry.number, (), START)
    assert (await claimed(queue)).outputs[0].placeholder == "none"


async def test_jobs_are_claimed_in_the_order_of_their_numbers(queue: Queue) -> None:
    entries = [await released(queue, output(f"{KEY}{i}")) for i in range(5)]
    some = await queue.take_work(3, START)
    rest = await queue.take_work(3, START)
    assert [claim.number for claim in some.claims + rest.claims] == [entry.number for entry in entries]


async def test_release_wakes_the_runner(queue: Queue) -> None:
    await released(queue)
    await queue.wait_for_work(FOREVER_S)


@pytest.mark.parametrize("ticks", range(5))
async def test_who_waits_for_work_can_be_told_to_stop_when_some_comes(queue: Queue, ticks: int) -> None:
    """A runner that misses this goes on claiming, and its server never ends."""
    waiter = asyncio.create_task(queue.wait_for_work(FOREVER_S))
    await asyncio.sleep(0.01)
    await released(queue)
    for _ in range(ticks):
        await asyncio.sleep(0)
    if waiter.cancel():
        with pytest.raises(asyncio.CancelledError):
            await waiter


async def test_a_refused_job_that_put_nothing_is_forgotten(queue: Queue) -> None:
    entry = await accepted(queue)
    await hold(queue, entry)
    await queue.refuse(entry.number, (), "delivery_failed", "refused", START)
    assert (await queue.counts()).waiting == 0
    assert await due_entries(queue) == ()
    newer = await accepted(queue)
    assert await queue.acquire(placeholder_of(newer), START) == GRANTED


async def test_a_refused_job_owes_what_it_put(queue: Queue) -> None:
    places = (output(), output(OTHER))
    entry = await accepted(queue, *places)
    await hold(queue, entry, *places)
    await queue.refuse(
        entry.number, (PlaceholderResult(entry.outputs[0].id, "written"),), "delivery_failed", "refused", START
    )
    assert (await queue.take_work(10, START)).claims == ()
    all_owed = await due_entries(queue)
    assert [owed.output.id for owed in all_owed] == [entry.outputs[0].id]


async def test_a_refused_job_is_not_adopted(house: House) -> None:
    queue = await house.open()
    job = new_job()
    entry = await queue.enqueue(job, START)
    assert isinstance(entry, Accepted)
    await queue.refuse(entry.number, states_of(entry), "delivery_failed", "refused", START)
    queue = await house.open()
    assert isinstance(await queue.enqueue(msgspec.structs.replace(job, id="again"), START), Accepted)


async def test_a_refused_job_supersedes_nobody(queue: Queue) -> None:
    older = await released(queue)
    newer = await accepted(queue)
    await hold(queue, newer)
    await queue.refuse(newer.number, states_of(newer), "delivery_failed", "refused", START)
    owed = (await due_entries(queue))[0]
    await queue.settle_entry(owed, "done", START)
    claim = await claimed(queue)
    assert claim.number == older.number
    assert await queue.acquire(final_of(claim), START) == GRANTED
    assert await queue.settle(ended(claim, "delivered"), START)


async def test_the_failure_picture_of_a_refused_job_leaves_the_older_its_turn(queue: Queue) -> None:
    """It was never released, so what it owes has no place in the order either."""
    older = await released(queue)
    newer = await accepted(queue)
    await hold(queue, newer)
    await queue.refuse(newer.number, states_of(newer), "delivery_failed", "refused", START)
    owed = (await due_entries(queue))[0]
    claim = await claimed(queue)
    assert await queue.acquire(failure_of(owed), START) == GRANTED
    assert await queue.acquire(final_of(claim), START) == BUSY
    await queue.settle_entry(owed, "done", START)
    assert await queue.acquire(final_of(claim), START) == GRANTED
    assert claim.number == older.number


async def test_a_final_lifts_the_entry_of_a_job_refused_after_it(queue: Queue) -> None:
    await released(queue)
    newer = await accepted(queue)
    await hold(queue, newer)
    await queue.refuse(newer.number, states_of(newer), "delivery_failed", "refused", START)
    claim = await claimed(queue)
    assert await queue.acquire(final_of(claim), START) == GRANTED
    await queue.settle(ended(claim, "delivered"), START)
    assert await due_entries(queue) == ()


async def test_an_unanswered_job_is_adopted_once_by_each_new_owner(house: House) -> None:
    queue = await house.open()
    job = new_job()
    twin = msgspec.structs.replace(job, id="twin")
    entry = await queue.enqueue(job, START)
    for owner in range(2):
        queue = await house.open()
        assert await queue.enqueue(twin, START) == Answer(entry.number, entry.id, job.outputs)
        second = await queue.enqueue(msgspec.structs.replace(twin, id=f"twin-{owner}", outputs=(output(OTHER),)), START)
        assert isinstance(second, Accepted)
        await queue.answered(second.number)


async def test_a_full_queue_still_knows_the_job_of_a_repeated_request(house: House) -> None:
    """Load shedding lets the request through, and the job is adopted: it needs no room."""
    config = Config(max_waiting=1)
    queue, job = await house.open(config=config), new_job()
    entry = await queue.enqueue(job, START)
    queue = await house.open(config=config)
    with pytest.raises(QueueFull):
        queue.check_room(job.principal, b"another request", START, has_quota=False)
    queue.check_room(job.principal, job.digest, START, has_quota=False)
    twin = msgspec.structs.replace(job, id="again")
    assert await queue.enqueue(twin, START) == Answer(entry.number, entry.id, job.outputs)


async def test_the_running_owners_jobs_are_not_adopted(queue: Queue) -> None:
    job = new_job()
    await queue.enqueue(job, START)
    assert isinstance(await queue.enqueue(msgspec.structs.replace(job, id="twin"), START), Accepted)


async def test_another_request_adopts_nothing(house: House) -> None:
    queue = await house.open()
    job = new_job()
    await queue.enqueue(job, START)
    queue = await house.open()
    assert isinstance(await queue.enqueue(msgspec.structs.replace(job, id="b", digest=b"b"), START), Accepted)


async def test_an_answered_job_is_not_adopted(house: House) -> None:
    queue = await house.open()
    job = new_job()
    entry = await queue.enqueue(job, START)
    await queue.answered(entry.number)
    queue = await house.open()
    assert isinstance(await queue.enqueue(msgspec.structs.replace(job, id="b"), START), Accepted)


async def unadopted(house: House, jobs: Sequence[NewJob]) -> list[int]:
    """The indexes of those that the next owner takes as new jobs."""
    queue = await house.open()
    twins = (msgspec.structs.replace(job, id=f"twin-{index}") for index, job in enumerate(jobs))
    ends = [await queue.enqueue(twin, START) for twin in twins]
    return [index for index, end in enumerate(ends) if isinstance(end, Accepted)]


def jobs_of(count: int) -> list[NewJob]:
    jobs = (new_job(output(f"{KEY}{index}")) for index in range(count))
    return [msgspec.structs.replace(job, digest=f"digest-{index}".encode()) for index, job in enumerate(jobs)]


@pytest.mark.parametrize("turns", [0, 1, 3, 100])
async def test_a_job_that_is_answered_while_another_answer_is_stored(house: House, turns: int) -> None:
    """So many turns of the loop later."""
    queue, jobs = await house.open(), jobs_of(3)
    entries = [await queue.enqueue(job, START) for job in jobs]
    await queue.answered(entries[0].number)
    storing = asyncio.create_task(queue.enqueue(new_job(output(OTHER)), START))
    for _ in range(turns):
        await asyncio.sleep(0)
    await queue.answered(entries[1].number)
    await storing
    assert await unadopted(house, jobs) == [0, 1]


async def test_answers_stand_that_share_a_commit_with_a_fault(house: House) -> None:
    """The commit is undone, and each change of it is tried by itself."""
    queue, jobs = await house.open(), jobs_of(3)
    entries = [await queue.enqueue(job, START) for job in jobs]
    answering = [queue.answered(entry.number) for entry in entries]
    double = msgspec.structs.replace(jobs[0], digest=b"x")
    *_, end = await asyncio.gather(*answering, queue.enqueue(double, START), return_exceptions=True)
    assert isinstance(end, QueueFault)
    assert await unadopted(house, jobs) == [0, 1, 2]


async def test_a_job_that_succeeded_unanswered_is_adopted_for_ten_minutes(house: House) -> None:
    queue = await house.open()
    job = new_job()
    entry = await queue.enqueue(job, START)
    assert isinstance(entry, Accepted)
    await queue.activate(entry.number, states_of(entry), START)
    assert await queue.settle(ended(await claimed(queue), "delivered"), START)
    queue = await house.open()
    late = await queue.enqueue(msgspec.structs.replace(job, id="late"), START + 601)
    assert isinstance(late, Accepted)
    await queue.refuse(late.number, (), "", "", START)
    assert isinstance(await queue.enqueue(msgspec.structs.replace(job, id="soon"), START + 599), Answer)


async def test_the_limit_of_waiting_jobs(house: House) -> None:
    queue = await house.open(config=Config(max_waiting=2, min_free_disk_bytes=0))
    await released(queue, output(KEY))
    await accepted(queue, output(OTHER))
    with pytest.raises(QueueFull) as full:
        await accepted(queue)
    assert (number_of(full.value), full.value.status) == (301, 503)
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    await accepted(queue)


async def test_a_repeated_release_changes_nothing(queue: Queue) -> None:
    """A commit may have reached the disk although its answer did not; then intake releases once more."""
    entry = await released(queue)
    claim = await claimed(queue)
    await queue.activate(entry.number, states_of(entry), START)
    assert await queue.acquire(final_of(claim), START) == GRANTED
    assert await queue.settle(ended(claim, "delivered"), START)
    await queue.activate(entry.number, states_of(entry), START)
    assert (await queue.take_work(10, START + 1e6)).claims == ()
