"""What failed jobs owe their destinations: when, for how long, and who is let off."""

import pytest

from imgserve.jobs.model import DebtOutcome, PlaceholderState, ResultStatus
from imgserve.jobs.protocol import Queue
from imgserve.request.job import OnFailure
from tests.support.queues import (
    GRANTED,
    KEY,
    LOST,
    OVERTAKEN,
    START,
    SqliteHouse,
    accepted,
    claimed,
    due_debts,
    ended,
    failed,
    failure_of,
    hold,
    output,
    released,
    states_of,
)

OTHER = "http://place.test:80/b.png"
LEASE_S = 120.0
DEBT_S = 72 * 3600.0


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
    debts = await due_debts(queue)
    assert [debt.output.id for debt in debts] == (list(entry.output_ids) if is_owing else [])
    assert (await queue.counts()).placeholders_left == int(is_owing)


async def test_no_placeholder_no_debt(queue: Queue) -> None:
    await failed(queue, output(is_bare=True))
    assert await due_debts(queue) == ()


@pytest.mark.parametrize("status", ["delivered", "superseded"])
async def test_only_failure_owes(queue: Queue, status: ResultStatus) -> None:
    await released(queue)
    await queue.settle(ended(await claimed(queue), status), START)
    assert await due_debts(queue) == ()


async def test_a_debt_is_claimed_with_a_token_and_the_right_to_write(queue: Queue) -> None:
    entry = await failed(queue)
    debt = (await due_debts(queue))[0]
    assert (debt.number, debt.id, debt.attempts) == (entry.number, entry.id, 0)
    assert debt.owed_until == START + DEBT_S
    assert await queue.acquire(failure_of(debt), START) == GRANTED


async def test_a_failure_wakes_the_runner(queue: Queue) -> None:
    await failed(queue)
    await queue.wait_for_work(60.0)
    assert len(await due_debts(queue)) == 1


async def test_a_claimed_debt_falls_due_again_by_itself(queue: Queue) -> None:
    await failed(queue)
    stale = (await due_debts(queue))[0]
    work = await queue.take_work(10, 10, START + LEASE_S - 1)
    assert (work.debts, work.due_at) == ((), START + LEASE_S)
    fresh = (await due_debts(queue, START + LEASE_S))[0]
    assert fresh.token > stale.token
    assert await queue.acquire(failure_of(stale), START + LEASE_S) == LOST
    assert await queue.acquire(failure_of(fresh), START + LEASE_S) == GRANTED


async def test_a_stale_payer_cannot_give_a_debt_up(queue: Queue) -> None:
    await failed(queue)
    stale = (await due_debts(queue))[0]
    fresh = (await due_debts(queue, START + LEASE_S))[0]
    await queue.settle_debt(stale, "given_up", START + LEASE_S)
    assert await queue.acquire(failure_of(fresh), START + LEASE_S) == GRANTED


async def test_what_a_stale_payer_did_pay_is_paid(queue: Queue) -> None:
    await failed(queue)
    stale = (await due_debts(queue))[0]
    assert await queue.acquire(failure_of(stale), START) == GRANTED
    await due_debts(queue, START + LEASE_S)
    await queue.settle_debt(stale, "paid", START + LEASE_S)
    assert await due_debts(queue, START + 1e6) == ()


@pytest.mark.parametrize(("outcome", "left"), [("paid", 0), ("overtaken", 0), ("given_up", 1)])
async def test_the_end_of_a_debt(queue: Queue, outcome: DebtOutcome, left: int) -> None:
    await failed(queue)
    debt = (await due_debts(queue))[0]
    await queue.settle_debt(debt, outcome, START)
    assert await due_debts(queue, START + 1e6) == ()
    assert (await queue.counts()).placeholders_left == left
    assert (await queue.take_work(10, 10, START)).due_at is None


async def test_an_unpaid_debt_is_tried_again_at_its_time(queue: Queue) -> None:
    await failed(queue)
    for attempt in range(3):
        now = START + 10 * attempt
        debt = (await due_debts(queue, now))[0]
        assert debt.attempts == attempt
        assert debt.owed_until == START + DEBT_S
        await queue.settle_debt(debt, now + 10, now)
        work = await queue.take_work(0, 10, now + 9)
        assert (work.debts, work.due_at) == ((), now + 10)


