"""Priorities and times before which a job must not run."""

import msgspec
import pytest

from imgserve.jobs.faults import NotRetryable
from imgserve.jobs.model import Accepted, Claim, OutputResult, Settlement
from imgserve.jobs.protocol import HostRoom, Queue
from imgserve.request.job import Priority, ResolvedOutput
from tests.support.queues import (
    GRANTED,
    KEY,
    OVERTAKEN,
    START,
    House,
    claimed,
    due_entries,
    ended,
    failed,
    final_of,
    new_job,
    output,
    released,
    states_of,
)

HOUR_S = 3600.0


async def posted(
    queue: Queue, *places: ResolvedOutput, priority: Priority = "normal", principal: str = "", now: float = START,
    not_before: float | None = None,
) -> Accepted:  # fmt: skip
    job = new_job(*(places or (output(f"{KEY}{priority}{now}{principal}"),)))
    job = msgspec.structs.replace(job, priority=priority, principal=principal, not_before=not_before)
    entry = await queue.enqueue(job, now)
    assert isinstance(entry, Accepted)
    await queue.activate(entry.number, states_of(entry, *job.outputs), now)
    return entry


async def taken(queue: Queue, jobs: int, now: float = START + 900) -> tuple[Claim, ...]:
    return (await queue.take_work(jobs, now)).claims


async def test_priority_orders_a_principals_own_jobs(queue: Queue) -> None:
    numbers = {
        priority: (await posted(queue, priority=priority, now=START + second)).number
        for second, priority in enumerate[Priority](("low", "normal", "high"))
    }
    order = [(await taken(queue, 1))[0].number for _ in numbers]
    assert order == [numbers["high"], numbers["normal"], numbers["low"]]


async def test_a_high_job_that_is_not_due_holds_up_none(queue: Queue) -> None:
    await posted(queue, priority="high", now=START + 50)
    low = await posted(queue, priority="low")
    assert [claim.number for claim in await taken(queue, 9, START + 1)] == [low.number]
    assert (await queue.take_work(9, START + 1)).due_at == START + 50


@pytest.mark.parametrize("at_once", [1, 4, 50])
async def test_of_eleven_claims_in_a_row_each_lane_gets_one(queue: Queue, at_once: int) -> None:
    lane_of: dict[int, Priority] = {}
    for number in range(40):
        priority: Priority = ("low", "normal")[number] if number < 2 else "high"
        lane_of[(await posted(queue, priority=priority, now=START + number)).number] = priority
    order: list[Priority] = []
    while claims := await taken(queue, min(at_once, 11 - len(order))):
        order += [lane_of[claim.number] for claim in claims]
        if len(order) == 11:
            break
    assert {lane: order.count(lane) for lane in ("high", "normal", "low")} == {"high": 9, "normal": 1, "low": 1}


async def test_between_principals_the_fair_share_decides_first(queue: Queue) -> None:
    for second in range(6):
        await posted(queue, priority="high", principal="ann", now=START + second)
    for second in range(3):
        await posted(queue, priority="low", principal="bob", now=START + 100 + second)
    claims = await taken(queue, 4)
    assert sorted(claim.principal for claim in claims) == ["ann", "ann", "bob", "bob"]


async def test_a_lane_whose_hosts_are_full_holds_up_none(queue: Queue) -> None:
    await posted(queue, output("http://full.test:80/a"), priority="high")
    low = await posted(queue, priority="low", now=START + 1)
    work = await queue.take_work(9, START + 9, hosts=HostRoom(9, {"http://full.test:80": 0}))
    assert ([claim.number for claim in work.claims], work.is_held_back) == ([low.number], True)


async def test_priorities_survive_the_server(house: House) -> None:
    queue = await house.open()
    await posted(queue, priority="low")
    high = await posted(queue, priority="high", now=START + 1)
    queue = await house.open(START + 50)
    assert [claim.number for claim in await taken(queue, 1, START + 51)] == [high.number]
    await queue.cancel((await taken(queue, 1, START + 51))[0].id, START + 51)
    assert await taken(queue, 9, START + 51) == ()


async def test_a_job_waits_for_its_time(queue: Queue) -> None:
    at = START + HOUR_S
    entry = await posted(queue, not_before=at)
    counts = await queue.counts()
    assert (counts.queued, counts.oldest_at, counts.due_at) == (1, None, at)
    seen = await queue.job(entry.id)
    assert (seen.status, seen.outputs[0].status, seen.outputs[0].placeholder) == ("queued", "placeholder", "written")
    assert seen.not_before is not None
    assert (seen.not_before.timestamp(), seen.deadline_at.timestamp()) == (at, at + 86_400)
    assert seen.outputs[0].next_attempt_at == seen.not_before
    work = await queue.take_work(9, at - 1)
    assert (work.claims, work.due_at) == ((), at)
    claim = await claimed(queue, at)
    assert claim.deadline_at == at + 86_400
    assert await queue.acquire(final_of(claim), at) == GRANTED
    await queue.settle(ended(claim, "delivered"), at)
    assert (await queue.job(entry.id)).status == "succeeded"


