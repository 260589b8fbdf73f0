"""The database answers, and stores nothing: its disk is full, or somebody holds a table."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.faults import DiskFull, StorageFailing
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.queue import PostgresQueue
from tests.support.postgres import OWNER, Postgres
from tests.support.queues import START, accepted, new_job, output

DISK_BYTES = 16_000_000


@contextmanager
def small_disk(server: Postgres) -> Iterator[Path]:
    """For a tablespace."""
    at = server.directory / "small"
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(at)], check=True, timeout=10)
    try:
        owner = server.directory.stat()
        os.chown(at, owner.st_uid, owner.st_gid)
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True, timeout=10)


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while os.statvfs(disk).f_bavail:
            file.write(bytes(4096))
    return ballast


async def until_full(queue: PostgresQueue) -> int:
    """Adds jobs: the last pages of its tables still have room. Returns how many."""
    for number in range(1000):
        try:
            await accepted(queue, output(f"http://place.test:80/{number}.png"))
        except DiskFull:
            return number
    pytest.fail("the disk was not full")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
async def test_a_full_disk_is_told_and_nothing_is_accepted_until_it_has_room() -> None:
    with Postgres({"fsync": "off"}) as server, small_disk(server) as disk:
        name = server.database()
        server.execute(f"CREATE TABLESPACE small OWNER {OWNER} LOCATION '{disk}'")
        server.execute(f"ALTER DATABASE {name} SET TABLESPACE small")
        queue = await PostgresQueue.open(Address(server.url(name)), Config(), START)
        ballast = fill(disk)
        entries = await until_full(queue)
        assert "disk_full" in {state.name for state in queue.states()}
        assert server.execute("SELECT count(*) FROM imgserve.job", name) == [(entries,)]
        ballast.unlink()
        await accepted(queue)
        assert "disk_full" not in {state.name for state in queue.states()}
        await queue.aclose()


async def test_a_table_that_somebody_holds_refuses_jobs_until_it_is_free(postgres: Postgres) -> None:
    name = postgres.database()
    queue = await PostgresQueue.open(Address(postgres.url(name)), Config(), START)
    for _ in range(2):
        await queue.heartbeat((), START)  # what it stores by itself is stored
    with psycopg.connect(postgres.url(name)) as other:
        other.execute("LOCK TABLE imgserve.job IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StorageFailing):
            await queue.enqueue(new_job(), START)
        assert "storage_failing" in {state.name for state in queue.states()}
    await accepted(queue)
    assert "storage_failing" not in {state.name for state in queue.states()}
    await queue.aclose()
    postgres.drop(name)
