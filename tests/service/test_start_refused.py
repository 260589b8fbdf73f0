"""What keeps a server from starting is told in one sentence: the thing, what is wrong with it, what mends just that."""

import os
import pwd
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.service.test_daemon import House, open_house, where_everybody_can_read_python
from tests.support.sizes import sized

__all__ = ["open_house"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, or mount a small disk")


def refusal(house: House, *words: str, before: tuple[str, ...] = (), **settings: str) -> str:
    """The one sentence of a start that fails, the same with and without detaching."""
    told = house.run("start", *words, status=1, before=before, **settings)
    assert told.startswith("imgserve: "), told
    assert len(told.splitlines()) == 1, told
    assert told.rstrip().endswith(")"), f"it names no remedy: {told}"
    return told


@contextmanager
def small_disk(at: Path) -> Iterator[None]:
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", at], check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", at], check=True, timeout=10)


def fill(at: Path, free_bytes: int) -> None:
    with (at / "ballast").open("wb", buffering=0) as file:
        while os.statvfs(at).f_bavail * os.statvfs(at).f_frsize > free_bytes:
            file.write(bytes(4096))


@needs_root
@pytest.mark.parametrize("detaching", [(), ("--foreground",)], ids=["detached", "in the foreground"])
def test_another_users_data_directory_is_told_first(open_house: House, detaching: tuple[str, ...]) -> None:
    """And not the pid file or the log in it, which another place would not help."""
    house = open_house
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    house.run("start")
    house.run("stop")
    before = (*where_everybody_can_read_python(house.top), *nobody)
    told = refusal(house, *detaching, before=before)
    assert f"{house.data} belongs to root, and this server runs as nobody" in told


@needs_root
@pytest.mark.parametrize(("option", "noun"), [("--read-root", "--read-root"), ("--ca-file", "--ca-file")])
def test_what_a_setting_names_behind_a_closed_directory(open_house: House, option: str, noun: str) -> None:
    closed = open_house.top / "closed"
    (closed / "in").mkdir(parents=True)
    closed.chmod(0o700)
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    before = (*where_everybody_can_read_python(open_house.top), *nobody)
    told = refusal(open_house, option, str(closed / "in"), before=before)
    assert told.startswith(f"imgserve: {noun}: ")
    assert "the user nobody has no permission" in told


# What root has left behind.
ROOTS = ["the queue", "the log of the queue", "everything"]


@needs_root
@pytest.mark.parametrize("what", sized(ROOTS[:1], ROOTS))
def test_a_user_who_follows_root_is_told_whose_the_files_are(open_house: House, what: str) -> None:
    house = open_house
    before = where_everybody_can_read_python(house.top)
    house.run("start")
    house.run("stop")
    nobody = pwd.getpwnam("nobody")
    if what != "everything":
        for place in (house.data, *house.data.iterdir()):
            os.chown(place, nobody.pw_uid, nobody.pw_gid)
        left = {"the queue": "queue.sqlite", "the log of the queue": "queue.sqlite-wal"}[what]
        (house.data / left).touch(0o600)
        os.chown(house.data / left, 0, 0)
    told = refusal(house, "--user", "nobody", before=before)
    assert "belongs to root, and this server runs as nobody" in told
    assert f"chown -R nobody {house.data}" in told
    assert "disk" not in told


def test_a_damaged_queue_file_is_told_as_such(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.run("start")
    house.run("stop")
    queue = house.data / "queue.sqlite"
    whole = queue.read_bytes()
    damages = (b"no database" * 1000, whole[: len(whole) // 2], whole[:100] + os.urandom(len(whole) - 100))
    for damaged in sized(damages[:2], damages):
        queue.write_bytes(damaged)
        told = refusal(house)
        assert f"{queue}" in told
        assert "damaged" in told
        assert "backup" in told
        assert "disk space" not in told


# Bytes that are free, and whether the queue file is new.
FULL_DISKS = ((0, True), (20_000, True), (60_000, True), (0, False), (20_000, False))


@needs_root
def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    """SQLite fails in another way at each of these sizes; with the last one an older file can be opened."""
    for free_bytes, is_new in sized(FULL_DISKS[::4], FULL_DISKS):
        house = House(tmp_path / f"{free_bytes}-{is_new}")
        with small_disk(house.data):
            if not is_new:
                house.run("start", min_free_disk_bytes="0")
                house.run("stop")
            fill(house.data, free_bytes)
            told = refusal(house, min_free_disk_bytes="0")
            assert str(house.data) in told
            assert "is full" in told
            assert "free disk space" in told


def file_in_the_way(top: Path) -> Path:
    (top / "file").write_text("")
    return top / "file/x"


def a_directory(top: Path) -> Path:
    (top / "directory").mkdir()
    return top / "directory"


PLACES = (
    ("data_dir", file_in_the_way, "the data directory"),
    ("pid_file", file_in_the_way, "the pid file"),
    ("log_file", file_in_the_way, "the log"),
    ("log_file", a_directory, "the log"),
    ("pid_file", a_directory, "the pid file"),
)


@pytest.mark.parametrize(("setting", "make", "noun"), sized(PLACES[::2], PLACES))
def test_a_place_that_cannot_be_used_is_named_with_its_flag(
    tmp_path: Path, setting: str, make: Callable[[Path], Path], noun: str
) -> None:
    place = make(tmp_path)
    told = refusal(House(tmp_path), before=(), **{setting: str(place)})
    assert f"{noun} {place}" in told
    assert f"--{setting.replace('_', '-')}" in told
    assert ", expected" in told or "is expected" in told


def test_a_file_for_a_data_directory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    told = refusal(House(tmp_path), data_dir=str(file), pid_file=str(tmp_path / "pid"))
    assert f"the data directory {file}" in told
    assert "mend the disk" not in told


def test_where_it_cannot_listen(tmp_path: Path) -> None:
    house = House(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}: another program listens there" in refusal(house, port=str(port))
    assert "no such address" in refusal(house, host="192.0.2.1")
    assert "no such host" in refusal(house, host="no-such-host.invalid")


def test_a_notify_socket_that_is_not_there(tmp_path: Path) -> None:
    house = House(tmp_path)
    told = house.run("start", "--foreground", status=1, before=("env", f"NOTIFY_SOCKET={tmp_path}/none"))
    assert f"the socket {tmp_path}/none of NOTIFY_SOCKET cannot be used: No such file or directory" in told
    assert "Traceback" not in told
