"""The life of uploaded pictures: a real queue and real files, without a server."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from imgserve.engine.config import UploadConfig
from imgserve.engine.intake import Draining
from imgserve.engine.uploads import UploadQuotaFull, Uploads, UploadsFull
from imgserve.jobs.config import Config
from imgserve.jobs.faults import DiskFull, StorageFailing
from imgserve.jobs.model import Accepted
from imgserve.jobs.sqlite.queue import SqliteQueue
from imgserve.request.principal import Principal
from imgserve.request.source import Source, sent_source, upload_id_of
from imgserve.transfer.faults import UploadNotStored
from imgserve.transfer.protocols.uploaded import Uploaded
from tests.support.queues import START, new_job, output

SHOP, OTHER = Principal("@shop", "shop", has_quota=True), Principal("@other", "other", has_quota=True)
PICTURE = bytes(100)


def chunks(*parts: bytes) -> Callable[[], Awaitable[bytes]]:
    left = [*parts, b""]

    async def chunk() -> bytes:
        return left.pop(0)

    return chunk


class House:
    def __init__(self, top: Path) -> None:
        self.directory = top / "uploads"
        self._top = top
        self._now = START

    async def open(self, config: UploadConfig, queue_config: Config | None = None) -> Uploads:
        self.queue = await SqliteQueue.open(self._top, queue_config or Config(), START)
        self.files = Uploaded(self.directory)
        self.uploads = Uploads(self.queue, self.files, config, 0.5, 1000, lambda: self._now)
        await self.uploads.start()
        return self.uploads

    def pass_time(self, seconds: float) -> None:
        self._now += seconds

    async def close(self) -> None:
        await self.queue.aclose()
        await self.files.aclose()

    async def store(self, source: Source) -> Accepted:
        place = output(f"http://place.test:80/{upload_id_of(source)}.png", is_bare=True)
        job = msgspec.structs.replace(new_job(place), source=source, source_bytes=100, principal="@shop")
        entry = await self.queue.enqueue(job, START)
        assert isinstance(entry, Accepted)
        await self.queue.activate(entry.number, (), START)
        return entry

    @property
    def names(self) -> set[str]:
        return {path.name for path in self.directory.glob("*")}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    yield made
    await made.close()


async def kept(house: House, uploads: Uploads, principal: Principal = SHOP) -> Accepted:
    async with uploads.received(sent_source("a"), principal, chunks(PICTURE), 100) as source:
        return await house.store(source)


async def test_a_file_stays_with_a_stored_job_alone(house: House) -> None:
    uploads = await house.open(UploadConfig())
    async with uploads.received(sent_source("a"), SHOP, chunks(PICTURE)) as source:
        assert house.names == {upload_id_of(source)}
    assert house.names == set()
    await kept(house, uploads)
    assert len(house.names) == 1


@pytest.mark.parametrize("error", [StorageFailing("the disk"), Draining("the end")])
async def test_where_a_job_may_be_stored_yet_the_next_start_decides(house: House, error: Exception) -> None:
    uploads = await house.open(UploadConfig())
    stored = await kept(house, uploads)
    [own] = house.names
    with pytest.raises(type(error)):
        async with uploads.received(sent_source("a"), SHOP, chunks(PICTURE)):
            raise error
    assert len(house.names) == 2
    await house.close()
    await house.open(UploadConfig())
    assert house.names == {own}
    assert (await house.queue.job(stored.id)).status == "queued"


async def test_what_a_failing_storage_left_goes_when_it_answers(house: House) -> None:
    """Each such request would take room until the next start, on a disk that may be full."""
    uploads = await house.open(UploadConfig(quota_bytes=199))

    async def refused(*, is_stored: bool) -> str:
        with suppress(StorageFailing):
            async with uploads.received(sent_source("a"), SHOP, chunks(PICTURE), 100) as source:
                if is_stored:
                    await house.store(source)
                raise StorageFailing("the disk")
        return upload_id_of(source)

    await refused(is_stored=False)
    stored = await refused(is_stored=True)
    with pytest.raises(UploadQuotaFull):
        await kept(house, uploads)
    assert house.names == {stored}


async def test_all_keys_share_the_room_of_the_data_directory(house: House) -> None:
    uploads = await house.open(UploadConfig(quota_bytes=250, max_bytes=299))
    first = await kept(house, uploads)
    await kept(house, uploads)
    with pytest.raises(UploadQuotaFull):
        await kept(house, uploads)
    with pytest.raises(UploadsFull):
        await kept(house, uploads, OTHER)
    # As full as before, by another server.
    await house.close()
    uploads = await house.open(UploadConfig(quota_bytes=250, max_bytes=299))
    with pytest.raises(UploadsFull):
        await kept(house, uploads, OTHER)
    await house.queue.cancel(first.id, START)
    await kept(house, uploads, OTHER)
    assert len(house.names) == 2


async def test_room_is_reserved_before_the_bytes_come(house: House) -> None:
    uploads = await house.open(UploadConfig(quota_bytes=250))
    async with uploads.received(sent_source("a"), SHOP, chunks(b"x"), 200):
        pass
    asked = False

    async def later() -> bytes:
        nonlocal asked
        if not asked:
            asked = True
            with pytest.raises(UploadQuotaFull):
                async with uploads.received(sent_source("b"), SHOP, chunks(b"x"), 100):
                    pass
        return b""

    async with (
        uploads.received(sent_source("a"), SHOP, later, 200),
        uploads.received(sent_source("b"), SHOP, chunks(b"x"), 100),  # the first one was empty
    ):
        assert asked


async def test_the_disk_keeps_room_for_the_queue(house: House) -> None:
    uploads = await house.open(UploadConfig(), Config(min_free_disk_bytes=2**60))
    with pytest.raises(DiskFull):
        await kept(house, uploads)
    assert house.names == set()


async def test_what_is_coming_counts_for_the_disk(house: House, tmp_path: Path) -> None:
    await house.open(UploadConfig())
    much = int(shutil.disk_usage(tmp_path).free * 0.6)
    config = UploadConfig(quota_bytes=4 * much, max_bytes=4 * much)
    uploads = Uploads(house.queue, house.files, config, 0.5, much, lambda: START)

    async def sent() -> None:
        async with uploads.received(sent_source("a"), SHOP, chunks(PICTURE), much):
            pass

    first, second = await asyncio.gather(sent(), sent(), return_exceptions=True)
    assert first is None
    assert isinstance(second, DiskFull)
    await sent()


async def test_two_servers_of_one_queue_share_quota_and_pictures(house: House) -> None:
    uploads = await house.open(UploadConfig(quota_bytes=250, max_bytes=299))
    second = Uploads(house.queue, house.files, UploadConfig(quota_bytes=250, max_bytes=299), 0.5, 1000, lambda: START)
    async with uploads.received(sent_source("a"), SHOP, chunks(PICTURE), 100) as source:
        first = await house.store(source)
    await kept(house, second)
    with pytest.raises(UploadQuotaFull):
        await kept(house, second)
    with pytest.raises(UploadsFull):
        await kept(house, uploads, OTHER)
    await house.queue.cancel(first.id, START)
    await kept(house, second, OTHER)
    assert upload_id_of(source) not in house.names


async def test_a_picture_that_cannot_be_deleted_now_is_deleted_later(house: House) -> None:
    uploads = await house.open(UploadConfig(quota_bytes=199))
    first = await kept(house, uploads)
    [name] = house.names
    (house.directory / name).unlink()
    (house.directory / name).mkdir()
    await house.queue.cancel(first.id, START)
    with pytest.raises(UploadNotStored):
        await kept(house, uploads)
    house.pass_time(59)
    with pytest.raises(UploadQuotaFull):
        await kept(house, uploads)
    (house.directory / name).rmdir()
    house.pass_time(2)
    await kept(house, uploads)
