"""The ways to the queue's database that libpq knows, and a pooler: on each a job goes from intake to its end."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.queue import PostgresQueue
from imgserve.jobs.views import JobQuery
from tests.support.pgbouncer import PgBouncer
from tests.support.ports import free_port
from tests.support.postgres import PASSWORD, Postgres
from tests.support.queues import START, claimed, ended, released
from tests.support.sizes import PATIENCE_S


@pytest.fixture
def name(postgres: Postgres) -> str:
    return postgres.database()


async def works(*addresses: Address) -> None:
    """One node takes the job in, the last one carries it out, and each answers for it."""
    nodes = [await PostgresQueue.open(address, Config(), START) for address in addresses]
    entry = await released(nodes[0])
    claim = await claimed(nodes[-1])
    assert await nodes[-1].settle(ended(claim, "delivered"), START)
    for node in nodes:
        job, *_ = (await node.page(JobQuery())).jobs
        assert (job.number, job.status) == (entry.number, "succeeded")
        await node.aclose()


async def test_the_first_of_several_hosts_that_answers(postgres: Postgres, name: str) -> None:
    await works(Address(f"postgresql://imgserve@127.0.0.1:{free_port()},127.0.0.1:{postgres.port}/{name}"))


async def test_a_socket(postgres: Postgres, name: str) -> None:
    await works(Address(f"postgresql://imgserve@/{name}?host={postgres.directory}&port={postgres.port}"))


async def test_a_service_file(postgres: Postgres, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["[pictures]", "host=127.0.0.1", f"port={postgres.port}", f"dbname={name}", "user=other"]
    (tmp_path / "services").write_text("\n".join([*lines, f"password={PASSWORD}"]))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    await works(Address("postgresql://?service=pictures"))


async def test_a_password_file(postgres: Postgres, name: str, tmp_path: Path) -> None:
    held = tmp_path / "passwords"
    held.touch(0o600)
    held.write_text(f"127.0.0.1:*:{name}:other:{PASSWORD}\n")
    await works(Address(f"{postgres.url(name, 'other')}?passfile={held}"))
    await works(Address(postgres.url(name, "other"), password=PASSWORD))
    with pytest.raises(StorageFailing, match="password"):
        await works(Address(postgres.url(name, "other")))


async def test_nodes_share_a_pooler_that_keeps_no_session(postgres: Postgres, name: str) -> None:
    with PgBouncer(postgres, pool_size=2) as pooler:
        address = Address(pooler.url(name), direct=postgres.url(name))
        await works(address, address)


async def test_the_database_probes_each_connection_of_a_node(postgres: Postgres, name: str) -> None:
    """Its own times are two hours, in which a node that lost the network would keep what it has."""
    queue = await PostgresQueue.open(Address(postgres.url(name)), Config(), START)
    await queue.page(JobQuery())
    await queue._parts.size_bytes("none")
    ends_at = time.monotonic() + PATIENCE_S
    while sorted(probes_at(postgres.port)) != [True] * 4:
        assert time.monotonic() < ends_at
        await asyncio.sleep(0.01)
    await queue.aclose()


def probes_at(port: int) -> list[bool]:
    """Of each connection to that port, whether its listener's kernel will probe the client within 4 s."""
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    timers = [timer for _, local, _, state, _, timer, *_ in table if local.endswith(f":{port:04X}") and state == "01"]
    return [timer.startswith("02:") and int(timer[3:], 16) <= 4 * os.sysconf("SC_CLK_TCK") for timer in timers]


async def test_clients_are_not_told_where_the_database_is(postgres: Postgres, name: str) -> None:
    queue = await PostgresQueue.open(Address(postgres.url(name)), Config(), START)
    await queue.page(JobQuery())
    postgres.drop(name)
    with pytest.raises(StorageFailing) as written:
        await released(queue)
    with pytest.raises(StorageFailing):
        await queue.page(JobQuery())  # by the connection that has been ended
    with pytest.raises(StorageFailing) as read:
        await queue.page(JobQuery())
    assert written.value.detail == "the queue cannot be written: its database fails"
    assert read.value.detail == written.value.detail, "nothing is read while the database is away"
    assert f"port {postgres.port}" in read.value.in_full.detail
    (failing, _) = queue.states()
    assert (failing.name, failing.detail) == ("storage_failing", written.value.in_full.detail)
    await queue.aclose()
