"""Uploaded pictures in every store: received, read back, deleted."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from imgserve.engine.uploaded_parts import UploadedParts
from imgserve.jobs.protocol import KeptUpload, Queue
from imgserve.request.limits import Limits
from imgserve.request.source import Source, received, sent_source
from imgserve.transfer.config import Config
from imgserve.transfer.credentials import Credentials
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import (
    SourceDigestMismatch,
    SourceLost,
    SourceTooLarge,
    SourceUnavailable,
    UploadNotStored,
)
from imgserve.transfer.protocols.uploaded import Uploaded
from imgserve.transfer.protocols.uploaded_objects import UploadedObjects
from imgserve.transfer.uploads import NextChunk, UploadStore, Written
from tests.support.buckets import Environ, ObjectStore, StartResponse
from tests.support.habits import Habit, error, swallow
from tests.support.postgres import Postgres
from tests.support.postgres_house import PostgresHouse
from tests.support.queues import START
from tests.support.transfers import destination

ID = "0123456789abcdef" * 2
PICTURE = os.urandom(1000) * 2600


class House:
    """A store, and the transfers that read from it."""

    def __init__(
        self, store: UploadStore, transfers: Transfers, names: Callable[[], Iterable[str]], queue: Queue | None = None
    ) -> None:
        self.store = store
        self.transfers = transfers
        self._names = names
        self._queue = queue
        transfers.read_uploads_of(store)

    @property
    def names(self) -> list[str]:
        return sorted(self._names())

    async def receive(self, upload_id: str, next_chunk: NextChunk) -> Written:
        """As ``engine/uploads`` does: in room that is reserved, if there is a queue."""
        if self._queue is not None:
            await self._queue.reserve_upload(KeptUpload(upload_id, "", 0), START)
        return await self.store.receive(upload_id, next_chunk)

    async def fetched(self, source: Source) -> bytes:
        with self.transfers.open(source) as fetch:
            return (await fetch.finish()).read()

    async def returned(self, data: bytes) -> bytes:
        """Stored, and read back."""
        await self.receive(ID, chunks(data))
        return await self.fetched(source(data=data))

    async def aclose(self) -> None:
        await self.transfers.aclose()
        await self.store.aclose()


class Shut(Habit):
    """A bucket that refuses all but ``methods``."""

    methods_taken: frozenset[str] = frozenset({"GET", "HEAD", "PUT", "DELETE"})

    def behave(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in self.methods_taken:
            return self.app(environ, start)
        swallow(environ)
        return error(start, "403 Forbidden")


def transfers_with(credentials: Credentials | None = None) -> Transfers:
    return Transfers(Config(), Limits(source_bytes=3_000_000), credentials=credentials)


def of_files(top: Path) -> House:
    return House(Uploaded(top / "uploads"), transfers_with(), lambda: (path.name for path in top.glob("uploads/*")))


def of_objects(bucket: ObjectStore) -> House:
    transfers = transfers_with(bucket.credentials)
    place = f"{bucket.url}/kept/here/"
    store = UploadedObjects(place, transfers.s3, transfers.receive, 10)
    return House(store, transfers, lambda: (name.removeprefix("kept/here/") for name in bucket.names()))


@asynccontextmanager
async def in_database(server: Postgres) -> AsyncIterator[House]:
    database = PostgresHouse(server)
    queue = await database.open()
    assert queue.upload_parts is not None

    def names() -> Iterable[str]:
        rows = server.execute("SELECT DISTINCT upload FROM imgserve.upload_part", database.database)
        return (str(name) for (name,) in rows)

    house = House(UploadedParts(queue.upload_parts), transfers_with(), names, queue)
    yield house
    await house.aclose()
    await database.crash()
    database.close()


@pytest.fixture(params=["files", "objects", "database"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    if request.param == "database":
        async with in_database(request.getfixturevalue("postgres")) as made:
            yield made
    elif request.param == "files":
        made = of_files(tmp_path)
        yield made
        await made.aclose()
    else:
        with ObjectStore() as bucket:
            made = of_objects(bucket)
            yield made
            await made.aclose()


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[House]:
    made = of_files(tmp_path)
    yield made
    await made.aclose()


def chunks(*parts: bytes) -> Callable[[], Awaitable[bytes]]:
    left = [*parts, b""]

    async def chunk() -> bytes:
        return left.pop(0)

    return chunk


def source(upload_id: str = ID, data: bytes = PICTURE) -> Source:
    return received(sent_source("photo.jpg"), upload_id, hashlib.sha256(data).digest())


async def test_there_and_back(house: House) -> None:
    pieces = (PICTURE[at : at + 70_000] for at in range(0, len(PICTURE), 70_000))
    written = await house.receive(ID, chunks(*pieces))
    assert written == Written(len(PICTURE), hashlib.sha256(PICTURE).digest())
    assert house.names == [ID]
    house.transfers.check_source(source())
    assert await house.fetched(source()) == PICTURE
    with pytest.raises(SourceDigestMismatch):
        await house.fetched(source(data=b"another"))
    await house.store.remove("of a damaged row", ID, "f" * 32)
    assert house.names == []


async def test_one_without_bytes_is_stored_too(house: House) -> None:
    """Its job is refused for it, with a fault that names the source."""
    assert await house.returned(b"") == b""


async def test_what_comes_incomplete_leaves_nothing(house: House) -> None:
    async def broken() -> bytes:
        raise SourceUnavailable("the client has gone")

    with pytest.raises(SourceUnavailable, match="gone"):
        await house.receive(ID, broken)
    never, is_begun = asyncio.Event(), asyncio.Event()

    async def hanging() -> bytes:
        is_begun.set()
        await never.wait()
        return b""

    receiving = asyncio.create_task(house.receive("f" * 32, hanging))
    await is_begun.wait()
    receiving.cancel()
    await asyncio.wait([receiving])
    await house.aclose()
    assert house.names == []


@pytest.mark.parametrize("upload_id", ["f" * 32, "../a", "", "A" * 32, "/etc/passwd"])
async def test_a_row_without_its_picture(house: House, tmp_path: Path, upload_id: str) -> None:
    (tmp_path / "a").write_bytes(b"secret")
    with pytest.raises(SourceLost):
        await house.fetched(source(upload_id))


async def test_the_limit_of_a_source_holds(house: House) -> None:
    with pytest.raises(SourceTooLarge):
        await house.returned(bytes(3_000_001))


async def test_no_destination_is_the_same_place(house: House) -> None:
    assert not await house.transfers.is_same_file(source(), destination("file", "file:///srv/a.png"), "")


async def test_an_earlier_servers_files_are_found(files: House) -> None:
    assert await files.store.orphans(frozenset()) == frozenset()
    for name in (ID, "f" * 32):
        await files.store.receive(name, chunks(b"x"))
    assert await files.store.orphans(frozenset({ID, "e" * 32})) == {"f" * 32}


async def test_an_id_is_used_once(files: House, tmp_path: Path) -> None:
    await files.store.receive(ID, chunks(b"first"))
    with pytest.raises(UploadNotStored):
        await files.store.receive(ID, chunks(b"second"))
    assert (tmp_path / "uploads" / ID).read_bytes() == b"first"


async def test_neither_a_link_nor_a_directory_is_read(files: House, tmp_path: Path) -> None:
    await files.store.receive("f" * 32, chunks(b"x"))
    (tmp_path / "uploads" / ID).symlink_to("/etc/passwd")
    with pytest.raises(SourceUnavailable):
        await files.fetched(source())
    (tmp_path / "uploads" / ID).unlink()
    (tmp_path / "uploads" / ID).mkdir()
    with pytest.raises(SourceUnavailable):
        await files.fetched(source())


async def test_a_disk_that_cannot_be_written(files: House, tmp_path: Path) -> None:
    (tmp_path / "uploads").write_bytes(b"a file in its place")
    with pytest.raises(UploadNotStored, match="cannot be written"):
        await files.store.receive(ID, chunks(b"x"))


async def test_of_a_bucket_that_refuses_clients_learn_no_more() -> None:
    habit = Shut()
    with ObjectStore(habit) as bucket:
        house = of_objects(bucket)
        habit.methods_taken = frozenset()
        with pytest.raises(UploadNotStored) as refused:
            await house.receive(ID, chunks(PICTURE))
        assert str(bucket.endpoint).partition("//")[2] not in refused.value.sentence()
        habit.methods_taken = Shut.methods_taken
        for name in (ID, "f" * 32):
            await house.receive(name, chunks(b"x"))
        habit.methods_taken -= {"DELETE"}
        with pytest.raises(UploadNotStored):
            await house.store.remove(ID, "f" * 32)
        habit.methods_taken = Shut.methods_taken
        await house.store.remove(ID, "f" * 32)
        assert house.names == []
        await house.aclose()


async def test_what_is_in_a_shared_bucket_may_be_another_servers() -> None:
    with ObjectStore() as bucket:
        first, second = of_objects(bucket), of_objects(bucket)
        await first.store.receive(ID, chunks(PICTURE))
        assert await second.store.orphans(frozenset()) == frozenset()
        assert await second.fetched(source()) == PICTURE
        for house in (first, second):
            await house.aclose()


async def test_memory_for_a_picture_is_reserved_before_it_comes() -> None:
    with ObjectStore() as bucket:
        house = of_objects(bucket)
        held: list[int] = []

        async def looking() -> bytes:
            held.append(house.transfers.budget.held)
            return b"" if len(held) == 2 else b"x"

        await house.receive(ID, looking)
        assert held[0] == 3_000_000
        assert house.transfers.budget.held == 0
        await house.aclose()
