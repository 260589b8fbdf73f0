"""Uploaded pictures in the database, which nodes receive, read and delete for each other."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from imgserve.engine.config import UploadConfig
from imgserve.engine.uploaded_parts import UploadedParts
from imgserve.engine.uploads import UploadQuotaFull, Uploads
from imgserve.jobs.config import Config
from imgserve.jobs.faults import SourceGone, StorageFailing
from imgserve.jobs.model import UPLOAD_PART_BYTES, Accepted
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.connection import ReadConnection
from imgserve.jobs.postgres.queue import PostgresQueue
from imgserve.jobs.protocol import KeptUpload
from imgserve.request.limits import Limits
from imgserve.request.principal import Principal
from imgserve.request.source import Source, received, sent_source, upload_id_of
from imgserve.transfer.config import Config as TransferConfig
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import SourceUnavailable, UploadNotStored
from imgserve.transfer.uploads import NextChunk
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres import Postgres
from tests.support.postgres_house import PostgresHouse
from tests.support.queues import START, claimed, ended, new_job, output

SHOP = Principal("@shop", "shop", has_quota=True)
PICTURE = os.urandom(3 * UPLOAD_PART_BYTES + 1)
HOUR_S = 3600.0
ID = "0123456789abcdef" * 2


class Node:
    """A server process's queue, uploads and transfers."""

    def __init__(self, queue: PostgresQueue, cluster: "Cluster") -> None:
        self.queue = queue
        assert queue.upload_parts is not None
        self.store = UploadedParts(queue.upload_parts)
        config = UploadConfig(quota_bytes=2 * len(PICTURE))
        self.uploads = Uploads(queue, self.store, config, 0.5, len(PICTURE), lambda: cluster.now)
        self.transfers = Transfers(TransferConfig(), Limits())
        self.transfers.read_uploads_of(self.store)

    async def enqueue(self, source: Source, now: float = START) -> Accepted:
        place = output(f"http://place.test:80/{upload_id_of(source)}.png", is_bare=True)
        job = msgspec.structs.replace(new_job(place), source=source, source_bytes=len(PICTURE), principal=SHOP.id)
        entry = await self.queue.enqueue(job, now)
        assert isinstance(entry, Accepted)
        await self.queue.activate(entry.number, (), now)
        return entry

    async def taken_in(self) -> tuple[Source, Accepted]:
        async with self.uploads.received(sent_source("a"), SHOP, chunks(PICTURE)) as source:
            return source, await self.enqueue(source)

    async def fetched(self, source: Source) -> bytes:
        with self.transfers.open(source) as fetch:
            return (await fetch.finish()).read()


class Cluster:
    """Nodes on one database, which is empty at first."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._database = PostgresHouse(server)
        self._nodes: list[Node] = []
        self.now = START

    async def node(self, pooler: PgBouncer | None = None) -> Node:
        address = self._database.address
        if pooler is not None:
            address = Address(pooler.url(self._database.database), address.url)
        made = Node(await PostgresQueue.open(address, Config(), START), self)
        self._nodes.append(made)
        return made

    def rows(self, table: str) -> int:
        [(count,)] = self._server.execute(f"SELECT count(*) FROM imgserve.{table}", self._database.database)
        return int(str(count))

    def is_empty(self) -> bool:
        return self.rows("upload") == self.rows("upload_part") == 0

    def lose_parts(self) -> None:
        self._server.execute("DELETE FROM imgserve.upload_part", self._database.database)

    def cut(self) -> None:
        """All connections of the nodes."""
        self._server.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            f" WHERE datname = '{self._database.database}' AND usename <> 'postgres'"
        )

    def bury(self) -> None:
        """No node has been seen for long."""
        self._server.execute("UPDATE imgserve.node SET seen_at = '-infinity'", self._database.database)

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Nobody can connect, and all connections are cut."""
        self._server.execute(f"ALTER DATABASE {self._database.database} ALLOW_CONNECTIONS false")
        self.cut()
        try:
            yield
        finally:
            self._server.execute(f"ALTER DATABASE {self._database.database} ALLOW_CONNECTIONS true")

    async def aclose(self) -> None:
        for node in self._nodes:
            await node.transfers.aclose()
            await node.queue.aclose()
        self._database.close()


@pytest.fixture
async def cluster(postgres: Postgres) -> AsyncIterator[Cluster]:
    made = Cluster(postgres)
    yield made
    await made.aclose()


def chunks(*parts: bytes) -> NextChunk:
    left = [*parts, b""]

    async def chunk() -> bytes:
        return left.pop(0)

    return chunk


async def test_one_node_receives_another_reads_and_deletes(cluster: Cluster) -> None:
    api, runner = await cluster.node(), await cluster.node()
    source, _ = await api.taken_in()
    assert cluster.rows("upload_part") == 4
    assert await runner.fetched(source) == PICTURE
    await runner.queue.settle(ended(await claimed(runner.queue), "delivered"), START)
    await runner.uploads.tidy()
    assert cluster.is_empty()


async def test_through_a_pooler_that_changes_the_session(postgres: Postgres, cluster: Cluster) -> None:
    with PgBouncer(postgres, pool_size=2) as pooler:
        first, second = await cluster.node(pooler), await cluster.node(pooler)
        (one, _), (other, _) = await asyncio.gather(first.taken_in(), second.taken_in())
        assert await second.fetched(one) == await first.fetched(other) == PICTURE


async def test_nodes_share_the_quota(cluster: Cluster) -> None:
    first, second = await cluster.node(), await cluster.node()
    _, job = await first.taken_in()
    await second.taken_in()
    with pytest.raises(UploadQuotaFull):
        await first.taken_in()
    await second.queue.cancel(job.id, START)
    await first.taken_in()


