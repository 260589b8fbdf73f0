"""What failed jobs owe their destinations: when, for how long, and who is let off."""

import asyncio

import pytest

from imgserve.jobs.model import (
    OutboxOutcome,
    OutputResult,
    PlaceholderResult,
    PlaceholderState,
    ResultStatus,
    Settlement,
)
from imgserve.jobs.protocol import Queue
from imgserve.request.job import OnFailure
from tests.support.queues import (
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
    hold,
    output,
    released,
    states_of,
)
from tests.support.sizes import FOREVER_S, PATIENCE_S

OTHER = "http://place.test:80/b.png"
LEASE_S = 120.0
OWED_S = 72 * 3600.0


@pytest.mark.parametrize(
    ("state", "on_failure", "is_owing"),
    [
        ("written", "error_image", True),
        ("unknown", "error_image", True),
        ("written", "delete", True),
        ("unknown", "delete", True),
        ("written", "keep_placeholder", False),
        ("unknown", "keep_placeholder", False),
        ("none", "error_image", False),
        ("none", "delete", False),
    ],
)
async def test_what_is_owed(queue: Queue, state: PlaceholderState, on_failure: OnFailure, is_owing: bool) -> None:
    entry = await released(queue, output(on_failure=on_failure), state=state)
    await queue.settle(ended(await claimed(queue), "failed"), START)
    all_owed = await due_entries(queue)
    assert [owed.output.id for owed in all_owed] == ([place.id for place in entry.outputs] if is_owing else [])
    assert (await queue.counts()).placeholders_left == int(is_owing)


async def test_no_placeholder_no_entry(queue: Queue) -> None:
    await failed(queue, output(is_bare=True))
    assert await due_entries(queue) == ()


@pytest.mark.parametrize("status", ["delivered", "superseded"])
async def test_only_failure_owes(queue: Queue, status: ResultStatus) -> None:
    await released(queue)
    await queue.settle(ended(await claimed(queue), status), START)
    assert await due_entries(queue) == ()


async def test_an_entry_is_claimed_with_a_token_and_the_right_to_write(queue: Queue) -> None:
    entry = await failed(queue)
    owed = (await due_entries(queue))[0]
    assert (owed.number, owed.id, owed.attempts) == (entry.number, entry.id, 0)
    assert owed.until == START + OWED_S
    assert await queue.acquire(failure_of(owed), START) == GRANTED


async def test_a_failure_wakes_the_outbox(queue: Queue) -> None:
    await failed(queue)
    await queue.wait_for_outbox(FOREVER_S)
    assert len(await due_entries(queue)) == 1


async def test_a_claimed_entry_falls_due_again_by_itself(queue: Queue) -> None:
    await failed(queue)
    stale = (await due_entries(queue))[0]
    work = await queue.take_outbox(10, START + LEASE_S - 1)
    assert (work.entries, work.due_at) == ((), START + LEASE_S)
    fresh = (await due_entries(queue, START + LEASE_S))[0]
    assert fresh.token > stale.token
    assert await queue.acquire(failure_of(stale), START + LEASE_S) == LOST
    assert await queue.acquire(failure_of(fresh), START + LEASE_S) == GRANTED


async def test_an_entry_that_is_put_off_is_not_charged(queue: Queue) -> None:
    await failed(queue)
    owed = (await due_entries(queue))[0]
    await queue.put_off(owed, START, START + 30)
    work = await queue.take_outbox(10, START + 29)
    assert (work.entries, work.due_at) == ((), START + 30)
    again = (await due_entries(queue, START + 30))[0]
    assert again.attempts == owed.attempts == 0
    await queue.put_off(owed, START, START + 1e6)  # its claim has been given to another
    assert (await queue.take_outbox(10, START + 31)).due_at == START + 30 + LEASE_S


