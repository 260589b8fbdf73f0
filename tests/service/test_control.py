"""The operator's door: who may connect, what becomes of its file, how it tells of faults."""

import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.chaos.sources import Sources
from tests.service.conftest import World
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.operating import Operator, ask, submitted

KNOCK = """
import os, socket, sys
if sys.argv[2] != str(os.geteuid()):
    os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1])
try:
    s.sendall(b"GET /v1/server HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    print(len(s.recv(100)) > 0)
except ConnectionError:
    print(False)
"""


def test_the_socket_is_its_owners_alone(world: World) -> None:
    made = (world.server.data_dir / "control.sock").stat()
    assert stat.S_ISSOCK(made.st_mode)
    assert stat.S_IMODE(made.st_mode) == 0o600
    assert made.st_uid == os.geteuid()


def test_another_user_is_hung_up_on_even_where_the_file_lets_him_in() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as top, Daemon(Path(top) / "data") as server:
        path = server.data_dir / "control.sock"
        for opened in (Path(top), server.data_dir, path):
            opened.chmod(0o777)
        seen = [
            subprocess.run([sys.executable, "-c", KNOCK, path, str(uid)], capture_output=True, text=True, timeout=30)
            for uid in (0, 65534)
        ]
        assert [run.stdout for run in seen] == ["True\n", "False\n"], seen


def test_a_dead_servers_socket_is_replaced_and_a_stopped_ones_is_gone(tmp_path: Path) -> None:
    with Daemon(tmp_path / "data") as server:
        server.kill()
        assert (server.data_dir / "control.sock").exists()
        server.start()
        assert ask(server.data_dir, "GET", "/v1/server").body["pid"] == server.pid
        assert server.stop() == 0
        assert not (server.data_dir / "control.sock").exists()


def test_a_path_that_no_socket_address_holds(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-name-of-a-directory"] * 4)
    deep.mkdir(parents=True)
    with Daemon(deep / "data") as server:
        with socket.socket(socket.AF_UNIX) as plain, pytest.raises(OSError, match="too long"):
            plain.connect(str(deep / "data/control.sock"))
        assert Operator(server)("jobs", "list").returncode == 0


def test_the_server_tells_about_itself(world: World) -> None:
    seen = ask(world.server.data_dir, "GET", "/v1/server").body
    assert seen["address"] == world.server.url
    assert (seen["pid"], seen["status"]) == (world.server.pid, "ok")
    assert seen["data_dir"] == str(world.server.data_dir)
    assert set(seen["queue"]) == {"accepting", "queued", "running", "placeholders_left", "oldest_at"}
    assert len(seen["workers"]) == 4
    assert all(Path(f"/proc/{pid}").exists() for pid in seen["workers"])
    assert seen["uptime_s"] > 0
    assert seen["sandbox"]
    assert seen["version"]
    assert seen["quota"] == {
        "max_waiting": 10_000, "max_on_demand": 256, "rate_limit_per_minute": None, "max_upload_bytes": 2_000_000_000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "code", "told"),
    [
        ("GET", "/v1/jobs/nobody", None, 404, "no_such_job", "nobody"),
        ("POST", "/v1/jobs/nobody/cancel", None, 404, "no_such_job", "nobody"),
        ("POST", "/v1/jobs/nobody/retry", None, 404, "no_such_job", "nobody"),
        ("GET", "/v1/nothing", None, 404, "no_such_page", ""),
        ("DELETE", "/v1/jobs", None, 405, "method_not_allowed", ""),
        ("GET", "/v1/jobs?status=lost", None, 422, "request_invalid", "query.status"),
        ("GET", "/v1/jobs?limit=201", None, 422, "request_invalid", "query.limit"),
        ("GET", "/v1/jobs?limit=0", None, 422, "request_invalid", "query.limit"),
        ("GET", "/v1/jobs?cursor=x", None, 422, "request_invalid", "query.cursor"),
        ("GET", "/v1/jobs?created_before=-1", None, 422, "request_invalid", "query.created_before"),
        ("GET", "/v1/jobs?after=4", None, 422, "request_invalid", "query.after: unknown"),
        ("GET", "/v1/refusals?limit=x", None, 422, "request_invalid", "query.limit"),
        ("POST", "/v1/jobs", b"no json", 400, "body_invalid", "JSON"),
        ("POST", "/v1/jobs", b" " * 1_000_001, 413, "body_too_large", ""),
        ("POST", "/v1/jobs", b'{"source": 1}', 422, "request_invalid", "outputs: this field is missing"),
    ],
)
def test_faults_are_problem_details(
    world: World, method: str, target: str, body: bytes | None, status: int, code: str, told: str
) -> None:
    answer = ask(world.server.data_dir, method, target, body)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.body["status"], answer.body["code"]) == (status, code)
    assert answer.body["type"] == f"urn:imgserve:problem:{code}"
    assert answer.body["title"]
    assert told in answer.body["detail"]


def test_a_classic_job_is_answered_as_at_the_tcp_door(world: World) -> None:
    for body in (b'{"operationType": "blow", "args": 3}', b"no JSON"):
        answer, tcp = ask(world.server.data_dir, "POST", "/", body), world.server.post(body)
        assert (answer.status, answer.body) == (tcp.status, tcp.body)
        assert answer.headers.get("x-imgserve-detail") == tcp.headers.get("x-imgserve-detail")


def test_draining_is_told_and_new_jobs_are_turned_away(stalled: tuple[Daemon, bytes]) -> None:
    server, job = stalled
    submitted(server.data_dir, job)
    os.kill(server.pid, 15)
    wait_until(lambda: ask(server.data_dir, "GET", "/v1/server").body["status"] == "draining")
    refused = ask(server.data_dir, "POST", "/", job)
    assert (refused.status, refused.body["code"]) == (503, 301)
    assert int(refused.headers["retry-after"]) > 0
    os.kill(server.pid, 15)
    assert server.wait() == 0


@pytest.fixture
def stalled(tmp_path: Path) -> Iterator[tuple[Daemon, bytes]]:
    """A server and a job whose source never ends."""
    (tmp_path / "out").mkdir()
    with Sources() as sources, Daemon(tmp_path / "data", *LOOPBACK, "--write-root", str(tmp_path / "out")) as server:
        yield (
            server,
            json.dumps({
                "operationType": "resize", "srcURL": f"{sources.url}/held/good-1.png",
                "dstURL": f"file://{tmp_path}/out/a.png", "args": {"width": 10},
            }).encode(),
        )  # fmt: skip


def test_a_server_with_a_queue_file_loads_nothing_of_postgresql(world: World) -> None:
    loaded = Path(f"/proc/{world.server.pid}/maps").read_text()
    assert "apsw" in loaded
    assert "psycopg" not in loaded


def test_the_servers_that_share_the_queue(world: World) -> None:
    (node,) = ask(world.server.data_dir, "GET", "/v1/server").body["nodes"]
    assert node["name"] == f"{os.uname().nodename}:{world.server.pid}"
    assert (node["role"], node["version"], node["is_alive"]) == ("all", version("imgserve"), True)
    places = ("--data-dir", str(world.server.data_dir))
    command = [sys.executable, "-m", "imgserve", "status", "--cluster", *places]
    told = subprocess.run(command, capture_output=True, text=True, timeout=30)
    heading, line = told.stdout.splitlines()
    assert heading.split() == ["NODE", "ROLE", "VERSION", "STARTED", "SEEN", "RUNNING"]
    assert line.split()[:3] == [node["name"], "all", node["version"]]
    assert (line.split()[-2:], told.returncode) == (["ago", "0"], 0)
