"""The limits of a queue hold for all of its nodes together, also while they store jobs at the same moment."""

import asyncio
from collections import Counter

import msgspec
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.faults import QueueFull, QuotaFull
from imgserve.jobs.postgres.queue import PostgresQueue
from tests.support.postgres import Postgres
from tests.support.postgres_house import PostgresHouse
from tests.support.queues import START, new_job, output

CONFIG = Config(max_waiting=300, quota=0.5)


@pytest.mark.parametrize(("has_quota", "most"), [(False, 300), (True, 150)])
async def test_no_limit_is_passed(postgres: Postgres, has_quota: bool, most: int) -> None:
    house = PostgresHouse(postgres)
    nodes = [await PostgresQueue.open(house.address, CONFIG, START) for _ in range(3)]

    async def post(number: int) -> str:
        job = new_job(output(f"http://place.test:80/{number}.png"))
        try:
            await nodes[number % 3].enqueue(msgspec.structs.replace(job, principal="ann", has_quota=has_quota), START)
        except (QueueFull, QuotaFull) as error:
            return type(error).__name__
        return "taken"

    told = Counter(await asyncio.gather(*map(post, range(450))))
    assert told == {"taken": most, "QuotaFull" if has_quota else "QueueFull": 450 - most}
    assert (await nodes[0].counts()).waiting == most
    for node in nodes:
        await node.aclose()
    house.close()