async def test_entries_for_a_host_without_a_place_let_others_go_first(queue: Queue) -> None:
    for key in ("http://a.test:80/1.png", "http://a.test:80/2.png", "http://a.test:8080/3.png"):
        await failed(queue, output(key))
    first, second, other = await due_entries(queue)
    await queue.put_off(first, START + LEASE_S, START + LEASE_S + 30)
    assert [owed.entry_id for owed in await due_entries(queue, START + LEASE_S)] == [other.entry_id]
    later = await due_entries(queue, START + LEASE_S + 31)
    assert {owed.entry_id for owed in later} == {first.entry_id, second.entry_id}


async def test_a_stale_payer_cannot_give_an_entry_up(queue: Queue) -> None:
    await failed(queue)
    stale = (await due_entries(queue))[0]
    fresh = (await due_entries(queue, START + LEASE_S))[0]
    await queue.settle_entry(stale, "abandoned", START + LEASE_S)
    assert await queue.acquire(failure_of(fresh), START + LEASE_S) == GRANTED


async def test_what_a_stale_payer_did_pay_is_paid(queue: Queue) -> None:
    await failed(queue)
    stale = (await due_entries(queue))[0]
    assert await queue.acquire(failure_of(stale), START) == GRANTED
    await due_entries(queue, START + LEASE_S)
    await queue.settle_entry(stale, "done", START + LEASE_S)
    assert await due_entries(queue, START + 1e6) == ()


@pytest.mark.parametrize(("outcome", "left"), [("done", 0), ("cancelled", 0), ("abandoned", 1)])
async def test_the_end_of_an_entry(queue: Queue, outcome: OutboxOutcome, left: int) -> None:
    await failed(queue)
    owed = (await due_entries(queue))[0]
    await queue.settle_entry(owed, outcome, START)
    assert await due_entries(queue, START + 1e6) == ()
    assert (await queue.counts()).placeholders_left == left
    assert (await queue.take_outbox(10, START)).due_at is None


async def test_an_unpaid_entry_is_tried_again_at_its_time(queue: Queue) -> None:
    await failed(queue)
    for attempt in range(3):
        now = START + 10 * attempt
        owed = (await due_entries(queue, now))[0]
        assert owed.attempts == attempt
        assert owed.until == START + OWED_S
        await queue.settle_entry(owed, now + 10, now)
        work = await queue.take_outbox(10, now + 9)
        assert (work.entries, work.due_at) == ((), now + 10)


async def test_a_whole_number_is_a_time_too(queue: Queue) -> None:
    await failed(queue)
    owed = (await due_entries(queue))[0]
    await queue.settle_entry(owed, int(START) + 5, START)
    assert len(await due_entries(queue, START + 5)) == 1


@pytest.mark.parametrize("is_claimed", [False, True])
async def test_a_newer_released_job_that_wrote_lifts_the_entry(queue: Queue, is_claimed: bool) -> None:
    await failed(queue)
    all_owed = await due_entries(queue) if is_claimed else ()
    await released(queue)
    for owed in all_owed:
        assert await queue.acquire(failure_of(owed), START) == OVERTAKEN
        await queue.settle_entry(owed, START + 1, START)
    assert await due_entries(queue, START + 1e6) == ()


async def test_a_newer_job_that_was_refused_lifts_nothing(queue: Queue) -> None:
    older = await failed(queue)
    newer = await accepted(queue)
    await queue.refuse(newer.number, (), "", "", START)
    assert [owed.number for owed in await due_entries(queue)] == [older.number]


async def test_a_newer_job_without_placeholder_lifts_nothing_yet(queue: Queue) -> None:
    older = await failed(queue)
    await released(queue, output(is_bare=True))
    assert [owed.number for owed in await due_entries(queue)] == [older.number]


async def test_the_entry_of_a_form_stays(queue: Queue) -> None:
    form = output("http://place.test:80/up#file:a.png", "form")
    older = await failed(queue, form)
    await released(queue, form)
    assert [owed.number for owed in await due_entries(queue)] == [older.number]


