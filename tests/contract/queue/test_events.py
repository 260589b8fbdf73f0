"""Events for streams: all of them, in the order of their numbers, each seen by those whose job it is."""

import asyncio
import json

import msgspec
import pytest

from imgserve.jobs.event_views import EventPage, EventQuery
from imgserve.jobs.model import EVENT_MEMORY_S, Accepted, PlaceholderResult
from imgserve.jobs.protocol import Queue
from tests.support.queues import (
    KEY,
    START,
    House,
    accepted,
    claimed,
    ended,
    hold,
    new_job,
    output,
    pruned,
    released,
    states_of,
)
from tests.support.sizes import FOREVER_S, PATIENCE_S
from tests.support.states import OTHER

ALL = EventQuery(0)


async def run(queue: Queue, key: str = KEY, principal: str = "ann", now: float = START) -> Accepted:
    """A job that succeeds: accepted, started, delivered, succeeded, with a placeholder before."""
    place = output(key)
    entry = await queue.enqueue(msgspec.structs.replace(new_job(place), principal=principal), now)
    assert isinstance(entry, Accepted)
    await hold(queue, entry, place, now=now)
    await queue.activate(entry.number, states_of(entry, place), now)
    await queue.settle(ended(await claimed(queue, now), "delivered"), now)
    return entry


STORY = ["output.placeholder", "job.accepted", "job.started", "output.delivered", "job.succeeded"]


async def read(queue: Queue, query: EventQuery, now: float = START) -> EventPage:
    """All that there is after a number, page by page."""
    whole = await queue.events_after(query, now)
    while whole.last < whole.newest:
        page = await queue.events_after(msgspec.structs.replace(query, after=whole.last), now)
        assert page.last > whole.last
        whole = msgspec.structs.replace(whole, events=whole.events + page.events, last=page.last)
    return whole


async def test_of_a_job(queue: Queue) -> None:
    assert await queue.events_after(ALL, START) == EventPage((), 0, 0)
    entry = await run(queue)
    page = await queue.events_after(ALL, START)
    assert [event.type for event in page.events] == STORY
    numbers = [event.number for event in page.events]
    assert numbers == sorted(set(numbers))
    assert (page.last, page.newest, page.is_gap) == (numbers[-1], numbers[-1], False)
    assert await queue.newest_event() == numbers[-1]
    bodies = [json.loads(event.body) for event in page.events]
    assert [body["type"] for body in bodies] == STORY
    assert [body["data"]["output"] for body in bodies] == ["0", None, None, "0", None]
    assert {body["timestamp"] for body in bodies} == {"1970-01-12T13:46:40Z"}
    assert {event.job_id for event in page.events} == {body["data"]["job"]["id"] for body in bodies} == {entry.id}
    assert not any("timeline" in body["data"]["job"] for body in bodies)
    assert all(b"\n" not in event.body for event in page.events)


async def test_from_a_number_on(queue: Queue) -> None:
    await run(queue)
    newest = await queue.newest_event()
    later = await run(queue, OTHER)
    page = await queue.events_after(EventQuery(newest), START)
    assert [(event.type, event.job_id) for event in page.events] == [(story, later.id) for story in STORY]
    assert (await queue.events_after(EventQuery(page.last), START)).events == ()


@pytest.mark.parametrize("limit", [1, 2, 5, 200])
async def test_page_by_page(queue: Queue, limit: int) -> None:
    for number in range(3):
        await run(queue, f"{KEY}{number}", "ann" if number else "bob")
    whole = await read(queue, EventQuery(0, limit))
    assert [event.type for event in whole.events] == STORY * 3
    own = await read(queue, EventQuery(0, limit, principal="ann"))
    assert [event.principal for event in own.events] == ["ann"] * 10
    first = await queue.events_after(EventQuery(0, limit), START)
    assert len(first.events) == min(limit, 15)


async def test_those_of_a_principal_a_job_a_type(queue: Queue) -> None:
    first, second = await run(queue, KEY, "ann"), await run(queue, OTHER, "bob")
    ends = EventQuery(0, types=("job.succeeded",))
    assert [event.job_id for event in (await read(queue, ends)).events] == [first.id, second.id]
    own = msgspec.structs.replace(ends, principal="bob")
    assert [(event.job_id, event.principal) for event in (await read(queue, own)).events] == [(second.id, "bob")]
    of_job = await queue.events_after(EventQuery(0, job_id=first.id, principal="ann"), START)
    assert [event.type for event in of_job.events] == STORY
    assert of_job.last == of_job.newest == await queue.newest_event()
    assert (await read(queue, EventQuery(0, job_id=first.id, principal="bob"))).events == ()
    rest = await read(queue, EventQuery(of_job.events[2].number, job_id=first.id))
    assert [event.type for event in rest.events] == STORY[3:]


