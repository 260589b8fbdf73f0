"""The order of jobs for one destination: who is overtaken, who is superseded, what a crash of intake leaves."""

import pytest

from imgserve.jobs.model import Intent, PlaceholderState
from imgserve.jobs.protocol import Busy, Queue
from tests.support.queues import (
    GRANTED,
    KEY,
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
    placeholder_of,
    released,
    states_of,
    waiting,
)

OTHER = "http://place.test:80/b.png"
FORM = output("http://place.test:80/up#file:a.png", "form")
QUIET_S = 15.0


async def test_a_released_job_supersedes_the_older_ones(queue: Queue) -> None:
    await released(queue)
    await released(queue)
    newest = await released(queue)
    assert [claim.number for claim in (await queue.take_work(10, START)).claims] == [newest.number]


async def test_nothing_is_superseded_before_the_release(queue: Queue) -> None:
    older = await released(queue)
    newer = await accepted(queue)
    await hold(queue, newer)
    assert (await claimed(queue)).number == older.number


async def test_an_older_final_is_overtaken_once_a_newer_job_was_released(queue: Queue) -> None:
    await released(queue)
    claim = await claimed(queue)
    await released(queue)
    assert await queue.acquire(final_of(claim), START) == OVERTAKEN
    assert not await queue.settle(ended(claim, "superseded"), START)


async def test_an_older_placeholder_is_overtaken_once_a_newer_job_was_released(queue: Queue) -> None:
    older = await waiting(queue)
    newer = await released(queue)
    assert await queue.acquire(placeholder_of(older), START) == OVERTAKEN
    await queue.activate(older.number, states_of(older, state="none"), START)
    assert [claim.number for claim in (await queue.take_work(10, START)).claims] == [newer.number]


async def test_an_older_job_released_later_ends_superseded(queue: Queue) -> None:
    """Its own placeholder had gone out before; it must not hurt the newer job, nor owe anything."""
    older = await accepted(queue)
    await hold(queue, older)
    newer = await accepted(queue, output(is_bare=True))
    await queue.activate(newer.number, (), START)
    await queue.activate(older.number, states_of(older), START)
    assert [claim.number for claim in (await queue.take_work(10, START)).claims] == [newer.number]
    assert await due_entries(queue) == ()
    assert (await queue.counts()).waiting == 0


async def test_superseding_is_by_output(queue: Queue) -> None:
    older = await released(queue, output(KEY), output(OTHER))
    newer = await released(queue, output(KEY))
    claims = (await queue.take_work(10, START)).claims
    assert {claim.number: [place.id for place in claim.outputs] for claim in claims} == {
        older.number: [older.outputs[1].id],
        newer.number: [newer.outputs[0].id],
    }


async def test_a_job_ends_once_all_its_outputs_are_superseded(queue: Queue) -> None:
    await released(queue, output(KEY), output(OTHER))
    await released(queue, output(KEY))
    assert (await queue.counts()).waiting == 2
    await released(queue, output(OTHER))
    assert (await queue.counts()).waiting == 2  # the two newer ones


async def test_a_superseded_job_owes_nothing(queue: Queue) -> None:
    await released(queue)
    claim = await claimed(queue)
    await released(queue)
    await queue.settle(ended(claim, "failed"), START)
    assert await due_entries(queue) == ()


async def test_a_newer_job_does_not_undo_an_older_one_that_has_ended(queue: Queue) -> None:
    await released(queue)
    assert await queue.settle(ended(await claimed(queue), "delivered"), START)
    newer = await released(queue)
    claim = await claimed(queue)
    assert claim.number == newer.number
    assert await queue.acquire(final_of(claim), START) == GRANTED


async def test_forms_are_never_superseded_nor_overtaken(queue: Queue) -> None:
    older = await released(queue, FORM)
    newer = await released(queue, FORM)
    claims = (await queue.take_work(10, START)).claims
    assert [claim.number for claim in claims] == [older.number, newer.number]
    assert await queue.acquire(final_of(claims[1]), START) == GRANTED
    await queue.settle(ended(claims[1], "delivered"), START)
    assert await queue.acquire(final_of(claims[0]), START) == GRANTED


@pytest.mark.parametrize("state", ["written", "unknown"])
async def test_a_write_of_unknown_fate_counts_for_the_order(queue: Queue, state: PlaceholderState) -> None:
    older = await waiting(queue)
    await released(queue, state=state)
    assert await queue.acquire(placeholder_of(older), START) == OVERTAKEN


async def test_a_failed_entry_does_not_follow_a_newer_final(queue: Queue) -> None:
    """The newer job had no placeholder: its final is its first write."""
    older = await failed(queue)
    await released(queue, output(is_bare=True))
    owed = (await due_entries(queue))[0]
    claim = await claimed(queue)
    assert await queue.acquire(failure_of(owed), START) == GRANTED  # nothing of the newer job is there yet
    await queue.settle_entry(owed, START + 1, START)
    assert await queue.acquire(final_of(claim), START) == GRANTED
    await queue.settle(ended(claim, "delivered"), START)
    assert older.number < claim.number
    assert await due_entries(queue, START + 1) == ()


