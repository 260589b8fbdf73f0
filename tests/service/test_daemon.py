"""The daemon: start, stop, restart, status as an operator types them, signals, log and pid file, another user."""

import json
import os
import pwd
import select
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from imgserve.cli.main import main
from imgserve.server import pidfile
from tests.chaos.judge import entries_of
from tests.chaos.sources import Sources
from tests.service.conftest import opened, put_pictures
from tests.service.test_doors import get
from tests.support.daemon import LOOPBACK, wait_until
from tests.support.processes import below, descriptors
from tests.support.sizes import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
KEY = "a-key-of-some-length-01"
OTHER_KEY = "another-key-of-length-2"


class House:
    """One server's places; ``run`` types a command, behind ``before`` and with ``python``."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.data = top / "data"
        self.pid_file = top / "run/imgserve.pid"
        self.log_file = top / "log/imgserve.log"
        self.settings = {"host": "127.0.0.1", "port": "0", "workers": "1", "data_dir": str(self.data)}
        self.settings |= {"pid_file": str(self.pid_file), "log_file": str(self.log_file)}

    def run(
        self, *words: str, status: int = 0, before: Sequence[str] = (), python: str = sys.executable, **settings: str
    ) -> str:
        """What it printed, on stderr when it fails."""
        given = {f"IMGSERVE_{name.upper()}": value for name, value in {**self.settings, **settings}.items()}
        ended = subprocess.run(
            [*before, python, "-m", "imgserve", *words],
            env={**buffering_environment(), **given},
            capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False,
        )  # fmt: skip
        assert ended.returncode == status, f"{words} ended with {ended.returncode}: {ended.stdout}{ended.stderr}"
        return ended.stderr if ended.stderr else ended.stdout

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text().splitlines()[0])

    @property
    def url(self) -> str:
        return str(json.loads(self.pid_file.read_text().splitlines()[1])["url"])

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def children(self) -> list[int]:
        return below(self.pid)

    def kill(self) -> None:
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_there(pid))

    def end(self) -> None:
        if pidfile.look(self.pid_file).state == "running":
            self.kill()

    def hang_up(self) -> None:
        """SIGHUP, and wait until it has been heard."""
        before = self.log.count(" reload")
        os.kill(self.pid, signal.SIGHUP)
        wait_until(lambda: self.log_file.exists() and self.log.count(" reload") != before)


def buffering_environment() -> dict[str, str]:
    """That of an operator, in which Python keeps what it prints into a file or pipe until the end."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.end()


