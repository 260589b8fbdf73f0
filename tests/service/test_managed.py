"""Servers that something else keeps, in the foreground: the commands find them by their data directory and say so."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from imgserve.server import pidfile
from tests.service.test_daemon import House
from tests.support.daemon import Daemon, wait_until
from tests.support.operating import Operator, command
from tests.support.sizes import PATIENCE_S, sized

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a namespace or become another user")


def lines_of(told: subprocess.CompletedProcess[bytes]) -> dict[str, str]:
    assert told.returncode == 0, told.stderr
    return dict(line.split(maxsplit=1) for line in told.stdout.decode().splitlines())


def test_a_server_in_the_foreground_is_found_told_and_stopped(tmp_path: Path) -> None:
    with Daemon(tmp_path / "data", may_fork=False) as server:
        operator = Operator(server)
        lines = lines_of(operator("status"))
        assert (lines["pid"], lines["address"], lines["state"]) == (str(server.pid), server.url, "ok")
        assert f"(pid {os.getpid()}) in the foreground" in lines["run"]
        refused = operator("restart")
        assert refused.returncode == 1
        assert f"pid {os.getpid()}" in refused.stderr.decode()
        assert server.is_running
        told = operator("stop")
        assert told.returncode == 0, told.stderr
        assert f"imgserve (pid {server.pid}), run by " in told.stdout.decode()
        assert server.wait() == 0
        assert operator("status").returncode == 3
        assert operator("stop").returncode == 0


def test_systemd_is_named(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        with Daemon(tmp_path / "data", environment={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as server:
            operator = Operator(server)
            assert "systemd" in lines_of(operator("status"))["run"]
            refused = operator("restart")
            assert (refused.returncode, b"systemctl restart" in refused.stderr) == (1, True)
            assert b"systemctl stop" in operator("stop").stdout
            assert server.wait() == 0


@needs_root
def test_a_container_is_named_and_its_numbers_are_never_taken_for_ours(tmp_path: Path) -> None:
    words = (sys.executable, "-m", "imgserve", "start", "--foreground", "--host", "127.0.0.1", "--port", "0")
    data = tmp_path / "data"
    apart = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    with (tmp_path / "log").open("wb") as log:
        outer = subprocess.Popen([*apart, *words, "--workers", "1", "--data-dir", data], stdout=log, stderr=log)
    try:
        wait_until(lambda: b"listening on" in (tmp_path / "log").read_bytes())
        seen = command("status", "--data-dir", data)
        told = lines_of(seen)
        assert told["run"] == "by   a container"
        assert int(told["pid"]) > 1
        assert "imgserve" in Path(f"/proc/{told['pid']}/cmdline").read_text()
        other = subprocess.run([*apart, *words[:3], "stop", "--data-dir", data], capture_output=True, timeout=30)
        assert other.returncode == 1
        assert b"cannot be reached from here" in other.stderr
        assert b"docker restart" in command("restart", "--data-dir", data).stderr
        assert command("stop", "--data-dir", data).returncode == 0
        outer.wait(20)
    finally:
        outer.kill()
        outer.wait()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One that goes on running."""
    house = House(tmp_path_factory.mktemp("house"))
    house.run("start")
    yield house
    house.end()


def test_the_data_directory_chooses_the_server(house: House, tmp_path: Path) -> None:
    """A pid file that names another one has nothing to say."""
    second = {"data_dir": str(tmp_path / "second"), "pid_file": str(tmp_path / "second.pid")}
    house.run("start", status=0, **second)
    try:
        other = pidfile.look(Path(second["pid_file"])).pid
        named = ("--data-dir", second["data_dir"])
        assert f"pid      {other}\n" in house.run("status", *named)
        assert f"pid      {house.pid}\n" in house.run("status", pid_file=second["pid_file"])
        assert f"is held by the server on {house.data}" in house.run("restart", *named, status=1)
        house.run("stop", *named)
        assert house.run("status", *named, status=3) == f"imgserve is not running on {second['data_dir']}\n"
        assert f"pid      {house.pid}\n" in house.run("status")
    finally:
        house.run("stop", "--kill", status=0, **second)