async def test_of_many_that_reserve_at_once_no_more_are_let_in_than_have_room(cluster: Cluster) -> None:
    nodes = [await cluster.node(), await cluster.node()]
    taken = await asyncio.gather(*(node.taken_in() for node in nodes * 3), return_exceptions=True)
    refusals = [error for error in taken if isinstance(error, Exception)]
    assert all(isinstance(error, UploadQuotaFull) for error in refusals), refusals
    assert len(refusals) >= 4
    assert cluster.rows("upload") == 6 - len(refusals)


async def test_what_a_dead_node_was_receiving_another_one_deletes(cluster: Cluster) -> None:
    dying, other = await cluster.node(), await cluster.node()
    await dying.queue.reserve_upload(KeptUpload(ID, SHOP.id, len(PICTURE)), START)
    assert dying.queue.upload_parts is not None
    await dying.queue.upload_parts.add(ID, 0, PICTURE[:UPLOAD_PART_BYTES], is_last=False)
    for later_s, is_empty in ((HOUR_S - 1, False), (HOUR_S + 1, True)):
        cluster.now = START + later_s
        await other.uploads.tidy()
        assert cluster.is_empty() == is_empty


async def test_what_a_node_was_receiving_goes_when_it_counts_as_dead(cluster: Cluster) -> None:
    """Its room would be taken for an hour."""
    frozen = await cluster.node()
    async with frozen.uploads.received(sent_source("a"), SHOP, chunks(PICTURE)) as source:
        await frozen.enqueue(source)
    async with frozen.uploads.received(sent_source("a"), SHOP, chunks(PICTURE)) as late:
        cluster.bury()
        other = await cluster.node()
        await other.uploads.tidy()
        assert cluster.rows("upload") == 1
        assert await other.fetched(source) == PICTURE
        with pytest.raises(SourceGone):
            await frozen.enqueue(late)


async def test_a_node_that_wakes_too_late_stores_no_job_without_its_picture(cluster: Cluster) -> None:
    frozen, other = await cluster.node(), await cluster.node()
    async with frozen.uploads.received(sent_source("a"), SHOP, chunks(PICTURE)) as source:
        cluster.now = START + HOUR_S + 1
        await other.uploads.tidy()
        with pytest.raises(SourceGone):
            await frozen.enqueue(source, cluster.now)
    assert cluster.is_empty()
    with pytest.raises(UploadNotStored):
        await frozen.store.receive("f" * 32, chunks(PICTURE))


async def test_a_connection_that_was_cut_is_made_anew(cluster: Cluster) -> None:
    node = await cluster.node()
    await node.queue.reserve_upload(KeptUpload(ID, SHOP.id, len(PICTURE)), START)
    left = [PICTURE[:UPLOAD_PART_BYTES], PICTURE[UPLOAD_PART_BYTES:], b""]

    async def cut_off() -> bytes:
        cluster.cut()
        return left.pop(0)

    written = await node.store.receive(ID, cut_off)
    cluster.cut()
    assert await node.fetched(received(sent_source("a"), ID, written.sha256)) == PICTURE


async def test_the_database_ends_the_transaction_of_a_node_that_stops_there(
    postgres: Postgres, cluster: Cluster
) -> None:
    def states(db: ReadConnection) -> list[tuple[object, ...]]:
        timeout = db.execute("SELECT current_setting('idle_in_transaction_session_timeout')").get
        find = f"SELECT state, '{timeout}' FROM pg_stat_activity WHERE pid = {db.raw.info.backend_pid}"
        return postgres.execute(find)

    assert await (await cluster.node()).queue._parts._run(states) == [("idle in transaction", "10s")]


async def test_without_the_database_a_picture_is_not_stored(cluster: Cluster) -> None:
    node = await cluster.node()
    await node.queue.reserve_upload(KeptUpload(ID, SHOP.id, len(PICTURE)), START)
    source = received(sent_source("a"), ID, bytes(32))
    with cluster.shut(), pytest.raises(StorageFailing) as refused:
        await node.store.receive(ID, chunks(PICTURE))
    assert "127.0.0.1" not in refused.value.sentence(), "clients need not know where it is"
    await node.store.receive(ID, chunks(PICTURE))
    with cluster.shut(), pytest.raises(SourceUnavailable) as unread:
        await node.fetched(source)
    assert unread.value.is_retryable


async def test_a_picture_of_which_the_database_lost_a_part_is_not_stored(cluster: Cluster) -> None:
    """Parts but the last are committed without a sync, and the database may have crashed before the last one came."""
    node = await cluster.node()
    await node.queue.reserve_upload(KeptUpload(ID, SHOP.id, len(PICTURE)), START)
    parts = node.queue.upload_parts
    assert parts is not None
    await parts.add(ID, 0, b"first", is_last=False)
    cluster.lose_parts()
    with pytest.raises(StorageFailing, match="lost with the database"):
        await parts.add(ID, 1, b"last", is_last=True)
    assert cluster.rows("upload_part") == 0


async def test_a_picture_that_is_stored_survives_the_death_of_the_database() -> None:
    with Postgres({"fsync": "off"}) as server:  # what is with the kernel outlives kill -9
        cluster = Cluster(server)
        node = await cluster.node()
        await node.queue.reserve_upload(KeptUpload(ID, SHOP.id, len(PICTURE)), START)
        written = await node.store.receive(ID, chunks(PICTURE))
        server.kill()
        server.start()
        assert await node.fetched(received(sent_source("a"), ID, written.sha256)) == PICTURE
        await node.transfers.aclose()
        await node.queue.aclose()