def is_there(pid: object) -> bool:
    """Whether the process lives; a zombie that its parent has not looked at yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_whole_life(house: House) -> None:
    assert "is not running" in house.run("status", status=3)
    began = time.time()
    told = house.run("start")
    assert told == f"imgserve {VERSION} listening on {house.url} (pid {house.pid}, log {house.log_file})\n"
    assert get(house.url + "/health")[0] == 200
    assert stat.S_IMODE(house.data.stat().st_mode) == 0o700
    assert stat.S_IMODE(house.log_file.stat().st_mode) == 0o640
    lines = dict(line.split(maxsplit=1) for line in house.run("status").splitlines())
    assert lines["queue"] == "0 waiting, 0 running"
    assert (lines["pid"], lines["address"], lines["state"]) == (str(house.pid), house.url, "ok")
    hours, minutes, seconds = map(int, lines["uptime"].split(":"))
    assert 0 <= 3600 * hours + 60 * minutes + seconds <= time.time() - began
    assert lines["workers"].startswith("1 render (+1 intake, 2 spare), sandbox ")
    assert lines["run"] == "by   imgserve start"
    assert house.run("cache", "stats") == "mounts    none, so nothing is cached\n"
    pid, children = house.pid, house.children()
    assert len(children) == 5  # the template, and those it has forked
    told = house.run("stop")
    assert told.startswith(f"imgserve (pid {pid}) takes no more jobs")
    assert not [one for one in (pid, *children) if is_there(one)]
    assert not house.pid_file.exists()
    assert house.log.endswith("info stopped\n")
    assert "is not running" in house.run("status", status=3)


def test_it_is_detached_and_its_workers_hold_nothing_of_it(house: House) -> None:
    house.run("start")
    fields = Path(f"/proc/{house.pid}/stat").read_text().rpartition(")")[2].split()
    parent, session, terminal = int(fields[1]), int(fields[3]), int(fields[4])
    assert parent != os.getpid()
    assert session not in (os.getsid(0), house.pid), "it could be given a terminal"
    assert terminal == 0
    assert os.readlink(f"/proc/{house.pid}/cwd") == "/"
    assert os.readlink(f"/proc/{house.pid}/fd/0") == "/dev/null"
    for number in (1, 2):
        assert os.readlink(f"/proc/{house.pid}/fd/{number}") == str(house.log_file)
    own = set(descriptors(house.pid).values())
    assert {str(house.pid_file), str(house.data / "lock"), str(house.log_file)} <= own
    for child in house.children():
        held = descriptors(child).values()
        assert not [place for place in held if place.startswith(str(house.top))]


def test_a_server_lets_go_of_what_its_caller_had_open(house: House) -> None:
    """Such as the lock of a script, or a pipe that is read until its end. A setting may name one of them until then."""
    given = {f"IMGSERVE_{name.upper()}": value for name, value in house.settings.items()}
    (house.top / "keys").write_text(KEY)
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as pipe, (house.top / "keys").open() as keys:
        command = [sys.executable, "-m", "imgserve", "start", "--api-key-file", f"/dev/fd/{keys.fileno()}"]
        passed = (writer, keys.fileno())
        subprocess.run(command, env={**os.environ, **given}, check=True, timeout=PATIENCE_S, pass_fds=passed)
        os.close(writer)
        assert select.select([pipe], [], [], PATIENCE_S)[0], "the server has the pipe's other end"
    assert get(house.url + "/metrics", {"Authorization": f"Bearer {KEY}"})[0] == 200


# The command that starts the server ends as soon as it has forked.
KILLED_STARTER = """
import os, signal
from imgserve.cli.main import main
signal.signal(signal.SIGCHLD, lambda *_: os._exit(9))
os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGCHLD, signal.SIG_DFL))
main(["start"])
"""


def test_a_server_whose_starter_was_ended_says_so_and_leaves_nothing_at_work(house: House) -> None:
    given = {f"IMGSERVE_{name.upper()}": value for name, value in house.settings.items()}
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_STARTER], env={**os.environ, **given}, check=False, timeout=PATIENCE_S
    )
    assert ended.returncode == 9
    wait_until(lambda: house.log_file.exists() and "ended_by_fault" in house.log)
    wait_until(lambda: not house.pid_file.exists())
    assert "the command that started it was ended before it listened (start it again)" in house.log
    assert not [line for line in house.log.splitlines() if "queue_fault" in line or "pruning_failed" in line]


def test_what_is_printed_onto_a_full_disk_fails_with_one_sentence() -> None:
    """Also where Python keeps the text until the program ends, as it does for a file."""
    command = [sys.executable, "-m", "imgserve", "version"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command,
            env=buffering_environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (1, "imgserve: the disk is full (free disk space)\n")


def test_stop_of_a_server_that_does_not_answer_promises_nothing_for_it(house: House) -> None:
    house.run("start")
    os.kill(house.pid, signal.SIGSTOP)
    command = [sys.executable, "-m", "imgserve", "stop", "--data-dir", str(house.data)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as stop:
        assert stop.stdout is not None
        assert stop.stdout.readline() == f"imgserve (pid {house.pid}) does not answer, and ends once it can\n"
        os.kill(house.pid, signal.SIGCONT)
        assert stop.wait(PATIENCE_S) == 0
    assert not house.pid_file.exists()


def test_restart_is_another_server_on_the_same_data(house: House) -> None:
    house.run("start")
    first, url = house.pid, house.url
    told = house.run("restart", port=url.rpartition(":")[2])
    assert [line.split()[0] for line in told.splitlines()] == ["imgserve", "ended", "imgserve"], "it is printed twice"
    assert house.pid != first
    assert not is_there(first)
    assert house.url == url
    assert get(url + "/health")[0] == 200


def test_restart_starts_what_does_not_run(house: House) -> None:
    assert "listening on http://127.0.0.2:" in house.run("restart", host="127.0.0.2")


def test_faulty_settings_stop_nothing_at_a_restart_and_keep_nobody_from_stopping_it(house: House) -> None:
    house.run("start")
    first = house.pid
    assert "IMGSERVE_SANDBOX" in house.run("restart", status=1, sandbox="maybe")
    assert house.pid == first
    assert "ended after" in house.run("stop", sandbox="maybe", no_such_setting="1")


def test_a_second_start_refuses_with_one_sentence(house: House, tmp_path: Path) -> None:
    house.run("start")
    pid, port = house.pid, house.url.rpartition(":")[2]
    other = {"data_dir": str(tmp_path / "data2"), "pid_file": str(tmp_path / "pid2")}
    refusals: tuple[tuple[dict[str, str], str], ...] = (
        ({"data_dir": other["data_dir"]}, f"already running with pid {pid}"),
        ({**other, "port": port}, f"cannot listen on 127.0.0.1:{port}"),
        ({"pid_file": other["pid_file"]}, "belongs to another running imgserve"),
    )
    for settings, sentence in refusals:
        told = house.run("start", status=1, **settings)
        assert sentence in told
        assert len(told.splitlines()) == 1
        assert "Traceback" not in told
    assert house.pid == pid
    assert is_there(pid)
    assert not (tmp_path / "pid2").exists(), "a server that did not start left its pid file"


def test_a_killed_server_is_known_to_be_dead(house: House) -> None:
    house.run("start")
    children = house.children()
    house.kill()
    wait_until(lambda: not [child for child in children if is_there(child)])
    assert "died" in house.run("status", status=1)
    house.run("start")
    house.kill()
    assert house.run("stop") == f"imgserve is not running on {house.data}\n"
    assert not house.pid_file.exists()


def test_a_number_alone_is_nobody(house: House) -> None:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as bystander:
        house.pid_file.parent.mkdir()
        house.pid_file.write_text(f"{bystander.pid}\n{{}}\n")
        house.run("status", status=1)
        house.run("stop", "-KILL")
        assert bystander.poll() is None
        bystander.communicate()
        assert bystander.returncode == 0


def test_stop_waits_for_what_runs_and_kill_does_not(house: House) -> None:
    (house.top / "out").mkdir()
    start = ("start", *LOOPBACK, "--write-root", str(house.top / "out"))
    with Sources() as sources:
        house.run(*start)
        post(house, f"{sources.url}/held/good-0.png")
        house.run("stop", "-KILL")
        assert " draining" not in house.log
        house.run(*start, drain_s="1")
        wait_until(lambda: [entry.status for entry in entries_of(house.data)] == ["running"])
        told = house.run("stop")
        assert "for at most 1 s" in told
        assert float(told.split("ended after ")[1].split()[0]) >= 1
        sources.release("good-0.png")


def post(house: House, source: str) -> None:
    job = {
        "operationType": "resize", "srcURL": source, "dstURL": f"file://{house.top}/out/a.png",
        "args": {"width": 20, "height": 15},
    }  # fmt: skip
    with urllib.request.urlopen(house.url + "/", json.dumps(job).encode(), timeout=PATIENCE_S) as answer:
        assert b"dstURL" in answer.read()


def test_hangup_opens_the_log_anew(house: House) -> None:
    house.run("start")
    wait_until(lambda: " listening " in house.log)  # a thread writes it
    moved = house.log_file.with_name("old.log")
    house.log_file.rename(moved)
    os.kill(house.pid, signal.SIGHUP)
    wait_until(lambda: house.log_file.exists() and " reloaded" in house.log)
    assert " listening " in moved.read_text()
    assert " listening " not in house.log
    assert os.readlink(f"/proc/{house.pid}/fd/2") == str(house.log_file)
    house.run("stop")
    assert " stopped" in house.log


def test_the_log_is_renamed_when_it_is_large_and_few_are_kept(house: House) -> None:
    house.run("start", log_max_bytes="400", log_keep="1")
    older = house.log_file.with_name("imgserve.log.1")

    def written() -> list[str]:
        return [path.read_text() if path.exists() else "" for path in (older, house.log_file)]

    def turned() -> str:
        """Write to the log, line by line, until it has been renamed once more; what the renamed one holds."""
        before, _ = written()
        for _ in range(50):
            seen = written()
            os.kill(house.pid, signal.SIGHUP)
            wait_until(lambda seen=seen: written() != seen)  # type: ignore[misc]
            if written()[0] != before:
                break
        return older.read_text()

    assert " listening " in turned()
    assert " listening " not in turned()
    wait_until(house.log_file.exists)
    assert sorted(path.name for path in house.log_file.parent.iterdir()) == ["imgserve.log", "imgserve.log.1"]
    assert all(path.stat().st_size <= 400 for path in house.log_file.parent.iterdir())
    assert os.readlink(f"/proc/{house.pid}/fd/2") == str(house.log_file)


def test_two_servers_may_share_a_log(house: House, tmp_path: Path) -> None:
    """Each goes on in the file that the other has begun when it renamed theirs; the second says that they are two."""
    second = {"data_dir": str(tmp_path / "data2"), "pid_file": str(tmp_path / "pid2")}
    few = {"log_max_bytes": "700", "log_keep": "1"}
    house.run("start", status=0, **few)
    assert " log_shared" not in house.log
    house.run("start", status=0, **second, **few)
    other = pidfile.look(Path(second["pid_file"])).pid
    try:
        older = house.log_file.with_name("imgserve.log.1")

        def whole() -> str:
            """While one of them renames it there may be no file of a name."""
            texts = []
            for file in (older, house.log_file):
                with suppress(FileNotFoundError):
                    texts.append(file.read_text())
            return "".join(texts)

        def has_newest(pid: int) -> bool:
            return str(house.log_file) in descriptors(pid).values()

        wait_until(lambda: " log_shared" in whole())
        for pid in (house.pid, other) * 8:
            before = whole()
            os.kill(pid, signal.SIGHUP)
            wait_until(lambda before=before: whole() != before and " reloaded" in whole())  # type: ignore[misc]
            wait_until(partial(has_newest, pid))  # its last line is there
        assert older.exists()
        assert older.stat().st_size <= 800
        assert house.log_file.stat().st_size <= 800
    finally:
        house.run("stop", "--kill", status=0, **second)


def test_hangup_reads_the_keys_anew_and_keeps_them_if_it_cannot(house: House, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    house.run("start", "--api-key-file", str(keys))
    assert [answered(house, key) for key in (KEY, OTHER_KEY)] == [200, 401]
    keys.write_text(OTHER_KEY)
    house.hang_up()
    assert [answered(house, key) for key in (KEY, OTHER_KEY)] == [401, 200]
    for text in ("short", "# none\n", f"a:{KEY}\nb:{KEY}\n", None):
        keys.unlink() if text is None else keys.write_text(text)
        house.hang_up()
        assert [answered(house, key) for key in (KEY, OTHER_KEY)] == [401, 200]
    assert house.log.count("error reload_failed") == 4
    assert f"lines 1 and 2 of {keys} hold the same key" in house.log
    assert OTHER_KEY not in house.log


def answered(house: House, key: str) -> int:
    return get(house.url + "/", {"Authorization": f"Bearer {key}"})[0]


def test_what_ends_it_before_it_listens_is_told(house: House) -> None:
    assert "no user 'no-such-user'" in house.run("start", "--user", "no-such-user", status=1)
    (house.top / "file").write_text("")
    house.run("start", status=1, log_file=str(house.top / "file/x.log"))
    house.run("status", status=3)


def told_by(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    """As ``House.run``, without a process of its own."""
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(words))
    assert (ended.value.code or 0) == status
    told = capsys.readouterr()
    return told.out + told.err


def test_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert told_by(capsys, "version") == f"imgserve {VERSION}\n"
    assert "restart" in told_by(capsys, "help")
    assert told_by(capsys) == told_by(capsys, "help")
    assert told_by(capsys, "help", "stop") == told_by(capsys, "stop", "--help")
    assert "there is no command" in told_by(capsys, "help", "nothing", status=2)
    assert "usage" in told_by(capsys, "nothing", status=2)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def open_house() -> Iterator[House]:
    """A house that every user may enter; pytest's own directories shut all others out."""
    with tempfile.TemporaryDirectory(prefix="imgserve-test-") as top:
        house = House(Path(top))
        house.top.chmod(0o755)
        yield house
        house.end()


