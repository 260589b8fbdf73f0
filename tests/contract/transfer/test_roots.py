"""The directories of --read-root and --write-root, which change while the server runs, and what lies in them."""

import asyncio
import errno
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from imgserve.blob import Blob, Fingerprint
from imgserve.request import tags
from imgserve.request.classic.destination import parse_destination
from imgserve.request.destination import Destination
from imgserve.request.faults import RequestInvalid
from imgserve.request.limits import Limits
from imgserve.request.source import parse_source
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers, Write
from imgserve.transfer.faults import DeliveryFailed, NotOurs, RootUnavailable, SourceUnavailable
from imgserve.transfer.protocols import file
from tests.support.transfers import deliver_bytes, fetch_bytes, write

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


class House:
    """Transfers from and to one root, called as plain functions."""

    def __init__(self, root: Path) -> None:
        self._runner = asyncio.Runner()
        self._transfers = self._runner.run(self._open(root))

    @staticmethod
    async def _open(root: Path) -> Transfers:
        return Transfers(Config(read_roots=(str(root),), write_roots=(str(root),)), Limits())

    def deliver(self, path: Path, data: bytes = b"picture", cut_to: int | None = None) -> None:
        """``cut_to``: the blob has become shorter than it says."""
        with Blob.of(data) as blob:
            if cut_to is not None:
                os.ftruncate(blob.fd, cut_to)
            self._runner.run(self._transfers.deliver(at(path), blob, write()))

    def write(self, path: Path, wanted: Write, *, is_deletion: bool) -> None:
        if is_deletion:
            self._runner.run(self._transfers.delete(at(path), wanted))
        else:
            self._runner.run(deliver_bytes(self._transfers, at(path), b"picture", wanted))

    def fetched(self, path: Path) -> bytes:
        return self._runner.run(fetch_bytes(self._transfers, f"file://{path}"))

    def states(self) -> list[str]:
        """What the states say within the second in which the roots are looked at."""

        async def look() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await self._transfers.files.watch_roots()

        self._runner.run(look())
        return [state.detail for state in self._transfers.files.states()]

    def close(self) -> None:
        self._runner.run(self._transfers.aclose())
        self._runner.close()


@pytest.fixture
def house(root: Path) -> Iterator[House]:
    house = House(root)
    yield house
    house.close()


def at(path: Path) -> Destination:
    return parse_destination(f"file://{path}", {}).fill(tags.EXAMPLE)


