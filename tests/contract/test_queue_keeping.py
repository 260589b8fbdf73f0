"""What the queue keeps and for how long; what it counts."""

import pytest

from imgserve.jobs.queue import Counts, Queue
from tests.queues import KEY, START, SqliteHouse, accepted, claimed, due_debts, ended, failed, output, released

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
OTHER = "http://place.test:80/b.png"


async def test_ended_jobs_are_kept_for_a_day(queue: Queue) -> None:
    await released(queue)
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    assert await queue.prune(START + DAY_S - 1) == 0
    assert await queue.prune(START + DAY_S + 1) == 1
    assert await queue.prune(START + DAY_S + 1) == 0


async def test_failed_jobs_are_kept_for_two_weeks(queue: Queue) -> None:
    await failed(queue, output(is_bare=True))
    assert await queue.prune(START + 14 * DAY_S - 1) == 0
    assert await queue.prune(START + 14 * DAY_S + 1) == 1


async def test_superseded_jobs_are_kept_for_a_day(queue: Queue) -> None:
    await released(queue)
    await released(queue)
    assert await queue.prune(START + DAY_S + 1) == 1


async def test_open_jobs_are_never_pruned(queue: Queue) -> None:
    await accepted(queue, output(KEY))
    await released(queue, output(OTHER))
    assert await queue.prune(START + 1e9) == 0
    assert len((await queue.take_work(10, 0, START + 1e9)).claims) == 1


async def test_a_job_that_still_owes_is_not_pruned(queue: Queue) -> None:
    await failed(queue)
    assert await queue.prune(START + 1e9) == 0
    debt = (await due_debts(queue, START + 1e9))[0]
    await queue.settle_debt(debt, "given_up", START + 1e9)
    assert await queue.prune(START + 1e9) == 1


async def test_pruned_numbers_and_outputs_do_not_come_back(queue: Queue) -> None:
    """Kept renditions and temporary files go by the output's id."""
    old = await released(queue)
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    await queue.prune(START + 1e9)
    new = await accepted(queue)
    assert new.number > old.number
    assert new.output_ids[0] > old.output_ids[0]


async def test_counts(queue: Queue) -> None:
    assert await queue.counts() == Counts(0, 0, 0)
    await accepted(queue, output(KEY))
    await released(queue, output(OTHER))
    assert await queue.counts() == Counts(waiting=2, running=0, placeholders_left=0)
    claim = await claimed(queue)
    assert await queue.counts() == Counts(waiting=1, running=1, placeholders_left=0)
    await queue.settle(ended(claim, "failed"), START)
    assert await queue.counts() == Counts(waiting=1, running=0, placeholders_left=1)


async def test_digests_of_placeholders_are_known_by_size_for_a_day(queue: Queue) -> None:
    await queue.note_placeholder(b"one", 100, START)
    await queue.note_placeholder(b"two", 100, START)
    await queue.note_placeholder(b"three", 200, START)
    assert await queue.placeholder_digests(100, START + DAY_S - 1) == {b"one", b"two"}
    assert await queue.placeholder_digests(200, START) == {b"three"}
    assert await queue.placeholder_digests(300, START) == frozenset()
    assert await queue.placeholder_digests(100, START + DAY_S + HOUR_S + 1) == frozenset()


@pytest.mark.parametrize("is_reopened", [False, True])
@pytest.mark.parametrize("again_after_s", [60.0, HOUR_S - 1, HOUR_S + 1, 23 * HOUR_S])
async def test_the_day_begins_with_the_last_write(house: SqliteHouse, again_after_s: float, is_reopened: bool) -> None:
    queue = await house.open()
    await queue.note_placeholder(b"one", 100, START)
    await queue.note_placeholder(b"one", 100, START + again_after_s)
    last = START + again_after_s + DAY_S - 1
    await queue.prune(last)
    if is_reopened:
        queue = await house.open(last)
    assert await queue.placeholder_digests(100, last) == {b"one"}


async def test_digests_are_forgotten_on_disk_too(house: SqliteHouse) -> None:
    queue = await house.open()
    await queue.note_placeholder(b"one", 100, START)
    await queue.prune(START + 2 * DAY_S)
    assert await queue.placeholder_digests(100, START) == frozenset()
    queue = await house.open()
    assert await queue.placeholder_digests(100, START) == frozenset()