async def test_entries_survive_reopening_and_are_due_at_once(house: House) -> None:
    queue = await house.open()
    entry = await failed(queue)
    old = (await due_entries(queue))[0]
    await queue.settle_entry(old, START + 500, START)
    queue = await house.open(START + 1)
    owed = (await due_entries(queue, START + 1))[0]
    assert (owed.number, owed.attempts) == (entry.number, 1)
    assert owed.token > old.token
    assert owed.until == START + OWED_S


async def test_several_entries_of_one_job_at_once(queue: Queue) -> None:
    places = (output(KEY), output(OTHER), output(f"{KEY}3"))
    await failed(queue, *places)
    all_owed = await due_entries(queue)
    assert len({owed.token for owed in all_owed}) == len(places)
    for owed in all_owed:
        assert await queue.acquire(failure_of(owed), START) == GRANTED
    await queue.settle_entry(all_owed[0], "done", START)
    for owed in all_owed[1:]:
        assert await queue.acquire(failure_of(owed), START) == GRANTED
        await queue.settle_entry(owed, "done", START)
    assert (await queue.counts()).placeholders_left == 0


async def test_an_output_that_failed_owes_while_the_others_go_on(queue: Queue) -> None:
    """The token of its entry takes nothing from the claim of the others."""
    entry = await released(queue, output(KEY), output(OTHER))
    first, second = (place.id for place in entry.outputs)
    claim = await claimed(queue)
    results = (OutputResult(first, "failed", error="x"), OutputResult(second, "retry", due_at=START + 1))
    waiting = asyncio.create_task(queue.wait_for_outbox(FOREVER_S))
    await asyncio.sleep(0)
    await queue.settle(Settlement(claim.number, claim.token, results), START)
    await asyncio.wait_for(waiting, PATIENCE_S)
    again = await claimed(queue, START + 1)
    (owed,) = await due_entries(queue, START + 1)
    assert (owed.output.id, owed.token > again.token) == (first, True)
    assert await queue.acquire(failure_of(owed), START + 1) == GRANTED
    assert await queue.acquire(final_of(again), START + 1) == GRANTED
    await queue.settle_entry(owed, "done", START + 1)
    assert await queue.settle(ended(again, "delivered"), START + 1)
    assert (await queue.job(entry.id)).status == "failed"


async def test_entries_are_claimed_up_to_the_number_asked_for(queue: Queue) -> None:
    for i in range(3):
        await failed(queue, output(f"{KEY}{i}"))
    first = (await queue.take_outbox(2, START)).entries
    second = (await queue.take_outbox(2, START)).entries
    assert (len(first), len(second)) == (2, 1)


async def test_a_refused_jobs_entry_is_lifted_by_a_newer_job(queue: Queue) -> None:
    refused = await accepted(queue)
    await hold(queue, refused)
    await queue.refuse(refused.number, states_of(refused), "", "", START)
    await released(queue)
    assert await due_entries(queue) == ()


async def test_the_next_writer_knows_the_entity_tag_of_a_placeholder(house: House) -> None:
    """The final of the job, of the next server, and of a newer job that inherits the placeholder; an entry."""
    queue = await house.open()
    older = await accepted(queue)
    await hold(queue, older)
    await queue.activate(older.number, (PlaceholderResult(older.outputs[0].id, "written", etag='"a"'),), START)
    assert [place.etag for place in (await claimed(queue)).outputs] == ['"a"']
    queue = await house.open()
    assert [place.etag for place in (await claimed(queue)).outputs] == ['"a"']
    await released(queue, output(is_bare=True))
    claim = await claimed(queue)
    assert [place.etag for place in claim.outputs] == ['"a"']
    await queue.settle(ended(claim, "failed"), START)
    assert [owed.output.etag for owed in await due_entries(queue)] == ['"a"']
