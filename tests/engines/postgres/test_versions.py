"""Nodes of neighbouring versions on one database: which tables and which rows a program works with."""

import psycopg
import pytest

from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.postgres.schema import SCHEMA_VERSION
from imgserve.jobs.stored import FORMAT
from tests.support.postgres import Postgres
from tests.support.postgres_house import PostgresHouse
from tests.support.queues import START, claimed, output, released
from tests.support.states import OTHER


def change(house: PostgresHouse, statement: str) -> None:
    with psycopg.connect(house.address.url) as db:
        db.execute(statement.encode())


async def test_a_newer_schema_says_whether_older_programs_may_work_with_it(postgres: Postgres) -> None:
    house = PostgresHouse(postgres, is_bare=True)
    await house.open()
    change(house, f"UPDATE imgserve.owner SET schema = {SCHEMA_VERSION + 1}")
    queue = await house.open()
    assert (await released(queue)).number == 1
    change(house, f"UPDATE imgserve.owner SET oldest = {SCHEMA_VERSION + 1}")
    with pytest.raises(StorageFailing, match=f"knows {SCHEMA_VERSION}"):
        await house.open()
    house.close()


async def test_jobs_of_a_newer_format_are_left_to_newer_nodes(postgres: Postgres) -> None:
    house = PostgresHouse(postgres)
    queue = await house.open()
    newer = await released(queue)
    known = await released(queue, output(OTHER))
    change(house, f"UPDATE imgserve.job SET format = {FORMAT + 1} WHERE number = {newer.number}")
    assert (await claimed(queue)).number == known.number
    work = await queue.take_work(5, START)
    assert work.claims == ()
    assert work.due_at is not None
    assert work.due_at > START, "nothing is due now: only the lease of the other"
    await house.crash()
    house.close()
