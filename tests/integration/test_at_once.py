"""Small files that the kernel has in memory: read without a thread, and the same as by one."""

import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from imgserve.blob import Blob
from imgserve.request.limits import Limits
from imgserve.request.source import Source, parse_source
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import SourceRefused
from imgserve.transfer.protocols import at_once, roots
from imgserve.transfer.version import Version
from tests.support.sizes import PATIENCE_S

PICTURE = os.urandom(70_000)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(roots, "LOOK_EVERY_S", PATIENCE_S)  # on a busy machine a second is soon over
    directory = tmp_path / "root"
    directory.mkdir()
    (directory / "first").write_bytes(b"first")
    with (directory / "first").open("rb") as file:
        try:
            os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except BlockingIOError:
            pass
        except OSError:
            pytest.skip("this file system cannot say that a read would wait")
    return directory


@pytest_asyncio.fixture
async def transfers(root: Path) -> AsyncIterator[Transfers]:
    transfers = Transfers(Config(read_roots=(str(root),), memory_bytes=1_000_000), Limits(source_bytes=80_000))
    yield transfers
    await transfers.aclose()


def source_of(path: Path) -> Source:
    return parse_source(f"file://{path}")


async def fetched(transfers: Transfers, path: Path) -> tuple[bytes, Version]:
    with transfers.open(source_of(path)) as fetch:
        return (await fetch.finish()).read(), fetch.version


def _follow(link: Path) -> None:
    """Until the kernel need not change its time of access any more, which it does at the first access in a tick."""
    for _ in range(100):
        link.read_bytes()
        if link.lstat().st_atime_ns > link.lstat().st_ctime_ns:
            break
        time.sleep(0.002)


def read(transfers: Transfers, path: Path) -> tuple[bytes, Version] | None:
    if (found := transfers.read_at_once(source_of(path))) is None:
        return None
    with found[0] as blob:
        return blob.read(), found[1]


async def test_it_is_what_a_thread_reads(transfers: Transfers, root: Path) -> None:
    file = root / "picture"
    file.write_bytes(PICTURE)
    assert read(transfers, file) is None, "no thread has tried the file system yet"
    by_thread = await fetched(transfers, root / "first")
    assert read(transfers, root / "first") == by_thread
    assert read(transfers, file) == await fetched(transfers, file)
    before = read(transfers, file)
    file.write_bytes(PICTURE[1:])
    after = read(transfers, file)
    assert before is not None
    assert after is not None
    assert (before[0], after[0]) == (PICTURE, PICTURE[1:])
    assert before[1] != after[1]


async def test_what_a_thread_has_to_read_or_refuse(
    transfers: Transfers, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = root.parent / "outside"
    outside.write_bytes(b"secret")
    (root / "directory").mkdir()
    os.mkfifo(root / "fifo")
    (root / "empty").touch()
    (root / "large").write_bytes(bytes(80_001))
    (root / "out").symlink_to("../outside")
    (root / "in").symlink_to("first")
    _follow(root / "out")
    await fetched(transfers, root / "first")
    for name in ("directory", "fifo", "empty", "large", "out", "missing"):
        assert read(transfers, root / name) is None, name
    with pytest.raises(SourceRefused):
        transfers.read_at_once(source_of(outside))
    assert transfers.read_at_once(parse_source("http://source.test/first")) is None
    assert await fetched(transfers, root / "in") == read(transfers, root / "in") == read(transfers, root / "first")
    monkeypatch.setattr(at_once, "MOST_BYTES", 4)
    assert read(transfers, root / "first") is None


@pytest.mark.parametrize("size", [60_000, 70_000, 75_000])
async def test_a_file_that_is_written_meanwhile_is_left_to_a_thread(
    transfers: Transfers, root: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    file, preadv = root / "picture", os.preadv
    file.write_bytes(PICTURE)
    os.utime(file, (1, 1))  # else both writes may be in one tick of the clock
    await fetched(transfers, root / "first")

    def preceded(*arguments: Any) -> int:
        with file.open("r+b") as opened:
            opened.truncate(size)
            opened.write(b"x")
        return preadv(*arguments)

    assert read(transfers, file) is not None
    monkeypatch.setattr(os, "preadv", preceded)
    assert read(transfers, file) is None


async def test_bytes_that_are_on_the_disk_alone(transfers: Transfers, root: Path) -> None:
    file = root / "picture"
    file.write_bytes(PICTURE)
    await fetched(transfers, file)
    assert read(transfers, file) is not None
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert read(transfers, file) is None
    await fetched(transfers, file)
    assert read(transfers, file) is not None


async def test_a_directory_is_looked_at_again(
    transfers: Transfers, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fetched(transfers, root / "first")
    assert read(transfers, root / "first") is not None
    monkeypatch.setattr(roots, "LOOK_EVERY_S", 0.0)
    assert read(transfers, root / "first") is None


async def test_its_memory_is_counted(transfers: Transfers, root: Path) -> None:
    (root / "picture").write_bytes(PICTURE)
    await fetched(transfers, root / "first")
    held = list[Blob]()
    while (found := transfers.read_at_once(source_of(root / "picture"))) is not None:
        held.append(found[0])
        assert transfers.budget.held == len(held) * len(PICTURE)
    assert len(held) == 500_000 // len(PICTURE), "half of the memory is for those that may wait"
    for blob in held:
        blob.close()
    assert transfers.budget.held == 0


@pytest.fixture
def unable() -> Iterator[Path]:
    """A file of a file system that cannot say that a read would wait."""
    file = Path(f"/dev/shm/imgserve-test-{os.getpid()}")
    file.write_bytes(b"picture")
    try:
        with file.open("rb") as opened:
            os.preadv(opened.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        pytest.skip("the file system in memory can say so here")
    except OSError:
        yield file
    finally:
        file.unlink()


async def test_a_file_system_that_cannot_tell_is_left_to_threads(unable: Path) -> None:
    transfers = Transfers(Config(read_roots=(str(unable.parent),)), Limits())
    try:
        assert (await fetched(transfers, unable))[0] == b"picture"
        assert read(transfers, unable) is None
    finally:
        await transfers.aclose()


@contextmanager
def mounted(directory: Path, *arguments: str) -> Iterator[None]:
    subprocess.run(["mount", *arguments, str(directory)], check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True, timeout=10)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
async def test_a_link_to_another_file_system_tells_nothing_of_its_own(root: Path, tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    with mounted(top, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        (top / "local").mkdir()
        (top / "link").symlink_to("local/first")
        with mounted(top / "local", "--bind", str(root)):
            transfers = Transfers(Config(read_roots=(str(top),)), Limits())
            try:
                for name in ("link", "local/first"):
                    assert (await fetched(transfers, top / name))[0] == b"first"
                    path = transfers.files.read_roots.locate(str(top / name))
                    assert not path.root.is_quick(path.directory), "opening a file there may wait for another machine"
            finally:
                await transfers.aclose()