async def test_a_refused_job_has_none_for_anybody(queue: Queue) -> None:
    """Its client has been told, and knows no such job."""
    entry = await accepted(queue, output(), output(OTHER))
    await hold(queue, entry, output(), output(OTHER))
    first, second = entry.outputs
    results = (PlaceholderResult(first.id, "written"), PlaceholderResult(second.id, "refused"))
    await queue.refuse(entry.number, results, "delivery_failed", "no", START)
    page = await queue.events_after(ALL, START)
    assert (page.events, page.last, page.newest > 0) == ((), page.newest, True)


async def test_a_gap_after_events_that_are_gone(queue: Queue) -> None:
    first = await run(queue)
    number = await queue.newest_event()
    assert await pruned(queue, START + EVENT_MEMORY_S) == 0
    assert (await queue.events_after(ALL, START + EVENT_MEMORY_S)).is_gap is False
    later = START + EVENT_MEMORY_S + 1
    second = await run(queue, OTHER, now=later)
    assert await pruned(queue, later) == 1
    page = await queue.events_after(EventQuery(number - 1), later)
    assert page.is_gap
    assert {event.job_id for event in page.events} == {second.id} != {first.id}
    assert not (await queue.events_after(EventQuery(number), later)).is_gap
    assert await queue.newest_event() == page.last


async def test_a_gap_after_events_that_are_too_old(queue: Queue) -> None:
    """Their jobs are kept longer than a day."""
    for number in range(5):
        await run(queue, f"{KEY}{number}", now=START + number)
    old = await queue.newest_event()
    later = START + EVENT_MEMORY_S + 10
    newer = await run(queue, OTHER, now=later)
    page = await read(queue, EventQuery(1, 2), later)
    assert page.is_gap
    assert [(event.job_id, event.type) for event in page.events] == [(newer.id, story) for story in STORY]
    assert not (await read(queue, EventQuery(old), later)).is_gap
    half = await read(queue, EventQuery(0), START + EVENT_MEMORY_S + 2.5)
    assert len({event.job_id for event in half.events}) == 3


async def test_a_gap_after_another_queues_number(queue: Queue) -> None:
    await run(queue)
    page = await queue.events_after(EventQuery(10_000), START)
    assert (page.is_gap, [event.type for event in page.events]) == (True, STORY)


async def test_numbers_go_on_after_a_restart(house: House) -> None:
    queue = await house.open()
    await run(queue)
    newest = await queue.newest_event()
    later = START + 2 * EVENT_MEMORY_S
    assert await pruned(queue, later) == 1
    queue = await house.open(later)
    await run(queue, now=later)
    page = await queue.events_after(EventQuery(newest), later)
    assert (len(page.events), page.events[0].number > newest, page.is_gap) == (5, True, False)


async def test_numbers_that_a_power_cut_took_away_are_not_given_again(house: House) -> None:
    queue = await house.open()
    await run(queue)
    seen = await queue.newest_event() + 200  # by a reader, of commits that were not synced
    queue = await house.open()
    await run(queue)
    page = await queue.events_after(EventQuery(seen), START)
    assert ([event.type for event in page.events], page.is_gap) == (STORY, False)


async def test_a_reader_is_woken_by_its_own(queue: Queue) -> None:
    first = await released(queue)
    await claimed(queue)
    with (
        queue.watch_events() as of_all,
        queue.watch_events(principal="ann") as of_ann,
        queue.watch_events(principal="bob") as of_bob,
        queue.watch_events(job_id=first.id) as of_first,
    ):
        watches = (of_all, of_ann, of_bob, of_first)
        await run(queue, f"{KEY}1", "carl")
        for watch in watches:  # a change that was under way when it began may be its own
            await watch.until_more(0.001)
        waiting = [asyncio.create_task(watch.until_more(FOREVER_S)) for watch in watches]
        await asyncio.sleep(0)
        await run(queue, OTHER, "ann")
        await asyncio.wait(waiting[:2], timeout=PATIENCE_S)
        assert [task.done() for task in waiting] == [True, True, False, False]
        await queue.cancel(first.id, START)
        await asyncio.wait_for(waiting[3], PATIENCE_S)
        assert not waiting[2].done()
        waiting[2].cancel()
        await of_bob.until_more(0.001)


async def test_what_comes_before_the_wait_ends_it_at_once(queue: Queue) -> None:
    with queue.watch_events() as watch:
        await run(queue)
        await asyncio.wait_for(watch.until_more(FOREVER_S), PATIENCE_S)
    with queue.watch_events() as watch:
        assert (await queue.events_after(ALL, START)).events != ()
        await watch.until_more(0.001)  # nothing new: the time is over
