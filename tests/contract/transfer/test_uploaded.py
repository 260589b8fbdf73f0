"""The files of uploaded pictures: written, read back, deleted."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from imgserve.request.limits import Limits
from imgserve.request.source import Source, received, sent_source
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import (
    SourceDigestMismatch,
    SourceLost,
    SourceTooLarge,
    SourceUnavailable,
    UploadNotStored,
)
from imgserve.transfer.protocols.uploaded import Uploaded, Written
from tests.support.transfers import destination

ID = "0123456789abcdef" * 2
PICTURE = os.urandom(1000) * 2600


@pytest.fixture
async def uploaded(tmp_path: Path) -> AsyncIterator[Uploaded]:
    files = Uploaded(tmp_path / "uploads")
    yield files
    await files.aclose()


@pytest.fixture
async def transfers(uploaded: Uploaded) -> AsyncIterator[Transfers]:
    made = Transfers(Config(), Limits(source_bytes=3_000_000), uploads=uploaded)
    yield made
    await made.aclose()


def chunks(*parts: bytes) -> Callable[[], Awaitable[bytes]]:
    left = [*parts, b""]

    async def chunk() -> bytes:
        return left.pop(0)

    return chunk


def source(upload_id: str = ID, data: bytes = PICTURE) -> Source:
    return received(sent_source("photo.jpg"), upload_id, hashlib.sha256(data).digest())


def files_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("uploads/*"))


async def fetched(transfers: Transfers, place: Source) -> bytes:
    with transfers.open(place) as fetch:
        return (await fetch.finish()).read()


async def test_there_and_back(uploaded: Uploaded, transfers: Transfers, tmp_path: Path) -> None:
    assert await uploaded.ids() == frozenset()
    written = await uploaded.receive(ID, chunks(*(PICTURE[at : at + 70_000] for at in range(0, len(PICTURE), 70_000))))
    assert written == Written(len(PICTURE), hashlib.sha256(PICTURE).digest())
    transfers.check_source(source())
    assert await fetched(transfers, source()) == PICTURE
    with pytest.raises(SourceDigestMismatch):
        await fetched(transfers, source(data=b"another"))
    assert await uploaded.ids() == {ID}
    await uploaded.remove("of a damaged row", ID, "f" * 32)
    assert files_in(tmp_path) == []


async def test_what_comes_incomplete_leaves_nothing(uploaded: Uploaded, tmp_path: Path) -> None:
    async def broken() -> bytes:
        raise SourceUnavailable("the client has gone")

    with pytest.raises(SourceUnavailable, match="gone"):
        await uploaded.receive(ID, broken)
    never, is_begun = asyncio.Event(), asyncio.Event()

    async def hanging() -> bytes:
        is_begun.set()
        await never.wait()
        return b""

    receiving = asyncio.create_task(uploaded.receive("f" * 32, hanging))
    await is_begun.wait()
    assert files_in(tmp_path) == ["f" * 32]
    receiving.cancel()
    await asyncio.wait([receiving])
    await uploaded.aclose()
    assert files_in(tmp_path) == []


async def test_an_id_is_used_once(uploaded: Uploaded, tmp_path: Path) -> None:
    await uploaded.receive(ID, chunks(b"first"))
    with pytest.raises(UploadNotStored):
        await uploaded.receive(ID, chunks(b"second"))
    assert (tmp_path / "uploads" / ID).read_bytes() == b"first"


@pytest.mark.parametrize("upload_id", ["f" * 32, "../a", "", "A" * 32, "/etc/passwd"])
async def test_a_row_without_its_file(transfers: Transfers, tmp_path: Path, upload_id: str) -> None:
    (tmp_path / "a").write_bytes(b"secret")
    with pytest.raises(SourceLost):
        await fetched(transfers, source(upload_id))


async def test_neither_a_link_nor_a_directory_is_read(uploaded: Uploaded, transfers: Transfers, tmp_path: Path) -> None:
    await uploaded.receive("f" * 32, chunks(b"x"))
    (tmp_path / "uploads" / ID).symlink_to("/etc/passwd")
    with pytest.raises(SourceUnavailable):
        await fetched(transfers, source())
    (tmp_path / "uploads" / ID).unlink()
    (tmp_path / "uploads" / ID).mkdir()
    with pytest.raises(SourceUnavailable):
        await fetched(transfers, source())


async def test_a_disk_that_cannot_be_written(uploaded: Uploaded, tmp_path: Path) -> None:
    (tmp_path / "uploads").write_bytes(b"a file in its place")
    with pytest.raises(UploadNotStored, match="cannot be written"):
        await uploaded.receive(ID, chunks(b"x"))


async def test_the_limit_of_a_source_holds(uploaded: Uploaded, transfers: Transfers) -> None:
    await uploaded.receive(ID, chunks(bytes(3_000_001)))
    with pytest.raises(SourceTooLarge):
        await fetched(transfers, source())


async def test_no_destination_is_the_same_place(transfers: Transfers) -> None:
    assert not await transfers.is_same_file(source(), destination("file", "file:///srv/a.png"), "")