@contextmanager
def mounted(directory: Path) -> Iterator[Callable[[], None]]:
    """A file system of its own at the directory; the function takes it away before the end."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)], check=True, timeout=10)
    is_there = True

    def take_away() -> None:
        nonlocal is_there
        subprocess.run(["umount", str(directory)], check=True, timeout=10)
        is_there = False

    try:
        yield take_away
    finally:
        if is_there:
            subprocess.run(["umount", "--lazy", str(directory)], check=True, timeout=10)


def test_a_root_that_was_replaced_is_opened_anew(house: House, root: Path) -> None:
    house.deliver(root / "a.png", b"old")
    root.rename(root.with_name("moved"))
    root.mkdir()
    house.deliver(root / "a.png", b"new")
    assert (root / "a.png").read_bytes() == b"new"
    assert (root.with_name("moved") / "a.png").read_bytes() == b"old"
    assert house.fetched(root / "a.png") == b"new"


def test_a_root_that_is_gone_is_told_and_comes_back(house: House, root: Path) -> None:
    root.rename(root.with_name("moved"))
    with pytest.raises(RootUnavailable) as refused:
        house.deliver(root / "a.png")
    assert refused.value.is_retryable
    assert str(root) not in refused.value.sentence()
    with pytest.raises(RootUnavailable):
        house.fetched(root / "a.png")
    assert "No such file" in house.states()[0]
    root.with_name("moved").rename(root)
    house.deliver(root / "a.png")
    assert house.states() == []


@as_root
def test_a_root_that_is_no_mount_point_any_more_is_not_written_to(tmp_path: Path, root: Path) -> None:
    with mounted(root) as take_away:
        house = House(root)
        house.deliver(root / "a.png")
        take_away()
        with pytest.raises(RootUnavailable):
            house.deliver(root / "b.png")
        with pytest.raises(RootUnavailable):
            house.fetched(root / "a.png")
        assert list(root.iterdir()) == []
        assert "nothing is mounted" in house.states()[0]
    with mounted(root):
        house.deliver(root / "b.png")
        assert (root / "b.png").exists()
        assert house.states() == []
    house.close()


@as_root
def test_a_root_that_becomes_a_mount_point_is_followed(house: House, root: Path) -> None:
    house.deliver(root / "a.png")
    with mounted(root) as take_away:
        house.deliver(root / "b.png")
        assert [path.name for path in root.iterdir()] == ["b.png"]
        take_away()
        with pytest.raises(RootUnavailable):
            house.deliver(root / "c.png")


@as_root
def test_a_file_system_mounted_over_a_directory_on_the_way_is_written_to(house: House, root: Path) -> None:
    house.deliver(root / "sub/a.png")
    with mounted(root / "sub"):
        house.deliver(root / "sub/b.png")
        assert [path.name for path in (root / "sub").iterdir()] == ["b.png"]


@as_root
@pytest.mark.parametrize(("mount", "directory"), [(".", "in"), (".", "in/deeper"), ("in/sub", "in/sub/deeper")])
def test_a_mount_point_above_or_beneath_a_root_that_is_none_any_more(
    tmp_path: Path, root: Path, mount: str, directory: str
) -> None:
    """What comes to light beneath it has the same directories."""
    top = root / "a b"
    (top / directory).mkdir(parents=True)
    with mounted(top / mount) as take_away:
        (top / directory).mkdir(parents=True, exist_ok=True)
        house = House(top / "in")
        house.deliver(top / directory / "a.png")
        assert house.fetched(top / directory / "a.png") == b"picture"
        take_away()
        for _ in range(2):
            with pytest.raises(RootUnavailable):
                house.deliver(top / directory / "b.png")
            with pytest.raises(RootUnavailable):
                house.fetched(top / directory / "a.png")
            with pytest.raises(RootUnavailable):
                house.write(top / directory / "a.png", write("failed"), is_deletion=True)
            assert house.states() == [f"nothing is mounted at {(top / mount).resolve()} any more"]
        assert list((top / directory).iterdir()) == []
        if mount != ".":
            house.deliver(top / "in/elsewhere/b.png")
    with mounted(top / mount):
        (top / directory).mkdir(parents=True, exist_ok=True)
        house.deliver(top / directory / "b.png")
        assert house.states() == []
    house.close()


@as_root
def test_what_an_automounter_took_away_is_looked_into(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It mounts again when the kernel goes into the directory; a look at the directory's name does not do."""
    (root / "sub").mkdir()
    with mounted(root / "sub") as take_away:
        house = House(root)
        house.deliver(root / "sub/a.png")
        take_away()
    with ExitStack() as stack:
        look, inside = os.stat, f"{root.resolve()}/sub/."
        looks: list[str] = []

        def automounting(path: Any, **how: Any) -> os.stat_result:
            if path == inside and not looks:
                looks.append(path)
                stack.enter_context(mounted(root / "sub"))
            return look(path, **how)

        monkeypatch.setattr(os, "stat", automounting)
        house.deliver(root / "sub/b.png")
        assert [path.name for path in (root / "sub").iterdir()] == ["b.png"]
        assert house.states() == []
        house.close()


