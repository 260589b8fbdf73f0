"""What the settings of a queue change: how long things last."""

import pytest

from imgserve.jobs.config import Config
from tests.support.queues import START, SqliteHouse, claimed, due_debts, ended, failed, output, pruned, released

SHORT = Config(min_free_disk_bytes=0, keep_ended_s=10, keep_failed_s=20, lease_s=8, heartbeat_s=2, debt_s=30)


async def test_how_long_ended_and_failed_jobs_are_kept(house: SqliteHouse) -> None:
    queue = await house.open(config=SHORT)
    await released(queue)
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    await failed(queue, output(is_bare=True))
    assert [await pruned(queue, START + later) for later in (9, 11, 19, 21)] == [0, 1, 0, 1]


@pytest.mark.parametrize(("later", "is_due"), [(7, False), (9, True)])
async def test_how_long_a_lease_lasts(house: SqliteHouse, later: float, is_due: bool) -> None:
    queue = await house.open(config=SHORT)
    await released(queue)
    await claimed(queue)
    assert len((await queue.take_work(1, 0, START + later)).claims) == is_due


async def test_how_long_a_debt_is_owed(house: SqliteHouse) -> None:
    queue = await house.open(config=SHORT)
    await failed(queue)
    (debt,) = await due_debts(queue)
    assert debt.owed_until == START + 30
