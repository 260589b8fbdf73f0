"""A node that starts again where it was: the lock on its data directory shows that its former process has ended."""

import os
from pathlib import Path

from imgserve.clock import boot_id
from imgserve.jobs.config import Config
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.queue import PostgresQueue
from imgserve.jobs.protocol import Busy
from imgserve.jobs.sqlite import datadir
from tests.support.postgres import Postgres
from tests.support.postgres_house import empty_queue
from tests.support.queues import START, claimed, ended, final_of, released


async def test_it_takes_its_former_self_over_at_once(postgres: Postgres) -> None:
    soon = START + 0.1
    with empty_queue(postgres) as url:
        former, neighbour = [
            await PostgresQueue.open(Address(url), Config(), START, home=home) for home in ("boot:1:1", "boot:1:2")
        ]
        entry = await released(former)
        claim = await claimed(former)
        await former.acquire(final_of(claim), START)
        elsewhere = await PostgresQueue.open(Address(url), Config(), soon, home="boot:1:3")
        nowhere = await PostgresQueue.open(Address(url), Config(), soon)
        assert (await elsewhere.take_work(10, soon)).claims == ()
        former._home = ""  # here it lives on, and would claim the same place again
        again = await PostgresQueue.open(Address(url), Config(), soon, home="boot:1:1")
        retaken = await claimed(again, soon)
        assert retaken.number == entry.number
        assert isinstance(await again.acquire(final_of(retaken), soon), Busy), "its bytes may still arrive"
        assert not await former.settle(ended(claim, "delivered"), soon)
        assert len(await again.nodes()) == 5, "the former one is a node of its own by now"
        for queue in (former, neighbour, elsewhere, nowhere, again):
            await queue.aclose()


def test_a_lock_has_its_name_as_long_as_somebody_holds_it(tmp_path: Path) -> None:
    first = datadir.lock(tmp_path)
    name = datadir.home(tmp_path, boot_id())
    os.close(first)
    second = datadir.lock(tmp_path)
    assert datadir.home(tmp_path, boot_id()) == name
    (tmp_path / "lock").unlink()
    third = datadir.lock(tmp_path)  # a removed lock keeps nobody out
    assert datadir.home(tmp_path, boot_id()) != name
    assert datadir.home(tmp_path, "another boot") != datadir.home(tmp_path, boot_id())
    assert datadir.home(tmp_path, "") == ""
    os.close(second)
    os.close(third)
