"""A node that was stopped in the middle of a write, and goes on after others have taken its work over."""

from collections.abc import Iterator

import msgspec
import psycopg
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.model import Accepted, Answer, PlaceholderResult
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.queue import PostgresQueue
from imgserve.jobs.postgres.strays import MEMORY_S
from imgserve.jobs.protocol import Granted
from tests.support.postgres import Postgres
from tests.support.postgres_house import empty_queue
from tests.support.queues import (
    START,
    accepted,
    claimed,
    due_entries,
    ended,
    failure_of,
    final_of,
    new_job,
    output,
    placeholder_of,
    released,
)

LATER = START + 1000.0


@pytest.fixture
def address(postgres: Postgres) -> Iterator[Address]:
    with empty_queue(postgres) as url:
        yield Address(url)


async def comes(queue: PostgresQueue, now: float) -> Accepted:
    """A newer job goes through intake."""
    entry = await accepted(queue, now=now)
    assert isinstance(await queue.acquire(placeholder_of(entry), now), Granted)
    await queue.activate(entry.number, (PlaceholderResult(entry.outputs[0].id, "written"),), now)
    return entry


async def state_of(queue: PostgresQueue, job_id: str) -> tuple[str, str]:
    job = await queue.job(job_id)
    return job.status, job.outputs[0].status


async def test_a_newer_final_is_sent_once_more_when_an_older_write_ends_late(address: Address) -> None:
    stopped = await PostgresQueue.open(address, Config(), START)
    await released(stopped)
    claim = await claimed(stopped)
    assert await stopped.acquire(final_of(claim), START) == Granted()

    other = await PostgresQueue.open(address, Config(), LATER)
    newer = await comes(other, LATER + 20)
    its = await claimed(other, LATER + 20)
    assert its.number == newer.number
    assert isinstance(await other.acquire(final_of(its), LATER + 20), Granted)
    assert await other.settle(ended(its, "delivered"), LATER + 21)
    assert await state_of(other, newer.id) == ("succeeded", "delivered")

    assert not await stopped.settle(ended(claim, "delivered"), LATER + 30)
    assert (await state_of(other, newer.id))[0] == "queued"
    again = await claimed(other, LATER + 30)
    assert (again.number, again.outputs[0].is_repeat) == (newer.number, True)
    assert isinstance(await other.acquire(final_of(again), LATER + 30), Granted)
    assert await other.settle(ended(again, "delivered"), LATER + 31)
    assert await state_of(other, newer.id) == ("succeeded", "delivered")
    assert (await other.take_work(10, LATER + 40)).claims == ()
    await stopped.aclose()
    await other.aclose()


async def test_equal_bytes_are_not_sent_again(address: Address) -> None:
    stopped = await PostgresQueue.open(address, Config(), START)
    entry = await released(stopped)
    claim = await claimed(stopped)
    assert await stopped.acquire(final_of(claim), START) == Granted()

    other = await PostgresQueue.open(address, Config(), LATER)
    its = await claimed(other, LATER + 20)
    assert isinstance(await other.acquire(final_of(its), LATER + 20), Granted)
    assert await other.settle(ended(its, "delivered"), LATER + 21)
    assert not await stopped.settle(ended(claim, "delivered"), LATER + 30)
    assert await state_of(other, entry.id) == ("succeeded", "delivered")
    await stopped.aclose()
    await other.aclose()


async def test_a_late_write_of_the_newest_final_brings_no_older_one_back(address: Address) -> None:
    stopped = await PostgresQueue.open(address, Config(), START)
    await released(stopped)
    earlier = await claimed(stopped)
    assert await stopped.acquire(final_of(earlier), START) == Granted()
    assert await stopped.settle(ended(earlier, "delivered"), START + 1)
    newest = await comes(stopped, START + 2)
    claim = await claimed(stopped, START + 2)
    assert await stopped.acquire(final_of(claim), START + 2) == Granted()

    other = await PostgresQueue.open(address, Config(), LATER)
    its = await claimed(other, LATER + 20)
    assert its.number == newest.number
    assert isinstance(await other.acquire(final_of(its), LATER + 20), Granted)
    assert await other.settle(ended(its, "delivered"), LATER + 21)
    assert not await stopped.settle(ended(claim, "delivered"), LATER + 30)
    assert (await other.take_work(10, LATER + 40)).claims == ()
    await stopped.aclose()
    await other.aclose()


async def test_a_placeholder_that_ends_after_the_final(address: Address) -> None:
    stopped = await PostgresQueue.open(address, Config(), START)
    entry = await accepted(stopped)
    assert await stopped.acquire(placeholder_of(entry), START) == Granted()

    other = await PostgresQueue.open(address, Config(), LATER)
    its = await claimed(other, LATER + 20)
    assert its.number == entry.number
    assert isinstance(await other.acquire(final_of(its), LATER + 20), Granted)
    assert await other.settle(ended(its, "delivered"), LATER + 21)
    await stopped.activate(entry.number, (PlaceholderResult(entry.outputs[0].id, "written"),), LATER + 30)
    again = await claimed(other, LATER + 30)
    assert (again.number, again.outputs[0].is_repeat) == (entry.number, True)
    await stopped.aclose()
    await other.aclose()