async def test_a_whole_number_is_a_time_too(queue: Queue) -> None:
    await failed(queue)
    debt = (await due_debts(queue))[0]
    await queue.settle_debt(debt, int(START) + 5, START)
    assert len(await due_debts(queue, START + 5)) == 1


@pytest.mark.parametrize("is_claimed", [False, True])
async def test_a_newer_released_job_that_wrote_lifts_the_debt(queue: Queue, is_claimed: bool) -> None:
    await failed(queue)
    debts = await due_debts(queue) if is_claimed else ()
    await released(queue)
    for debt in debts:
        assert await queue.acquire(failure_of(debt), START) == OVERTAKEN
        await queue.settle_debt(debt, START + 1, START)
    assert await due_debts(queue, START + 1e6) == ()


async def test_a_newer_job_that_was_refused_lifts_nothing(queue: Queue) -> None:
    older = await failed(queue)
    newer = await accepted(queue)
    await queue.refuse(newer.number, (), "", "", START)
    assert [debt.number for debt in await due_debts(queue)] == [older.number]


async def test_a_newer_job_without_placeholder_lifts_nothing_yet(queue: Queue) -> None:
    older = await failed(queue)
    await released(queue, output(is_bare=True))
    assert [debt.number for debt in await due_debts(queue)] == [older.number]


async def test_the_debt_of_a_form_stays(queue: Queue) -> None:
    form = output("http://place.test:80/up#file:a.png", "form")
    older = await failed(queue, form)
    await released(queue, form)
    assert [debt.number for debt in await due_debts(queue)] == [older.number]


async def test_debts_survive_reopening_and_are_due_at_once(house: SqliteHouse) -> None:
    queue = await house.open()
    entry = await failed(queue)
    old = (await due_debts(queue))[0]
    await queue.settle_debt(old, START + 500, START)
    queue = await house.open(START + 1)
    debt = (await due_debts(queue, START + 1))[0]
    assert (debt.number, debt.attempts) == (entry.number, 1)
    assert debt.token > old.token
    assert debt.owed_until == START + DEBT_S


async def test_several_debts_of_one_job_at_once(queue: Queue) -> None:
    places = (output(KEY), output(OTHER), output(f"{KEY}3"))
    await failed(queue, *places)
    debts = await due_debts(queue)
    assert len({debt.token for debt in debts}) == len(places)
    for debt in debts:
        assert await queue.acquire(failure_of(debt), START) == GRANTED
    await queue.settle_debt(debts[0], "paid", START)
    for debt in debts[1:]:
        assert await queue.acquire(failure_of(debt), START) == GRANTED
        await queue.settle_debt(debt, "paid", START)
    assert (await queue.counts()).placeholders_left == 0


async def test_debts_wait_for_the_end_of_their_job(queue: Queue) -> None:
    """A claim's token must not change under the outputs that still run; nor does the queue call the debt due."""
    await released(queue, output(KEY), output(OTHER))
    claim = await claimed(queue)
    await queue.settle(ended(claim, "failed", "retry", retry_at=START + 60), START)
    work = await queue.take_work(10, 10, START)
    assert (work.debts, work.due_at) == ((), START + 60)
    await queue.settle(ended(await claimed(queue, START + 60), "delivered"), START + 60)
    assert len(await due_debts(queue, START + 60)) == 1


async def test_debts_are_claimed_up_to_the_number_asked_for(queue: Queue) -> None:
    for i in range(3):
        await failed(queue, output(f"{KEY}{i}"))
    first = (await queue.take_work(0, 2, START)).debts
    second = (await queue.take_work(0, 2, START)).debts
    assert (len(first), len(second)) == (2, 1)


async def test_a_refused_jobs_debt_is_lifted_by_a_newer_job(queue: Queue) -> None:
    refused = await accepted(queue)
    await hold(queue, refused)
    await queue.refuse(refused.number, states_of(refused), "", "", START)
    await released(queue)
    assert await due_debts(queue) == ()
