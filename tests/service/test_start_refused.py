"""What keeps a server from starting is told in one sentence: the thing, what is wrong with it, what mends just that."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from tests.service.test_daemon import House, open_house, where_everybody_can_read_python
from tests.support.sizes import PATIENCE_S, sized

__all__ = ["open_house"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, or mount a small disk")
AS_NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
# Each start in a process of its own, forked where the server's modules have been imported once for all.
STARTS = """
import json, os, sys
from imgserve.cli.main import main
from imgserve.server import detach
for words, environment in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        os.environ.update(environment)
        os._exit(main(["start", *words]))
    assert os.waitpid(child, 0)[1] == 1 << 8, (words, environment)
"""


class Start(NamedTuple):
    house: House
    words: Sequence[str] = ()
    settings: Mapping[str, str] = MappingProxyType({})


def refusals(starts: Sequence[Start], before: tuple[str, ...] = ()) -> list[str]:
    """The one sentence of each start, which has to fail."""
    cases = [
        (
            start.words,
            {f"IMGSERVE_{name.upper()}": value for name, value in {**start.house.settings, **start.settings}.items()},
        )
        for start in starts
    ]
    command = [*before, sys.executable, "-P", "-c", STARTS, json.dumps(cases)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    told = ended.stderr.splitlines()
    assert (ended.returncode, len(told)) == (0, len(cases)), ended.stderr
    for sentence in told:
        assert sentence.startswith("imgserve: "), sentence
        assert sentence.endswith(")"), f"it names no remedy: {sentence}"
    return told


def refusal(house: House, *words: str, before: tuple[str, ...] = (), **settings: str) -> str:
    return refusals([Start(house, words, settings)], before)[0]


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a server of this user has left behind: its data, its log and the directory of its pid file."""
    house = House(tmp_path_factory.mktemp("left"))
    house.run("start")
    house.run("stop")
    return house.top


def take_over(left_behind: Path, house: House) -> None:
    for place in left_behind.iterdir():
        shutil.copytree(place, house.top / place.name, dirs_exist_ok=True)


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
def test_another_users_data_directory_is_told_first(open_house: House, left_behind: Path) -> None:
    """And not the pid file or the log in it, which another place would not help."""
    house = open_house
    take_over(left_behind, house)
    before = (*where_everybody_can_read_python(house.top), *AS_NOBODY)
    for told in refusals([Start(house), Start(house, ("--foreground",))], before):
        assert f"{house.data} belongs to root, and this server runs as nobody" in told


@needs_root
def test_what_a_setting_names_behind_a_closed_directory(open_house: House) -> None:
    closed = open_house.top / "closed"
    (closed / "in").mkdir(parents=True)
    closed.chmod(0o700)
    before = (*where_everybody_can_read_python(open_house.top), *AS_NOBODY)
    options = ("--read-root", "--ca-file")
    for option, told in zip(
        options, refusals([Start(open_house, (option, str(closed / "in"))) for option in options], before), strict=True
    ):
        assert told.startswith(f"imgserve: {option}: ")
        assert "the user nobody has no permission" in told


# What root has left behind.
ROOTS = ["the queue", "the log of the queue", "everything"]


@needs_root
@pytest.mark.parametrize("what", sized(ROOTS[:1], ROOTS))
def test_a_user_who_follows_root_is_told_whose_the_files_are(open_house: House, left_behind: Path, what: str) -> None:
    house = open_house
    take_over(left_behind, house)
    before = where_everybody_can_read_python(house.top)
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


