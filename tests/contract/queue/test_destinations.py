"""One writer at a time: the locks of destinations, who frees them, and the quiet time after a takeover."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.model import Claim
from imgserve.jobs.protocol import Busy, Queue
from tests.support.queues import (
    BUSY,
    GRANTED,
    KEY,
    LOST,
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
)
from tests.support.sizes import FOREVER_S, PATIENCE_S

OTHER = "http://place.test:80/b.png"
QUIET_S = 15.0


async def test_one_holder_a_key(queue: Queue) -> None:
    first = await accepted(queue)
    second = await accepted(queue)
    elsewhere = await accepted(queue, output(OTHER))
    assert await queue.acquire(placeholder_of(first), START) == GRANTED
    assert await queue.acquire(placeholder_of(second), START) == BUSY
    assert await queue.acquire(placeholder_of(elsewhere, place=output(OTHER)), START) == GRANTED


async def test_the_holder_may_ask_again(queue: Queue) -> None:
    entry = await accepted(queue)
    for _ in range(3):
        assert await queue.acquire(placeholder_of(entry), START) == GRANTED


async def test_a_placeholder_belongs_to_the_intake_that_took_the_job(house: House) -> None:
    queue = await house.open()
    entry = await accepted(queue)
    queue = await house.open()
    assert await queue.acquire(placeholder_of(entry), START + QUIET_S) == LOST


async def test_no_placeholder_after_the_release(queue: Queue) -> None:
    entry = await released(queue)
    assert await queue.acquire(placeholder_of(entry), START) == LOST


async def test_a_forgotten_job_may_not_write(queue: Queue) -> None:
    entry = await accepted(queue)
    await queue.refuse(entry.number, (), "", "", START)
    assert await queue.acquire(placeholder_of(entry), START) == LOST


Freer = Callable[[Queue, Claim], Awaitable[object]]
FREERS: dict[str, Freer] = {
    "record": lambda queue, claim: queue.record(ended(claim, "delivered"), START),
    "settle": lambda queue, claim: queue.settle(ended(claim, "delivered"), START),
    "retry": lambda queue, claim: queue.settle(ended(claim, "retry", retry_at=START + 1), START),
    "failure": lambda queue, claim: queue.settle(ended(claim, "failed"), START),
}


@pytest.mark.parametrize("freer", list(FREERS))
async def test_the_report_of_a_write_frees_its_destination(queue: Queue, freer: str) -> None:
    await released(queue)
    claim = await claimed(queue)
    assert await queue.acquire(final_of(claim), START) == GRANTED
    newer = await accepted(queue)
    assert not newer.held_ids
    assert await queue.acquire(placeholder_of(newer), START) == BUSY
    waiting = asyncio.create_task(queue.until_free(KEY, FOREVER_S))
    await FREERS[freer](queue, claim)
    await asyncio.wait_for(waiting, PATIENCE_S)
    assert await queue.acquire(placeholder_of(newer), START) == GRANTED


@pytest.mark.parametrize("freer", ["record", "settle"])
async def test_a_lost_claim_frees_what_it_held(queue: Queue, freer: str) -> None:
    await released(queue)
    stale = await claimed(queue)
    assert await queue.acquire(final_of(stale), START) == GRANTED
    fresh = await claimed(queue, START + 61)
    assert await queue.acquire(final_of(fresh), START + 61) == BUSY
    assert await FREERS[freer](queue, stale) is False
    assert await queue.acquire(final_of(fresh), START + 61) == GRANTED


async def test_a_stale_report_does_not_free_the_newer_claims_hold(queue: Queue) -> None:
    await released(queue)
    stale = await claimed(queue)
    fresh = await claimed(queue, START + 61)
    assert await queue.acquire(final_of(fresh), START + 61) == GRANTED
    await queue.settle(ended(stale, "delivered"), START + 61)
    newer = await accepted(queue)
    assert await queue.acquire(placeholder_of(newer), START + 61) == BUSY


async def test_recording_one_output_leaves_the_others_in_their_writes(queue: Queue) -> None:
    await released(queue, output(KEY), output(OTHER))
    claim = await claimed(queue)
    for place in claim.outputs:
        assert await queue.acquire(final_of(claim, place), START) == GRANTED
    done = ended(claim, "delivered")
    await queue.record(msgspec.structs.replace(done, results=done.results[:1]), START)
    first, second = await accepted(queue, output(KEY)), await accepted(queue, output(OTHER))
    assert await queue.acquire(placeholder_of(first), START) == GRANTED
    assert await queue.acquire(placeholder_of(second, place=output(OTHER)), START) == BUSY


@pytest.mark.parametrize("end", ["release", "refuse", "refuse and owe"])
async def test_the_end_of_intake_frees(queue: Queue, end: str) -> None:
    entry = await accepted(queue)
    newer = await accepted(queue)
    await hold(queue, entry)
    assert await queue.acquire(placeholder_of(newer), START) == BUSY
    waiting = asyncio.create_task(queue.until_free(KEY, FOREVER_S))
    if end == "release":
        await queue.activate(entry.number, states_of(entry), START)
    else:
        await queue.refuse(entry.number, () if end == "refuse" else states_of(entry), "", "", START)
    await asyncio.wait_for(waiting, PATIENCE_S)
    assert await queue.acquire(placeholder_of(newer), START) == GRANTED


async def test_the_end_of_an_entrys_try_frees(queue: Queue) -> None:
    await failed(queue)
    owed = (await due_entries(queue))[0]
    assert await queue.acquire(failure_of(owed), START) == GRANTED
    newer = await accepted(queue)
    assert await queue.acquire(placeholder_of(newer), START) == BUSY
    waiting = asyncio.create_task(queue.until_free(KEY, FOREVER_S))
    await queue.settle_entry(owed, START + 5, START)
    await asyncio.wait_for(waiting, PATIENCE_S)
    assert await queue.acquire(placeholder_of(newer), START) == GRANTED


async def test_a_free_destination_is_held_from_the_start(queue: Queue) -> None:
    bare, other = output(is_bare=True), output(OTHER)
    entry = await accepted(queue, bare, other)
    assert entry.held_ids == {entry.outputs[1].id}
    newer = await accepted(queue, other)
    assert newer.held_ids == frozenset()
    assert await queue.acquire(placeholder_of(newer, newer.outputs[0].id, other), START) == BUSY


async def test_everybody_who_waits_wakes(queue: Queue) -> None:
    entry, newer = await accepted(queue), await accepted(queue)
    await hold(queue, entry)
    is_freed = False

    async def wait() -> None:
        """Whoever is woken too early finds the destination busy still, and waits again."""
        while await queue.acquire(placeholder_of(newer), START) == BUSY and not is_freed:
            await queue.until_free(KEY, FOREVER_S)

    waiting = [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting)
    is_freed = True
    await queue.activate(entry.number, states_of(entry), START)
    await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_S)


async def test_who_hears_that_it_is_busy_while_it_is_freed_does_not_wait(queue: Queue) -> None:
    """Both in one commit: the report that frees comes between the answer and the wait for it."""
    await released(queue)
    claim = await claimed(queue)
    await queue.acquire(final_of(claim), START)
    newer = await accepted(queue)
    answer, is_ours = await asyncio.gather(
        queue.acquire(placeholder_of(newer), START), queue.settle(ended(claim, "delivered"), START)
    )
    assert (answer, is_ours) == (BUSY, True)
    await asyncio.wait_for(queue.until_free(KEY, FOREVER_S), PATIENCE_S)
    assert await queue.acquire(placeholder_of(newer), START) == GRANTED


async def test_waiting_ends_by_itself(queue: Queue) -> None:
    entry, newer = await accepted(queue), await accepted(queue)
    await hold(queue, entry)
    assert await queue.acquire(placeholder_of(newer), START) == BUSY
    await asyncio.wait_for(queue.until_free(KEY, 0.01), PATIENCE_S)
    await asyncio.wait_for(queue.until_free(KEY, 0.0), PATIENCE_S)


async def test_those_who_wait_wake_although_the_reporter_was_cancelled(queue: Queue) -> None:
    """The change is under way already: it stands, and whoever waits must hear of it."""
    await released(queue)
    claim = await claimed(queue)
    await queue.acquire(final_of(claim), START)
    waiting = asyncio.create_task(queue.until_free(KEY, FOREVER_S))
    reporting = asyncio.create_task(queue.settle(ended(claim, "retry", retry_at=START), START))
    await asyncio.sleep(0)  # the report is on its way to the disk
    reporting.cancel()
    await asyncio.wait_for(waiting, PATIENCE_S)
    await asyncio.wait_for(queue.wait_for_work(FOREVER_S), PATIENCE_S)
    with pytest.raises(asyncio.CancelledError):
        await reporting
    assert (await claimed(queue)).number == claim.number


async def test_held_destinations_are_left_alone_after_a_takeover(house: House) -> None:
    queue = await house.open()
    await released(queue, output(KEY))
    await released(queue, output(OTHER))
    held, unheld = (await queue.take_work(2, START)).claims
    assert await queue.acquire(final_of(held), START) == GRANTED
    queue = await house.open(START + 1)
    again, other = (await queue.take_work(2, START + 1)).claims
    assert (again.number, other.number) == (held.number, unheld.number)
    assert await queue.acquire(final_of(other), START + 1) == GRANTED
    assert await queue.acquire(final_of(again), START + 1) == Busy(until=START + 1 + QUIET_S)
    assert await queue.acquire(final_of(again), START + QUIET_S) == Busy(until=START + 1 + QUIET_S)
    assert await queue.acquire(final_of(again), START + 1 + QUIET_S) == GRANTED


async def test_the_quiet_time_is_a_setting(house: House) -> None:
    config = Config(quiet_s=0.0, min_free_disk_bytes=0)
    queue = await house.open(config=config)
    await released(queue)
    assert await queue.acquire(final_of(await claimed(queue)), START) == GRANTED
    queue = await house.open(config=config)
    assert await queue.acquire(final_of(await claimed(queue)), START) == GRANTED


async def test_a_form_waits_its_turn_too(queue: Queue) -> None:
    form = output("http://place.test:80/up#file:a.png", "form")
    first, second = await accepted(queue, form), await accepted(queue, form)
    assert await queue.acquire(placeholder_of(first, place=form), START) == GRANTED
    assert await queue.acquire(placeholder_of(second, place=form), START) == BUSY
