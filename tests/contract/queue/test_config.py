"""What the settings of a queue change: how long things last."""

import pytest

from imgserve.jobs.config import Config
from tests.support.queues import START, House, claimed, due_entries, ended, failed, output, pruned, released

SHORT = Config(min_free_disk_bytes=0, keep_ended_s=10, keep_failed_s=20, lease_s=8, heartbeat_s=2, outbox_s=30)


async def test_how_long_ended_and_failed_jobs_are_kept(house: House) -> None:
    queue = await house.open(config=SHORT)
    await released(queue)
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    await failed(queue, output(is_bare=True))
    assert [await pruned(queue, START + later) for later in (9, 11, 19, 21)] == [0, 1, 0, 1]


@pytest.mark.parametrize(("later", "is_due"), [(7, False), (9, True)])
async def test_how_long_a_lease_lasts(house: House, later: float, is_due: bool) -> None:
    queue = await house.open(config=SHORT)
    await released(queue)
    await claimed(queue)
    assert len((await queue.take_work(1, START + later)).claims) == is_due


async def test_how_long_an_entry_is_owed(house: House) -> None:
    queue = await house.open(config=SHORT)
    await failed(queue)
    (owed,) = await due_entries(queue)
    assert owed.until == START + 30