@needs_root
def test_a_server_started_by_root_becomes_the_user(open_house: House) -> None:
    house = open_house
    put_pictures(house.top / "in")
    (house.top / "out").mkdir()
    nobody = pwd.getpwnam("nobody")
    os.chown(house.top / "out", nobody.pw_uid, nobody.pw_gid)
    roots = ("--read-root", str(house.top / "in"), "--write-root", str(house.top / "out"))
    before = (*where_everybody_can_read_python(house.top), "setpriv", "--groups", "0,4242")
    settings = house.top / "imgserve.toml"
    settings.write_text("[preset.a]\n")
    settings.chmod(0o600)
    house.run("start", "--user", "nobody", *roots, "--config", str(settings), before=before)
    for process in (house.pid, *house.children()):
        told = dict(
            line.split(":\t") for line in Path(f"/proc/{process}/status").read_text().splitlines() if ":\t" in line
        )
        assert set(told["Uid"].split()) == {str(nobody.pw_uid)}
        assert set(told["Gid"].split()) == {str(nobody.pw_gid)}
        assert set(told["Groups"].split()) <= {str(group) for group in os.getgrouplist("nobody", nobody.pw_gid)}
        assert int(told["CapEff"], 16) == int(told["CapPrm"], 16) == 0
    assert {path.stat().st_uid for path in (house.data, house.log_file, house.log_file.parent)} == {nobody.pw_uid}
    post(house, f"file://{house.top}/in/Ex.png")
    wait_until(lambda: "ends=delivered" in house.log)
    assert opened((house.top / "out/a.png").read_bytes()).size == (20, 15)
    assert (house.top / "out/a.png").stat().st_uid == nobody.pw_uid
    house.log_file.rename(house.log_file.with_name("old.log"))
    os.kill(house.pid, signal.SIGHUP)
    wait_until(lambda: house.log_file.exists() and " reloaded keys=0 presets=1" in house.log)
    assert f'presets_kept detail="the server\'s user may not read {settings}"' in house.log
    house.run("stop")
    house.run("status", status=3)


