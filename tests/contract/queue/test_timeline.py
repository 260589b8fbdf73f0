"""The timeline of a job: what happened, in its order, with the transactions that did it."""

import msgspec

from imgserve.jobs.model import OutputResult, PlaceholderResult, Settlement
from imgserve.jobs.protocol import Queue
from imgserve.jobs.views import MAX_TIMELINE, JobQuery
from tests.support.queues import KEY, START, House, accepted, claimed, ended, failed, output, released
from tests.support.states import OTHER

Line = tuple[float, str | None, str, str | None, int | None]


async def lines(queue: Queue, job_id: str) -> list[Line]:
    timeline = (await queue.job(job_id)).timeline
    assert timeline is not msgspec.UNSET
    return [
        (entry.at.timestamp() - START, entry.output, entry.event, entry.code, entry.duration_ms) for entry in timeline
    ]


async def test_of_a_job_of_two_outputs(queue: Queue) -> None:
    entry = await accepted(queue, msgspec.structs.replace(output(), name="card"), output(OTHER, is_bare=True))
    assert await lines(queue, entry.id) == []
    await queue.activate(entry.number, (PlaceholderResult(entry.outputs[0].id, "written"),), START + 0.5)
    claim = await claimed(queue, START + 1)
    first, second = claim.outputs
    now_done = OutputResult(first.id, "delivered")
    assert await queue.record(Settlement(claim.number, claim.token, (now_done,)), START + 3)
    assert await queue.record(Settlement(claim.number, claim.token, (OutputResult(second.id, "retry"),)), START + 3)
    again = OutputResult(second.id, "retry", "attempt", START + 6, "delivery_failed", "x")
    await queue.settle(Settlement(claim.number, claim.token, (now_done, again)), START + 4)
    last = await claimed(queue, START + 6)
    await queue.settle(ended(last, "delivered"), START + 8)
    assert await lines(queue, entry.id) == [
        (0.5, "card", "output.placeholder", None, 500),
        (0.5, None, "job.accepted", None, 500),
        (1, None, "job.started", None, None),
        (3, "card", "output.delivered", None, 2000),
        (4, "1", "job.retrying", "delivery_failed", 3000),
        (6, None, "job.started", None, None),
        (8, "1", "output.delivered", None, 2000),
        (8, None, "job.succeeded", None, 8000),
    ]
    [listed] = (await queue.page(JobQuery())).jobs
    assert listed.timeline is msgspec.UNSET


async def test_of_a_failure_that_is_retried(queue: Queue) -> None:
    entry = await released(queue)
    claim = await claimed(queue)
    poison = OutputResult(claim.outputs[0].id, "failed", "crash", error="poison", detail="it")
    await queue.settle(Settlement(claim.number, claim.token, (poison,)), START + 1)
    await queue.retry(entry.id, None, 100.0, START + 5)
    await queue.settle(ended(await claimed(queue, START + 6), "delivered"), START + 7)
    assert (await lines(queue, entry.id))[2:] == [
        (0, None, "job.started", None, None),
        (1, "0", "output.failed", "poison", 1000),
        (1, None, "job.failed", "poison", 1000),
        (5, None, "job.retrying", None, None),
        (6, None, "job.started", None, None),
        (7, "0", "output.delivered", None, 1000),
        (7, None, "job.succeeded", None, 7000),
    ]


async def test_of_jobs_that_end_by_others(queue: Queue) -> None:
    old = await released(queue)
    newer = await released(queue, now=START + 2)
    await queue.cancel(newer.id, START + 3)
    assert (await lines(queue, old.id))[2:] == [(2, None, "job.superseded", None, 2000)]
    assert (await lines(queue, newer.id))[2:] == [(3, None, "job.cancelled", "cancelled", 1000)]


async def test_of_a_picture_that_needed_no_second_delivery(queue: Queue) -> None:
    entry = await released(queue, output(), output(OTHER), state="unknown")
    claim = await claimed(queue)
    results = (
        OutputResult(claim.outputs[0].id, "repeat", due_at=START + 60),
        OutputResult(claim.outputs[1].id, "retry", "attempt", START + 60, "x"),
    )
    await queue.record(Settlement(claim.number, claim.token, (OutputResult(results[0].output_id, "repeat"),)), START)
    await queue.settle(Settlement(claim.number, claim.token, results), START)
    await queue.cancel(entry.id, START + 1)
    assert [line[1:4] for line in (await lines(queue, entry.id))[-4:]] == [
        ("0", "job.retrying", None),
        ("1", "job.retrying", "x"),
        ("0", "output.delivered", None),
        (None, "job.cancelled", "cancelled"),
    ]
    assert [place.delivered_at is None for place in (await queue.job(entry.id)).outputs] == [False, True]


async def test_of_a_refused_job(queue: Queue) -> None:
    entry = await accepted(queue, output(), output(OTHER))
    first, second = entry.outputs
    results = (PlaceholderResult(first.id, "written"), PlaceholderResult(second.id, "refused"))
    await queue.refuse(entry.number, results, "destination_refused", "no", START + 1)
    assert [line[1:4] for line in await lines(queue, entry.id)] == [
        ("0", "output.placeholder", None),
        ("0", "output.failed", "destination_refused"),
        ("1", "output.failed", "destination_refused"),
        (None, "job.failed", "destination_refused"),
    ]


async def test_of_a_job_whose_server_died(house: House) -> None:
    queue = await house.open()
    entry, other = await accepted(queue), await released(queue, output(OTHER))
    await claimed(queue)
    queue = await house.open(START + 50)
    assert [line[2] for line in await lines(queue, entry.id)] == ["job.accepted"]
    await claimed(queue, START + 50)
    assert [line[2] for line in await lines(queue, other.id)][1:] == ["job.accepted", "job.started", "job.started"]


async def test_the_newest_entries_are_shown(queue: Queue) -> None:
    entry = await released(queue, output(f"{KEY}x"))
    for number in range(MAX_TIMELINE // 2):
        now = START + number
        await queue.settle(ended(await claimed(queue, now), "retry", retry_at=now + 1), now + 0.5)
    shown = await lines(queue, entry.id)
    assert len(shown) == MAX_TIMELINE
    assert shown[0] == (0, None, "job.started", None, None)
    assert shown[-1] == (MAX_TIMELINE / 2 - 0.5, "0", "job.retrying", None, 500)


async def test_a_timeline_goes_with_its_job(queue: Queue) -> None:
    """A number is never used again, so a new job cannot inherit it."""
    entry = await failed(queue, output(is_bare=True))
    while not (await queue.prune(START + 1e9)).is_done:
        pass
    newer = await accepted(queue)
    assert newer.number > entry.number
    assert await lines(queue, newer.id) == []