async def test_older_jobs_are_superseded_at_that_time(queue: Queue) -> None:
    at = START + HOUR_S
    old = await failed(queue)
    open_one = await released(queue, now=START + 1)
    await queue.settle(ended(await claimed(queue, START + 1), "retry", retry_at=at + 60), START + 1)
    entry = await posted(queue, output(), not_before=at, now=START + 2)
    assert (await queue.job(open_one.id)).status == "queued"
    claim = await claimed(queue, at)
    assert claim.number == entry.number
    seen = await queue.job(open_one.id)
    assert (seen.status, seen.superseded_by) == ("superseded", entry.id)
    with pytest.raises(NotRetryable, match="newer job"):
        await queue.retry(old.id, None, HOUR_S, at)


async def test_an_older_job_delivers_until_then(queue: Queue) -> None:
    at = START + HOUR_S
    old = await released(queue)
    await posted(queue, output(), not_before=at, now=START + 1)
    claim = await claimed(queue, START + 2)
    assert claim.number == old.number
    assert await queue.acquire(final_of(claim), START + 2) == GRANTED
    await queue.settle(ended(claim, "delivered"), START + 3)
    assert (await queue.job(old.id)).status == "succeeded"


async def test_an_older_job_that_is_due_at_the_same_moment_is_not_run(queue: Queue) -> None:
    at = START + HOUR_S
    old = await released(queue)
    await queue.settle(ended(await claimed(queue), "retry", retry_at=at), START)
    entry = await posted(queue, output(), not_before=at, now=START + 1)
    assert [claim.number for claim in (await queue.take_work(9, at)).claims] == [entry.number]
    assert (await queue.job(old.id)).status == "superseded"


async def test_an_older_job_of_which_an_output_is_left_goes_on_with_it(queue: Queue) -> None:
    at = START + HOUR_S
    old = await released(queue, output(), output(f"{KEY}2"))
    claim = await claimed(queue)
    first, second = claim.outputs
    results = (
        OutputResult(first.id, "retry", "attempt", at, "x"),
        OutputResult(second.id, "retry", "attempt", at + 60, "x"),
    )
    await queue.settle(Settlement(claim.number, claim.token, results), START)
    entry = await posted(queue, output(), not_before=at, now=START + 1)
    assert [claim.number for claim in await taken(queue, 9, at)] == [entry.number]
    assert (await queue.job(old.id)).status == "queued"
    assert await taken(queue, 9, at + 1) == ()
    again = await claimed(queue, at + 60)
    assert (again.number, [place.id for place in again.outputs]) == (old.number, [second.id])


async def test_a_running_older_job_writes_no_more(queue: Queue) -> None:
    at = START + HOUR_S
    old = await released(queue)
    await posted(queue, output(), not_before=at, now=START + 1)
    running = await claimed(queue, at - 1)
    assert running.number == old.number
    await claimed(queue, at)
    assert await queue.acquire(final_of(running), at) == OVERTAKEN


async def test_a_newer_job_supersedes_one_that_waits(queue: Queue) -> None:
    waiting = await posted(queue, output(), not_before=START + HOUR_S)
    newer = await released(queue, now=START + 1)
    seen = await queue.job(waiting.id)
    assert (seen.status, seen.superseded_by) == ("superseded", newer.id)


async def test_a_waiting_job_is_cancelled_and_its_placeholder_replaced(queue: Queue) -> None:
    waiting = await posted(queue, not_before=START + HOUR_S)
    await queue.cancel(waiting.id, START + 1)
    assert [owed.number for owed in await due_entries(queue, START + 1)] == [waiting.number]
    assert (await queue.take_work(9, START + 2 * HOUR_S)).claims == ()


@pytest.mark.parametrize("is_answered", [True, False])
async def test_a_waiting_job_survives_the_server(house: House, *, is_answered: bool) -> None:
    queue = await house.open()
    at = START + HOUR_S
    old = await released(queue)
    job = msgspec.structs.replace(new_job(), not_before=at)
    entry = await queue.enqueue(job, START + 1)
    if is_answered:
        assert isinstance(entry, Accepted)
        await queue.activate(entry.number, states_of(entry, output()), START + 1)
    await queue.settle(ended(await claimed(queue, START + 2), "retry", retry_at=at + 60), START + 2)
    queue = await house.open(START + 50)
    assert (await queue.take_work(9, at - 1)).claims == ()
    assert (await queue.job(old.id)).status == "queued"
    assert (await claimed(queue, at)).number == entry.number
    assert (await queue.job(old.id)).status == "superseded"
