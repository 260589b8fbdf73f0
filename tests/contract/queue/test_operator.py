"""What operators ask of a queue: another try, an end."""

from datetime import UTC, datetime

import msgspec
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.faults import NoSuchJob, NotCancellable, NotRetryable, QueueFull
from imgserve.jobs.model import JobStatus, OutputResult, Settlement
from imgserve.jobs.protocol import Queue
from imgserve.jobs.views import OutboxView
from imgserve.request.job import ResolvedOutput
from imgserve.request.warning import OutputWarning
from tests.support.queues import (
    BUSY,
    GRANTED,
    KEY,
    LOST,
    OVERTAKEN,
    START,
    House,
    accepted,
    claimed,
    due_entries,
    ended,
    failed,
    failure_of,
    final_of,
    new_job,
    output,
    placeholder_of,
    pruned,
    released,
)
from tests.support.states import OTHER, one_of_each, only

FORM = "http://place.test:80/up#file:a.png"
DAY_S = 86_400.0


@pytest.mark.parametrize("name", ["nobody", "", "x" * 10_000])
async def test_an_unknown_job(queue: Queue, name: str) -> None:
    for call in (queue.job(name), queue.retry(name, None, DAY_S, START), queue.cancel(name, START)):
        with pytest.raises(NoSuchJob):
            await call


async def test_retry_begins_anew_under_the_old_number(queue: Queue) -> None:
    entry = await released(queue)
    claim = await claimed(queue)
    warnings = (OutputWarning("font_missing", "of before"),)
    poison = OutputResult(claim.outputs[0].id, "failed", "crash", error="poison", detail="it", warnings=warnings)
    await queue.settle(Settlement(claim.number, claim.token, (poison,)), START)
    assert await queue.retry(entry.id, None, DAY_S, START + 50) == entry.number
    seen = await queue.job(entry.id)
    assert (seen.status, seen.error, seen.ended_at, seen.retries, seen.warnings) == ("queued", None, None, 1, ())
    again = await claimed(queue, START + 50)
    assert (again.number, again.outputs[0].attempts, again.outputs[0].crashes) == (entry.number, 0, 0)
    assert again.deadline_at == START + 50 + DAY_S
    assert again.token > claim.token
    assert await queue.acquire(final_of(again), START + 50) == GRANTED
    assert await queue.settle(ended(again, "delivered"), START + 50)
    assert (await queue.job(entry.id)).status == "succeeded"
    assert await due_entries(queue, START + 1e6) == ()


async def test_retry_lifts_an_entry_that_is_owed_and_a_second_failure_owes_again(queue: Queue) -> None:
    entry = await failed(queue)
    await queue.retry(entry.id, None, DAY_S, START)
    assert await due_entries(queue) == ()
    await queue.settle(ended(await claimed(queue), "failed"), START + 1)
    [owed] = await due_entries(queue, START + 1)
    assert owed.until == START + 1 + 72 * 3600
    assert owed.attempts == 0


async def test_retry_after_the_failure_picture_lies_there(queue: Queue) -> None:
    entry = await failed(queue)
    [owed] = await due_entries(queue)
    assert await queue.acquire(failure_of(owed), START) == GRANTED
    await queue.settle_entry(owed, "done", START)
    await queue.retry(entry.id, None, DAY_S, START)
    claim = await claimed(queue)
    assert await queue.acquire(final_of(claim), START) == GRANTED


async def test_retry_waits_for_a_failure_picture_that_is_on_its_way(queue: Queue) -> None:
    entry = await failed(queue)
    [owed] = await due_entries(queue)
    assert await queue.acquire(failure_of(owed), START) == GRANTED
    await queue.retry(entry.id, None, DAY_S, START)
    claim = await claimed(queue)
    assert await queue.acquire(final_of(claim), START) == BUSY
    await queue.settle_entry(owed, "done", START)
    assert await queue.acquire(final_of(claim), START) == GRANTED
    await queue.settle(ended(claim, "delivered"), START)
    assert (await queue.job(entry.id)).outputs[0].outbox == ()