def test_the_pid_file_alone_names_the_server_too(house: House) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("IMGSERVE_")}
    words = [sys.executable, "-m", "imgserve", "status", "--pid-file", str(house.pid_file), "--json"]
    told = subprocess.run(words, env=environ, capture_output=True, timeout=30, check=True)
    seen = json.loads(told.stdout)
    assert (seen["pid"], seen["status"], seen["started_as"]) == (house.pid, "ok", "daemon")
    assert [role["role"] for role in seen["roles"]] == ["render", "intake", "spare"]


def test_the_absent_is_told_as_json_too(tmp_path: Path) -> None:
    told = command("status", "--json", "--data-dir", tmp_path / "none")
    assert (told.returncode, json.loads(told.stdout)["status"]) == (3, "not_running")


# A server that hangs answers no sooner in 5 s than in half a second.
IMPATIENT = """
import sys
from imgserve.cli import owner
from imgserve.cli.main import main

owner.ANSWER_TIMEOUT_S = 0.5
sys.exit(main())
"""


def test_a_server_that_hangs_is_told_and_killed_and_then_it_is_dead(tmp_path: Path) -> None:
    with Daemon(tmp_path / "data") as server:
        os.kill(server.pid, signal.SIGSTOP)

        def tell(*words: str) -> str:
            line = [sys.executable, "-c", IMPATIENT, *words, "--data-dir", str(server.data_dir)]
            return subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout

        told = tell("status")
        assert f"(pid {server.pid}) holds" in told
        assert "does not answer" in told
        tell("stop", "--kill")
        assert server.wait() == -signal.SIGKILL
        dead = Operator(server)("status", "--json")
        assert dead.returncode == 1
        assert json.loads(dead.stdout) == {"status": "dead", "data_dir": str(server.data_dir), "pid": None}


@needs_root
def test_another_users_server_is_unknown_to_us(house: House) -> None:
    # Python may be installed where only root may read: what a command imports late is imported before, and what
    # argparse does.
    code = (
        "import locale, os, shutil, sys; import imgserve.cli.jobs, imgserve.cli.server;"
        "from imgserve.cli.main import main;"
        "os.setgid(65534); os.setuid(65534); sys.exit(main())"
    )
    for place in (house.top, *house.data.parents[:-2]):
        place.chmod(place.stat().st_mode | 0o011)
    assert asked(code, "status", "--data-dir", str(house.data)) == 4
    assert asked(code, "jobs", "list", "--data-dir", str(house.data)) == 3
    assert asked(code, "stop", "--data-dir", str(house.data)) == 1
    assert pidfile.look(house.pid_file).state == "running"


def asked(code: str, *words: str) -> int:
    """The exit status of the command as the code begins it, which has to say one sentence."""
    environ = {**os.environ, "HOME": "/"}
    told = subprocess.run([sys.executable, "-c", code, *words], env=environ, capture_output=True, text=True, timeout=30)
    assert "belongs to another user" in told.stderr, told
    assert len(told.stderr.splitlines()) == 1
    return told.returncode


def test_a_starting_server_is_no_stranger(tmp_path: Path) -> None:
    """Whoever looks at the lock just then does not keep a server from starting."""
    data = tmp_path / "data"
    lookers: Sequence[subprocess.Popen[bytes]] = [
        subprocess.Popen(
            [sys.executable, "-c", f"from pathlib import Path\nfrom imgserve.cli import owner\n"
             f"while owner.look(Path({str(data)!r})).state != 'running': pass"]
        )
        for _ in range(sized(1, 3))
    ]  # fmt: skip
    with Daemon(data) as server:
        assert {looker.wait(30) for looker in lookers} == {0}
        assert server.stop() == 0