@as_root
def test_a_root_that_is_a_link_is_followed_wherever_it_is_made_to_lead(tmp_path: Path, root: Path) -> None:
    releases = [tmp_path / name for name in ("one", "two", "three")]
    for release in releases:
        release.mkdir()
    link = tmp_path / "current"
    link.symlink_to(releases[0])
    house = House(link)
    with mounted(releases[1]):
        for release in releases:
            link.unlink()
            link.symlink_to(release)
            house.deliver(link / "a.png")
            assert house.fetched(link / "a.png") == b"picture"
            assert (release / "a.png").exists()
            assert house.states() == []
    house.close()


@pytest.mark.parametrize("directory", ["", "sub", "sub/deeper"])
def test_what_is_renamed_away_during_the_write_is_no_success(
    house: House, root: Path, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rename of the directory comes between the file's own and the last look."""
    top = root / directory.partition("/")[0]
    sync = os.fsync
    renamed = False

    def sync_and_rename(descriptor: int) -> None:
        nonlocal renamed
        sync(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) and (root / directory / "a.png").exists() and not renamed:
            renamed = True
            top.rename(root.with_name("moved"))
            top.mkdir()

    monkeypatch.setattr(os, "fsync", sync_and_rename)
    with pytest.raises(RootUnavailable, match="replaced"):
        house.deliver(root / directory / "a.png")
    assert renamed
    house.deliver(root / directory / "a.png")
    assert (root / directory / "a.png").read_bytes() == b"picture"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666, 0o4755])
def test_a_file_keeps_its_mode(house: House, root: Path, mode: int) -> None:
    (root / "a.png").write_bytes(b"old")
    (root / "a.png").chmod(mode)
    umask = os.umask(0o027)
    try:
        house.deliver(root / "a.png")
        house.deliver(root / "b.png")
    finally:
        os.umask(umask)
    assert (root / "a.png").read_bytes() == b"picture"
    assert stat.S_IMODE((root / "a.png").stat().st_mode) == mode & 0o777
    assert stat.S_IMODE((root / "b.png").stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_keeps_its_owner(house: House, root: Path) -> None:
    (root / "a.png").write_bytes(b"old")
    os.chown(root / "a.png", 12, 34)
    (root / "a.png").chmod(0o600)
    house.deliver(root / "a.png")
    status = (root / "a.png").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12, 34, 0o600)


def test_a_link_at_the_destination_is_replaced_and_lends_no_mode(house: House, root: Path) -> None:
    outside = root.with_name("outside")
    outside.write_bytes(b"outside")
    outside.chmod(0o600)
    (root / "a.png").symlink_to(outside)
    house.deliver(root / "a.png")
    assert outside.read_bytes() == b"outside"
    assert not (root / "a.png").is_symlink()
    assert (root / "a.png").stat().st_mode & 0o044


def test_sixty_four_missing_directories_are_made_and_no_more(house: House, root: Path) -> None:
    house.deliver(root / "/".join(["d"] * 64) / "a.png")
    assert (root / "/".join(["d"] * 64) / "a.png").exists()
    with pytest.raises(DeliveryFailed, match="64 directories"):
        house.deliver(root / "/".join(["e"] * 65) / "a.png")
    assert not (root / "e").exists()
    house.deliver(root / "/".join(["d"] * 128) / "a.png")  # 64 more