async def test_a_failure_picture_that_has_not_begun_stays_away_after_retry(queue: Queue) -> None:
    entry = await failed(queue)
    [owed] = await due_entries(queue)
    await queue.retry(entry.id, None, DAY_S, START)
    assert await queue.acquire(failure_of(owed), START) == LOST


@pytest.mark.parametrize("newer_end", ["queued", "delivered", "failed"])
async def test_retry_is_refused_where_a_newer_job_was_released(queue: Queue, newer_end: str) -> None:
    old = await failed(queue)
    newer = await released(queue)
    if newer_end != "queued":
        await queue.settle(ended(await claimed(queue), "delivered" if newer_end == "delivered" else "failed"), START)
    with pytest.raises(NotRetryable, match="newer job"):
        await queue.retry(old.id, None, DAY_S, START)
    assert (await queue.job(old.id)).status == "failed"
    assert (await queue.job(newer.id)).number > old.number


async def test_retry_is_refused_where_a_newer_job_waits_that_has_not_written_yet(queue: Queue) -> None:
    old = await failed(queue)
    await released(queue, output(is_bare=True))
    with pytest.raises(NotRetryable, match="newer job"):
        await queue.retry(old.id, None, DAY_S, START)


async def test_retry_is_refused_where_a_newer_job_has_written_and_is_forgotten(queue: Queue) -> None:
    old = await failed(queue, output(is_bare=True))
    await released(queue)
    claim = await claimed(queue)
    assert await queue.acquire(final_of(claim), START) == GRANTED
    await queue.settle(ended(claim, "delivered"), START)
    assert await pruned(queue, START + 2 * DAY_S) == 1
    with pytest.raises(NotRetryable, match="newer job"):
        await queue.retry(old.id, None, DAY_S, START + 2 * DAY_S)


async def test_a_newer_job_still_in_intake_supersedes_a_retried_one_when_it_is_released(queue: Queue) -> None:
    old = await failed(queue, output(is_bare=True))
    newer = await accepted(queue)
    await queue.retry(old.id, None, DAY_S, START)
    await queue.activate(newer.number, (), START)
    assert (await queue.job(old.id)).status == "superseded"


async def test_retry_reopens_only_the_outputs_that_nobody_has_overtaken(queue: Queue) -> None:
    old = await failed(queue, output(), output(OTHER))
    await released(queue, output(OTHER))
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    await queue.retry(old.id, None, DAY_S, START)
    claim = await claimed(queue)
    assert [place.spec.placement.destination.key for place in claim.outputs] == [KEY]
    assert [place.status for place in (await queue.job(old.id)).outputs] == ["placeholder", "superseded"]


async def test_a_form_may_always_be_posted_again(queue: Queue) -> None:
    old = await failed(queue, output(FORM, "form"))
    await released(queue, output(FORM, "form"))
    assert await queue.retry(old.id, None, DAY_S, START) == old.number


def three() -> tuple[ResolvedOutput, ...]:
    names = {"card": KEY, "thumb": OTHER, "page": f"{KEY}3"}
    return tuple(msgspec.structs.replace(output(key), name=name) for name, key in names.items())


async def test_retry_of_named_outputs_leaves_the_others(queue: Queue) -> None:
    old = await released(queue, *three())
    await queue.settle(ended(await claimed(queue), "failed", "delivered", "failed"), START)
    for names, words in (
        (("card", "none"), "no output 'none'"),
        (("thumb",), "thumb is delivered"),
    ):
        with pytest.raises(NotRetryable, match=words):
            await queue.retry(old.id, names, DAY_S, START + 9)
    assert (await queue.job(old.id)).status == "failed"
    await queue.retry(old.id, ("page", "page"), DAY_S, START + 9)
    seen = await queue.job(old.id)
    assert (seen.status, [place.status for place in seen.outputs]) == ("queued", ["failed", "delivered", "placeholder"])
    assert (seen.outputs[0].owed, seen.outputs[2].owed) == ("error_image", None)
    assert seen.deadline_at.timestamp() == START + 9 + DAY_S
    claim = await claimed(queue, START + 9)
    assert [place.spec.name for place in claim.outputs] == ["page"]
    assert [owed.output.spec.name for owed in await due_entries(queue, START + 9)] == ["card"]
    await queue.settle(ended(claim, "delivered"), START + 10)
    assert (await queue.job(old.id)).status == "failed"
    await queue.retry(old.id, None, DAY_S, START + 11)
    await queue.settle(ended(await claimed(queue, START + 11), "delivered"), START + 12)
    seen = await queue.job(old.id)
    assert (seen.status, seen.retries) == ("succeeded", 2)