def test_a_damaged_queue_file_is_told_as_such(tmp_path: Path, left_behind: Path) -> None:
    whole = (left_behind / "data/queue.sqlite").read_bytes()
    damages = (b"no database" * 1000, whole[: len(whole) // 2], whole[:100] + os.urandom(len(whole) - 100))
    houses = [House(tmp_path / str(number)) for number in range(len(damages))]
    for house, damaged in zip(houses, damages, strict=True):
        take_over(left_behind, house)
        (house.data / "queue.sqlite").write_bytes(damaged)
    for house, told in zip(houses, refusals([Start(house) for house in houses]), strict=True):
        assert str(house.data / "queue.sqlite") in told
        assert "damaged" in told
        assert "backup" in told
        assert "disk space" not in told


# Bytes that are free, and whether the queue file is new.
FULL_DISKS = ((0, True), (20_000, True), (60_000, True), (0, False), (20_000, False))


@needs_root
def test_a_full_disk_is_told_as_such(tmp_path: Path, left_behind: Path) -> None:
    """SQLite fails in another way at each of these sizes; with the last one an older file can be opened."""
    houses = [House(tmp_path / f"{free_bytes}-{is_new}") for free_bytes, is_new in FULL_DISKS]
    with ExitStack() as disks:
        for house, (free_bytes, is_new) in zip(houses, FULL_DISKS, strict=True):
            disks.enter_context(small_disk(house.data))
            if not is_new:
                take_over(left_behind, house)
            fill(house.data, free_bytes)
        for house, told in zip(
            houses, refusals([Start(house, (), {"min_free_disk_bytes": "0"}) for house in houses]), strict=True
        ):
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


def test_a_place_that_cannot_be_used_is_named_with_its_flag(tmp_path: Path) -> None:
    tops = [tmp_path / str(number) for number in range(len(PLACES))]
    starts = []
    for top, (setting, make, _) in zip(tops, PLACES, strict=True):
        top.mkdir()
        starts.append(Start(House(top), (), {setting: str(make(top))}))
    for start, told, (setting, _, noun) in zip(starts, refusals(starts), PLACES, strict=True):
        assert f"{noun} {start.settings[setting]}" in told
        assert f"--{setting.replace('_', '-')}" in told
        assert ", expected" in told or "is expected" in told


def test_a_file_for_a_data_directory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    told = refusal(House(tmp_path), data_dir=str(file), pid_file=str(tmp_path / "pid"))
    assert f"the data directory {file}" in told
    assert "mend the disk" not in told


def test_a_data_directory_that_is_none_is_told_before_the_pid_file_in_it(tmp_path: Path) -> None:
    """Another pid file would not help."""
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    places = [tmp_path / "file", tmp_path / "link"]
    house = House(tmp_path)
    starts = [Start(house, (), {"data_dir": str(place), "pid_file": f"{place}/imgserve.pid"}) for place in places]
    file, link = refusals(starts)
    assert f"the data directory {places[0]} cannot be used: a file stands where a directory is expected" in file
    assert f"the data directory {places[1]} cannot be used: No such file or directory" in link
    for told in (file, link):
        assert "name another with --data-dir" in told
        assert "--pid-file" not in told


def test_in_a_working_directory_that_was_deleted(tmp_path: Path) -> None:
    """A flag's path is relative to it."""
    house = House(tmp_path)
    (tmp_path / "gone").mkdir()
    before = ("sh", "-c", f'cd {tmp_path}/gone && rmdir {tmp_path}/gone && exec "$0" "$@"')
    told = refusal(house, "--ca-file", "ca.pem", before=before)
    assert "the working directory is not there any more (change into another one (cd))" in told


@needs_root
def test_where_there_is_no_proc(tmp_path: Path) -> None:
    """As in a bare chroot. A root of the settings, which is looked up there, was what the sentence named."""
    before = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /proc && exec "$0" "$@"')
    told = refusal(House(tmp_path), "--read-root", str(tmp_path), before=before)
    assert "there is no /proc, which the server and its workers need (mount it: mount -t proc proc /proc)" in told


@needs_root
def test_where_its_user_may_have_no_further_process(open_house: House) -> None:
    limited = (*where_everybody_can_read_python(open_house.top), *AS_NOBODY, "prlimit", "--nproc=0")
    shutil.rmtree(open_house.data, ignore_errors=True)
    told = open_house.run("start", status=1, before=limited)
    assert "no process can be made for the server" in told
    assert "(raise the limit of processes (ulimit -u), or free memory)" in told


def test_where_it_cannot_listen(tmp_path: Path) -> None:
    house = House(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        hosts = ({"port": str(port)}, {"host": "192.0.2.1"}, {"host": "no-such-host.invalid"})
        taken, foreign, unknown = refusals([Start(house, (), settings) for settings in hosts])
    assert f"cannot listen on 127.0.0.1:{port}: another program listens there" in taken
    assert "no such address" in foreign
    assert "no such host" in unknown


def test_a_notify_socket_that_is_not_there(tmp_path: Path) -> None:
    house = House(tmp_path)
    told = house.run("start", "--foreground", status=1, before=("env", f"NOTIFY_SOCKET={tmp_path}/none"))
    assert f"the socket {tmp_path}/none of NOTIFY_SOCKET cannot be used: No such file or directory" in told
    assert "Traceback" not in told