def test_a_path_as_long_as_linux_allows_needs_no_stack(house: House, root: Path) -> None:
    room = 4095 - len(str(root)) - len("/a.png")
    deepest = root / "/".join(["d"] * (room // 2))
    with pytest.raises(DeliveryFailed, match="64 directories"):
        house.deliver(deepest / "a.png")
    with pytest.raises(SourceUnavailable):
        house.fetched(deepest / "a.png")


@pytest.mark.parametrize(
    "path", ["/" + "d/" * 2050 + "a.png", "/" + "%C3%A4/" * 1400 + "a.png", "/" + "n" * 256, "/" + "%C3%A4" * 128]
)
def test_a_path_longer_than_linux_allows_is_no_path(path: str) -> None:
    with pytest.raises(RequestInvalid, match="at most") as refused:
        at(Path(path))
    assert [fault.code for fault in refused.value.faults] == ["destination_invalid"]
    with pytest.raises(RequestInvalid, match="at most") as refused:
        parse_source(f"file://{path}")
    assert [fault.code for fault in refused.value.faults] == ["source_invalid"]


@pytest.mark.parametrize(
    "name",
    ["EROFS", "ETIMEDOUT", "ENOTCONN", "EHOSTDOWN", "ENODEV", "ESTALE", "ENOMEM", "EAGAIN", "ENOSPC", "EIO", "ENXIO",
     "EHOSTUNREACH", "ENETUNREACH", "ECONNRESET", "EREMOTEIO"],
)  # fmt: skip
def test_what_heals_is_tried_again(name: str) -> None:
    error = OSError(getattr(errno, name), "")
    for kind in (DeliveryFailed, SourceUnavailable):
        assert file._fault(kind, "Trouble", error).is_retryable


@pytest.mark.parametrize("name", ["EACCES", "EPERM", "EISDIR", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "EINVAL"])
def test_what_does_not_heal_is_the_end(name: str) -> None:
    assert not file._fault(DeliveryFailed, "Trouble", OSError(getattr(errno, name), "")).is_retryable


@as_root
def test_a_disk_that_is_read_only_for_a_while_heals(root: Path) -> None:
    with mounted(root):
        house = House(root)
        subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True, timeout=10)
        with pytest.raises(DeliveryFailed) as refused:
            house.deliver(root / "a.png")
        assert refused.value.is_retryable
        subprocess.run(["mount", "-o", "remount,rw", str(root)], check=True, timeout=10)
        house.deliver(root / "a.png")
        house.close()


def test_a_result_that_shrinks_under_the_write_ends_it(house: House, root: Path) -> None:
    with pytest.raises(DeliveryFailed):
        house.deliver(root / "a.png", b"picture", cut_to=3)
    assert list(root.iterdir()) == []


LAID = b"a placeholder of ours"


def late(house: House, path: Path, *, is_deletion: bool = False) -> None:
    """What a job that failed long ago still owes."""
    wanted = msgspec.structs.replace(write("failed"), only_over=Fingerprint.of(LAID))
    house.write(path, wanted, is_deletion=is_deletion)


@pytest.mark.parametrize("is_deletion", [False, True])
def test_a_failure_picture_replaces_our_placeholder(house: House, root: Path, *, is_deletion: bool) -> None:
    (root / "a.png").write_bytes(LAID)
    late(house, root / "a.png", is_deletion=is_deletion)
    assert not (root / "a.png").exists() if is_deletion else (root / "a.png").read_bytes() == b"picture"
    late(house, root / "a.png", is_deletion=is_deletion)  # once more, after a crash


@pytest.mark.parametrize("is_deletion", [False, True])
@pytest.mark.parametrize("data", [b"", b"somebody's", LAID[:-1], LAID + b"!", LAID[:-1] + b"!", bytes(10**6)])
def test_a_failure_picture_replaces_nothing_else(house: House, root: Path, data: bytes, *, is_deletion: bool) -> None:
    (root / "a.png").write_bytes(data)
    with pytest.raises(NotOurs):
        late(house, root / "a.png", is_deletion=is_deletion)
    assert (root / "a.png").read_bytes() == data
    assert [path.name for path in root.iterdir()] == ["a.png"]


def test_a_failure_picture_is_not_laid_where_nothing_is(house: House, root: Path) -> None:
    with pytest.raises(NotOurs):
        late(house, root / "a.png")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
def test_a_failure_picture_replaces_no_other_kind_of_file(house: House, root: Path, kind: str) -> None:
    place = root / "a.png"
    if kind == "link":
        (root / "b.png").write_bytes(LAID)
        place.symlink_to("b.png")
    elif kind == "directory":
        place.mkdir()
    else:
        os.mkfifo(place)
    with pytest.raises((NotOurs, DeliveryFailed)):
        late(house, place)
    assert place.is_symlink() or place.is_dir() or place.is_fifo()