async def test_a_named_output_with_a_newer_job_is_refused_with_its_name(queue: Queue) -> None:
    old = await failed(queue, *three())
    await released(queue, output(OTHER))
    with pytest.raises(NotRetryable, match=r"newer job has the destination of 1 output \(thumb\)"):
        await queue.retry(old.id, ("card", "thumb"), DAY_S, START)
    assert [place.status for place in (await queue.job(old.id)).outputs] == ["failed"] * 3
    await queue.retry(old.id, ("card",), DAY_S, START)
    assert [place.status for place in (await queue.job(old.id)).outputs] == ["placeholder", "failed", "failed"]


async def test_failed_outputs_of_a_cancelled_job_are_retried(queue: Queue) -> None:
    old = await released(queue, output(), output(OTHER))
    await queue.settle(ended(await claimed(queue), "failed", "retry", retry_at=START + 60), START)
    await queue.cancel(old.id, START)
    await queue.retry(old.id, None, DAY_S, START)
    assert [place.status for place in (await queue.job(old.id)).outputs] == ["placeholder", "cancelled"]
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    assert (await queue.job(old.id)).status == "cancelled"


async def test_failed_outputs_of_a_job_that_waits_for_another_are_retried(queue: Queue) -> None:
    old = await released(queue, *three())
    claim = await claimed(queue)
    first, second, third = claim.outputs
    failed_one = OutputResult(first.id, "failed", "attempt", None, "x")
    waiting = OutputResult(second.id, "retry", "attempt", START + 60, "x")
    await queue.record(Settlement(claim.number, claim.token, (failed_one,)), START)
    with pytest.raises(NotRetryable, match="running"):
        await queue.retry(old.id, None, DAY_S, START)
    done = (failed_one, waiting, OutputResult(third.id, "delivered"))
    await queue.settle(Settlement(claim.number, claim.token, done), START)
    assert await queue.retry(old.id, None, DAY_S, START + 9) == old.number
    seen = await queue.job(old.id)
    assert (seen.status, seen.retries, seen.deadline_at.timestamp()) == ("queued", 1, START + 9 + DAY_S)
    assert [place.status for place in seen.outputs] == ["placeholder", "placeholder", "delivered"]
    again = await claimed(queue, START + 9)
    assert [place.spec.name for place in again.outputs] == ["card"], "the other one is not due"
    assert await due_entries(queue, START + 9) == ()
    await queue.settle(ended(again, "delivered"), START + 10)
    last = await claimed(queue, START + 60)
    assert [place.spec.name for place in last.outputs] == ["thumb"]
    await queue.settle(ended(last, "delivered"), START + 61)
    assert (await queue.job(old.id)).status == "succeeded"


@pytest.mark.parametrize("status", ["superseded", "succeeded", "cancelled", "running", "queued", "accepting"])
async def test_only_failed_jobs_are_retried(queue: Queue, status: JobStatus) -> None:
    job = await only(queue, (await one_of_each(queue))[status])
    with pytest.raises(NotRetryable, match=f"is {status}"):
        await queue.retry(job.id, None, DAY_S, START)


async def test_a_job_that_was_refused_is_not_retried(queue: Queue) -> None:
    entry = await accepted(queue, output(), output(OTHER))
    await queue.refuse(entry.number, (), "delivery_failed", "no", START)
    with pytest.raises(NoSuchJob):
        await queue.retry(entry.id, None, DAY_S, START)