@pytest.mark.parametrize("is_older_there", [False, True])
async def test_a_placeholder_that_ends_after_the_failure_picture(address: Address, is_older_there: bool) -> None:
    """The failure picture is sent again, and no final of an older job."""
    stopped = await PostgresQueue.open(address, Config(), START)
    if is_older_there:
        await comes(stopped, START)
        earlier = await claimed(stopped)
        assert await stopped.acquire(final_of(earlier), START) == Granted()
        assert await stopped.settle(ended(earlier, "delivered"), START + 1)
    entry = await accepted(stopped, now=START + 2)
    assert await stopped.acquire(placeholder_of(entry), START + 2) == Granted()

    other = await PostgresQueue.open(address, Config(), LATER)
    its = await claimed(other, LATER + 20)
    assert its.number == entry.number
    assert await other.settle(ended(its, "failed"), LATER + 21)
    owed = (await due_entries(other, LATER + 21))[0]
    assert isinstance(await other.acquire(failure_of(owed), LATER + 21), Granted)
    await other.settle_entry(owed, "done", LATER + 22)
    assert await due_entries(other, LATER + 29) == ()

    await stopped.activate(entry.number, (PlaceholderResult(entry.outputs[0].id, "written"),), LATER + 30)
    again = (await due_entries(other, LATER + 30))[0]
    assert (again.number, again.kind, again.attempts) == (entry.number, owed.kind, 0)
    assert (await other.take_work(10, LATER + 40)).claims == ()
    await stopped.aclose()
    await other.aclose()


async def test_a_late_failure_picture_of_the_newest_failure_is_not_sent_again(address: Address) -> None:
    stopped = await PostgresQueue.open(address, Config(), START)
    await comes(stopped, START)
    assert await stopped.settle(ended(await claimed(stopped), "failed"), START + 1)
    first = (await due_entries(stopped, START + 1))[0]
    assert isinstance(await stopped.acquire(failure_of(first), START + 1), Granted)

    other = await PostgresQueue.open(address, Config(), LATER)
    second = (await due_entries(other, LATER + 20))[0]
    assert isinstance(await other.acquire(failure_of(second), LATER + 20), Granted)
    await other.settle_entry(second, "done", LATER + 21)
    await stopped.settle_entry(first, "done", LATER + 30)
    assert await due_entries(other, LATER + 30) == ()
    await stopped.aclose()
    await other.aclose()


async def test_a_refusal_comes_too_late(address: Address) -> None:
    """The job that others carry out is not deleted."""
    stopped = await PostgresQueue.open(address, Config(), START)
    entry = await accepted(stopped, output())
    other = await PostgresQueue.open(address, Config(), LATER)
    await stopped.refuse(entry.number, (), "delivery_failed", "no", LATER + 1)
    assert (await claimed(other, LATER + 20)).number == entry.number
    await stopped.aclose()
    await other.aclose()


async def test_a_request_finds_its_job_at_a_node_that_has_not_heard_of_the_takeover(address: Address) -> None:
    job = new_job()
    dead = await PostgresQueue.open(address, Config(), START)
    entry = await dead.enqueue(job, START)
    asked = await PostgresQueue.open(address, Config(), START)
    await asked.heartbeat((), LATER)
    assert isinstance(entry, Accepted)
    with psycopg.connect(address.url) as db:  # as a takeover does, whose news are still under way
        db.execute("DELETE FROM imgserve.node WHERE epoch = (SELECT min(epoch) FROM imgserve.node)")
    twin = msgspec.structs.replace(job, id="twin")
    assert await asked.enqueue(twin, LATER) == Answer(entry.number, entry.id, job.outputs)
    for queue in (dead, asked):
        await queue.aclose()


async def test_a_node_that_goes_on_and_ends_leaves_it_to_the_next_takeover(address: Address) -> None:
    stopped = await PostgresQueue.open(address, Config(), START)
    await released(stopped)
    claim = await claimed(stopped)
    assert await stopped.acquire(final_of(claim), START) == Granted()
    other = await PostgresQueue.open(address, Config(), LATER)
    newer = await comes(other, LATER + 20)
    its = await claimed(other, LATER + 20)
    assert isinstance(await other.acquire(final_of(its), LATER + 20), Granted)
    assert await other.settle(ended(its, "delivered"), LATER + 21)

    await stopped.heartbeat((), LATER + 30)  # it goes on, under a new epoch
    third = await PostgresQueue.open(address, Config(), LATER + 1000)
    again = await claimed(third, LATER + 1000)
    assert (again.number, again.outputs[0].is_repeat) == (newer.number, True)
    for queue in (stopped, other, third):
        await queue.aclose()


async def test_a_note_of_a_node_that_never_went_on_goes(address: Address) -> None:
    stopped = await PostgresQueue.open(address, Config(), START)
    await released(stopped)
    assert await stopped.acquire(final_of(await claimed(stopped)), START) == Granted()
    other = await PostgresQueue.open(address, Config(), LATER)
    with psycopg.connect(address.url) as db:
        assert db.execute("SELECT count(*) FROM imgserve.stray").fetchone() == (1,)
    third = await PostgresQueue.open(address, Config(), LATER + MEMORY_S + 1)  # takes the other one over
    with psycopg.connect(address.url) as db:
        assert db.execute("SELECT count(*) FROM imgserve.stray").fetchone() == (0,)
    for queue in (stopped, other, third):
        await queue.aclose()