@needs_root
def test_a_user_who_cannot_read_the_program_is_named(house: House) -> None:
    shut = house.top / "shut"
    shut.mkdir(mode=0o700)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", shut], check=True, timeout=60)
    [packages] = shut.glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT / 'src'}\n")
    told = house.run("start", "--user", "nobody", status=1, python=str(shut / "bin/python"))
    assert told.startswith(f"imgserve: the user nobody cannot read {shut}/bin/python (")


def where_everybody_can_read_python(top: Path) -> tuple[str, ...]:
    """Words before a command: what lies in root's home is open to all, in a view of the command's own."""
    steps = ["set -e"]
    for number, path in enumerate((Path(sys.prefix), Path(sys.base_prefix), ROOT / "src")):
        closed = [place for place in path.resolve().parents if not place.stat().st_mode & 0o001]
        if closed:
            kept, lost, hidden = top / f"kept{number}", closed[-1], path.resolve()
            steps += [f"mkdir {kept}", f"mount --bind {hidden} {kept}", f"mount -t tmpfs -o mode=755 tmpfs {lost}"]
            steps += [f"mkdir -p {hidden}", f"mount --bind {kept} {hidden}"]
    return ("unshare", "--mount", "sh", "-c", "; ".join([*steps, 'exec "$@"']), "sh") if len(steps) > 1 else ()