async def test_retry_keeps_to_the_limit_of_waiting_jobs(house: House) -> None:
    queue = await house.open(config=Config(max_waiting=1, min_free_disk_bytes=0))
    old = await failed(queue)
    other = await accepted(queue, output(OTHER))
    with pytest.raises(QueueFull):
        await queue.retry(old.id, None, DAY_S, START)
    assert (await queue.job(old.id)).outputs[0].outbox == (OutboxView("error_image", "pending"),)
    await queue.refuse(other.number, (), "x", "", START)
    await queue.retry(old.id, None, DAY_S, START)


async def test_cancel_before_it_runs(queue: Queue) -> None:
    entry = await released(queue)
    assert await queue.cancel(entry.id, START + 1) == entry.number
    seen = await queue.job(entry.id)
    assert seen.error is not None
    assert (seen.status, seen.error.code, seen.outputs[0].status) == ("cancelled", "cancelled", "cancelled")
    assert (await queue.take_work(10, START + 1e6)).claims == ()
    [owed] = await due_entries(queue, START + 1)
    assert await queue.acquire(failure_of(owed), START + 1) == GRANTED
    await queue.settle_entry(owed, "done", START + 1)
    counts = await queue.counts()
    assert (counts.queued, counts.running, counts.pending, counts.abandoned) == (0, 0, 0, 0)


async def test_cancel_while_it_runs_takes_the_claim_away(queue: Queue) -> None:
    entry = await released(queue)
    claim = await claimed(queue)
    await queue.cancel(entry.id, START)
    assert await queue.heartbeat((claim,), START) == frozenset()
    assert await queue.acquire(final_of(claim), START) == LOST
    assert not await queue.settle(ended(claim, "retry", retry_at=START), START)
    assert (await queue.job(entry.id)).status == "cancelled"
    assert len(await due_entries(queue)) == 1


async def test_cancel_is_too_late_once_the_final_has_its_destination(queue: Queue) -> None:
    entry = await released(queue)
    claim = await claimed(queue)
    assert await queue.acquire(final_of(claim), START) == GRANTED
    with pytest.raises(NotCancellable, match="on its way"):
        await queue.cancel(entry.id, START)
    assert await queue.heartbeat((claim,), START) == {entry.number}
    assert await queue.settle(ended(claim, "retry", retry_at=START + 1), START)
    assert await queue.cancel(entry.id, START) == entry.number


async def test_cancel_is_too_late_when_only_the_repeat_is_left(queue: Queue) -> None:
    entry = await released(queue, state="unknown")
    await queue.settle(ended(await claimed(queue), "repeat", retry_at=START + 60), START)
    with pytest.raises(NotCancellable, match="delivered already"):
        await queue.cancel(entry.id, START)
    assert (await queue.job(entry.id)).status == "queued"


async def test_cancel_leaves_what_was_delivered(queue: Queue) -> None:
    entry = await released(queue, output(), output(OTHER))
    await queue.settle(ended(await claimed(queue), "delivered", "retry", retry_at=START + 60), START)
    await queue.cancel(entry.id, START)
    seen = await queue.job(entry.id)
    assert (seen.status, [place.status for place in seen.outputs]) == ("cancelled", ["delivered", "cancelled"])
    assert [owed.output.spec.placement.destination.key for owed in await due_entries(queue)] == [OTHER]


@pytest.mark.parametrize("place", [output(is_bare=True), output(on_failure="keep_placeholder")])
async def test_cancel_owes_nothing_where_a_failure_would_not(queue: Queue, place: ResolvedOutput) -> None:
    entry = await released(queue, place)
    await queue.cancel(entry.id, START)
    assert await due_entries(queue) == ()


async def test_a_cancelled_job_may_be_cancelled_again(queue: Queue) -> None:
    entry = await released(queue)
    for at in (START, START + 9):
        assert await queue.cancel(entry.id, at) == entry.number
    seen = await queue.job(entry.id)
    assert (seen.status, seen.ended_at) == ("cancelled", datetime.fromtimestamp(START, UTC))


