"""The tables of the queue in a database that belongs to somebody else."""

import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.queue import PostgresQueue
from tests.support.postgres import Postgres
from tests.support.queues import START, released


async def test_a_schema_of_its_own_is_enough(postgres: Postgres) -> None:
    """The right to create schemas is refused, and with IF NOT EXISTS PostgreSQL would ask for it all the same."""
    name = postgres.database()
    postgres.execute(f"ALTER DATABASE {name} OWNER TO postgres")
    address = Address(postgres.url(name))
    with pytest.raises(StorageFailing, match="permission denied for database"):
        await PostgresQueue.open(address, Config(), START)
    postgres.execute("CREATE SCHEMA imgserve AUTHORIZATION imgserve", name)
    queue = await PostgresQueue.open(address, Config(), START)
    await released(queue)
    await queue.aclose()
    postgres.drop(name)