async def test_a_final_that_failed_counts_for_the_order(queue: Queue) -> None:
    """It may have arrived all the same."""
    await failed(queue)
    await released(queue, output(is_bare=True))
    claim = await claimed(queue)
    assert await queue.acquire(final_of(claim), START) == GRANTED
    await queue.settle(ended(claim, "retry", retry_at=START + 60), START)
    owed = (await due_entries(queue))[0]
    assert await queue.acquire(failure_of(owed), START) == OVERTAKEN


async def test_a_final_cut_off_by_the_end_of_its_server_counts_for_the_order(house: House) -> None:
    queue = await house.open()
    await failed(queue)
    await released(queue, output(is_bare=True))
    assert await queue.acquire(final_of(await claimed(queue)), START) == GRANTED
    queue = await house.open(START)
    owed = (await due_entries(queue, START))[0]
    assert await queue.acquire(failure_of(owed), START + QUIET_S) == OVERTAKEN


async def test_a_job_found_accepting_runs_after_the_quiet_time(house: House) -> None:
    queue = await house.open()
    entry = await accepted(queue)
    await hold(queue, entry)
    queue = await house.open(START + 5)
    work = await queue.take_work(10, START + 5)
    assert (work.claims, work.due_at) == ((), START + 5 + QUIET_S)
    claim = await claimed(queue, START + 5 + QUIET_S)
    assert claim.number == entry.number
    assert claim.outputs[0].placeholder == "unknown"
    assert await queue.acquire(final_of(claim), START + 5 + QUIET_S) == GRANTED


async def test_a_job_found_accepting_owes_for_what_it_may_have_put(house: House) -> None:
    queue = await house.open()
    places = (output(KEY), output(OTHER, is_bare=True))
    entry = await accepted(queue, *places)
    queue = await house.open(START)
    claim = await claimed(queue, START + QUIET_S)
    assert [place.placeholder for place in claim.outputs] == ["unknown", "none"]
    await queue.settle(ended(claim, "failed"), START + QUIET_S)
    assert [owed.output.id for owed in await due_entries(queue, START + QUIET_S)] == [entry.outputs[0].id]


async def test_a_job_found_accepting_supersedes_the_older_ones(house: House) -> None:
    queue = await house.open()
    await released(queue)
    await accepted(queue)
    newest = await accepted(queue)
    queue = await house.open(START)
    claims = (await queue.take_work(10, START + QUIET_S)).claims
    assert [claim.number for claim in claims] == [newest.number]


async def test_a_job_superseded_while_accepting_has_ended_after_a_crash(house: House) -> None:
    queue = await house.open()
    await waiting(queue)
    newer = await released(queue)
    queue = await house.open(START)
    assert (await queue.counts()).waiting == 1
    claims = (await queue.take_work(10, START + QUIET_S)).claims
    assert [claim.number for claim in claims] == [newer.number]


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_job_without_placeholder_answers_for_those_it_superseded(queue: Queue, is_late: bool) -> None:
    """``is_late``: the older job's placeholder was under way when the newer one was released."""
    older = await accepted(queue)
    await hold(queue, older)
    if not is_late:
        await queue.activate(older.number, states_of(older), START)
    newer = await accepted(queue, output(is_bare=True))
    await queue.activate(newer.number, (), START)
    if is_late:
        await queue.activate(older.number, states_of(older), START)
    claim = await claimed(queue)
    assert claim.number == newer.number
    await queue.settle(ended(claim, "failed"), START)
    assert [owed.number for owed in await due_entries(queue)] == [newer.number]


async def test_the_order_survives_reopening(house: House) -> None:
    queue = await house.open()
    await failed(queue, output(KEY))
    owed = (await due_entries(queue))[0]
    await released(queue, output(KEY))
    queue = await house.open(START)
    intent = Intent(owed.number, owed.output.id, owed.token, KEY, "failed")
    assert await queue.acquire(intent, START + 100) == OVERTAKEN


async def test_the_lock_of_the_newer_is_respected_by_the_older(queue: Queue) -> None:
    await released(queue)
    claim = await claimed(queue)
    newer = await accepted(queue)
    await hold(queue, newer)
    assert await queue.acquire(final_of(claim), START) == Busy()
    await queue.refuse(newer.number, (), "", "", START)
    assert await queue.acquire(final_of(claim), START) == GRANTED


async def test_a_job_that_kept_what_lay_there_answers_for_the_placeholder_of_one_that_it_superseded(
    queue: Queue,
) -> None:
    """It may have taken it for somebody else's."""
    await released(queue)
    newer = await accepted(queue)
    await hold(queue, newer)
    await queue.activate(newer.number, states_of(newer, state="kept"), START)
    claim = await claimed(queue)
    assert (claim.number, claim.outputs[0].placeholder) == (newer.number, "written")
    await queue.settle(ended(claim, "failed"), START)
    assert [owed.number for owed in await due_entries(queue)] == [newer.number]