async def test_cancel_ends_each_output_of_which_no_final_is_on_its_way(queue: Queue) -> None:
    entry = await released(queue, output(), output(OTHER))
    claim = await claimed(queue)
    first, second = claim.outputs
    assert await queue.acquire(final_of(claim, first), START) == GRANTED
    assert await queue.cancel(entry.id, START) == entry.number
    seen = await queue.job(entry.id)
    assert (seen.status, [place.status for place in seen.outputs]) == ("running", ["placeholder", "cancelled"])
    assert await queue.acquire(final_of(claim, second), START) == OVERTAKEN
    assert await queue.heartbeat((claim,), START) == {entry.number}
    assert [owed.output.id for owed in await due_entries(queue)] == [second.id]
    assert await queue.settle(ended(claim, "delivered"), START + 1)
    seen = await queue.job(entry.id)
    assert (seen.status, [place.status for place in seen.outputs]) == ("cancelled", ["delivered", "cancelled"])


async def test_a_job_of_several_outputs_waits_for_the_ones_that_are_left(queue: Queue) -> None:
    """Cancelled while it is queued: an output that is sent again stays, and decides when the job is due."""
    entry = await released(queue, output(), output(OTHER), state="unknown")
    claim = await claimed(queue)
    first, second = claim.outputs
    results = (
        OutputResult(first.id, "repeat", due_at=START + 60),
        OutputResult(second.id, "retry", "attempt", START + 5, "x"),
    )
    await queue.settle(Settlement(claim.number, claim.token, results), START)
    await queue.cancel(entry.id, START + 1)
    seen = await queue.job(entry.id)
    assert (seen.status, [place.status for place in seen.outputs]) == ("cancelled", ["delivered", "cancelled"])


async def test_a_principal_sees_and_steers_its_own_jobs_only(queue: Queue) -> None:
    job = msgspec.structs.replace(new_job(), principal="ann")
    entry = await queue.enqueue(job, START)
    await queue.activate(entry.number, (), START)
    await queue.settle(ended(await claimed(queue), "failed"), START)
    for call in (
        queue.job(job.id, "bob"),
        queue.retry(job.id, None, DAY_S, START, "bob"),
        queue.cancel(job.id, START, "bob"),
    ):
        with pytest.raises(NoSuchJob, match=f"no job has the id '{job.id}'"):
            await call
    assert (await queue.job(job.id, "ann")).status == "failed"
    await queue.retry(job.id, None, DAY_S, START, "ann")
    await queue.cancel(job.id, START, "ann")
    assert (await queue.job(job.id)).status == "cancelled"


async def test_a_principal_names_whole_ids_only(queue: Queue) -> None:
    job = msgspec.structs.replace(new_job(), id="ab" * 16, principal="ann")
    await queue.enqueue(job, START)
    assert (await queue.job("abab")).id == job.id
    assert (await queue.job(job.id, "ann")).id == job.id
    with pytest.raises(NoSuchJob):
        await queue.job("abab", "ann")


@pytest.mark.parametrize("status", ["superseded", "succeeded", "failed", "accepting"])
async def test_what_cannot_be_cancelled(queue: Queue, status: JobStatus) -> None:
    job = await only(queue, (await one_of_each(queue))[status])
    with pytest.raises(NotCancellable):
        await queue.cancel(job.id, START)
    assert (await queue.job(job.id)).status == status


async def test_a_newer_job_lifts_what_a_cancelled_one_owes(queue: Queue) -> None:
    entry = await released(queue)
    await queue.cancel(entry.id, START)
    [owed] = await due_entries(queue)
    newer = await accepted(queue)
    assert await queue.acquire(placeholder_of(newer), START) == GRANTED
    await queue.activate(newer.number, (), START)
    assert await queue.acquire(failure_of(owed), START) in (OVERTAKEN, GRANTED)
    assert (await queue.job(newer.id)).status == "queued"


async def test_retry_and_cancel_survive_the_server(house: House) -> None:
    queue = await house.open()
    old, other = await failed(queue), await released(queue, output(OTHER))
    await queue.retry(old.id, None, DAY_S, START)
    await queue.cancel(other.id, START)
    await house.open(START + 100)
    assert house.statuses() == {old.number: "queued", other.number: "cancelled"}
