"""The server as deploy/ runs it: on a read-only root, as nobody, as process 1, with the calls that the unit allows."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.service.conftest import opened, put_pictures
from tests.service.test_daemon import needs_root, where_everybody_can_read_python
from tests.service.test_doors import get
from tests.support.daemon import READY, Daemon, wait_until
from tests.support.pictures import encoded, scene, svg
from tests.support.postgres import PASSWORD, Postgres
from tests.support.processes import children
from tests.unit.test_cluster import container_of, image_variables
from tests.unit.test_deploy import health_command, needs_systemd, unit

NOBODY = 65534
# SQLite gives its files the owner of the queue file; root's workers drop what root holds
AS_ROOT_ONLY = {"fchown", "capset"}
PLAIN_USER = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--bounding-set=-all")


def first_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


@pytest.fixture
def open_top() -> Iterator[Path]:
    """A directory that every user may enter; pytest's own shut all others out."""
    with tempfile.TemporaryDirectory(prefix="imgserve-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def job(source: Path, target: Path) -> bytes:
    args = {"width": 20, "height": 15}
    job = {"operationType": "resize", "srcURL": f"file://{source}", "dstURL": f"file://{target}", "args": args}
    return json.dumps(job).encode()


@needs_root
def test_a_read_only_root_nobody_and_process_1(open_top: Path) -> None:
    """As the container is run: only two directories can be written, there are no capabilities and no init."""
    top = open_top
    put_pictures(top / "in")
    keep = ""
    for name in ("data", "out"):
        (top / name).mkdir(mode=0o700)
        os.chown(top / name, NOBODY, NOBODY)
        keep += f"mount --bind {top / name} {top / name}; "
    (top / "log").touch()
    shut = f'set -e; {keep}mount -o remount,bind,ro /; ! touch {top}/probe 2>&1; exec "$@"'
    command = [
        *where_everybody_can_read_python(top),
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", shut, "sh"),
        *(*PLAIN_USER, "--no-new-privs", sys.executable, "-m", "imgserve", "start", "--foreground"),
        *("--host", "127.0.0.1", "--port", "0", "--workers", "1", "--sandbox", "require"),
        *("--data-dir", str(top / "data"), "--read-root", str(top / "in"), "--write-root", str(top / "out")),
    ]
    log = top / "log"
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as outer:
        try:
            wait_until(lambda: READY.search(log.read_text()) or outer.poll() is not None, 40)
            found = READY.search(log.read_text())
            assert found, log.read_text()
            assert "Read-only file system" in log.read_text()
            server = Daemon(top / "data")
            server.url = found[1]
            assert server.post(job(top / "in/Ex.png", top / "out/a.png")).status == 200
            wait_until(lambda: "settled" in log.read_text())
            assert opened((top / "out/a.png").read_bytes()).size == (20, 15)
            check = [sys.executable, *health_command()[1:]]
            check[-1] = check[-1].replace("8602", found[1].rpartition(":")[2])
            assert subprocess.run(check, capture_output=True, timeout=30, check=False).returncode == 0
            inner = first_child(outer.pid)
            told = Path(f"/proc/{inner}/status").read_text()
            assert "\nNSpid:\t" in told
            assert [line.split()[-1] for line in told.splitlines() if line.startswith("NSpid")] == ["1"]
            os.kill(inner, signal.SIGTERM)
            assert outer.wait(40) == 0, log.read_text()
        finally:
            outer.kill()


ENVIRONMENT = {"IMGSERVE_BOOT_ID": "0123456789abcdef0123456789abcdef"}
REFUSE_EXEC_GAIN = (
    "import ctypes, runpy; assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0;"  # PR_SET_MDWE, Linux 6.3
    " runpy.run_module('imgserve', run_name='__main__')"
)
FORMATS = ("png", "jpeg", "webp", "gif", "tiff", "avif")


@needs_root
def test_no_writable_code_and_nothing_of_proc_but_processes(tmp_path: Path) -> None:
    """MemoryDenyWriteExecute= and ProcSubset=pid of the unit: every format is read and written under them."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for kind in FORMATS:
        (tmp_path / "in" / f"a.{kind}").write_bytes(encoded(scene(40, 30), kind))
    (tmp_path / "in" / "a.svg").write_bytes(svg('<text x="5" y="20" font-size="20">words</text>'))
    hidden = 'mount -t proc -o subset=pid,hidepid=invisible proc /proc; ! test -e /proc/sys; exec "$@"'
    apart = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", hidden, "sh")
    words = ("start", "--foreground", "--host", "127.0.0.1", "--port", "0", "--workers", "1", "--sandbox", "require")
    roots = ("--read-root", tmp_path / "in", "--write-root", tmp_path / "out", "--data-dir", tmp_path / "data")
    log = tmp_path / "log"
    command = [*apart, sys.executable, "-c", REFUSE_EXEC_GAIN, *words, *map(str, roots)]
    with (
        log.open("w") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **ENVIRONMENT}) as outer,
    ):
        try:
            wait_until(lambda: READY.search(log.read_text()) or outer.poll() is not None)
            found = READY.search(log.read_text())
            assert found, log.read_text()
            server = Daemon(tmp_path / "data")
            server.url = found[1]
            for number, kind in enumerate((*FORMATS, "svg")):
                written = "jpg" if number % 2 else FORMATS[number % len(FORMATS)]
                operation = "rasterize" if kind == "svg" else "resize"
                body = json.loads(job(tmp_path / f"in/a.{kind}", tmp_path / f"out/{number}.{written}"))
                reply = server.post({**body, "operationType": operation})
                assert "dstURL" in reply.body, reply
            for written in ("png", "jpg", "webp", "avif"):
                assert "dstURL" in server.post(job(tmp_path / "in/a.png", tmp_path / f"out/b.{written}")).body
            wait_until(lambda: log.read_text().count("ends=delivered") == len(FORMATS) + 5)
            queue = sqlite3.connect(tmp_path / "data" / "queue.sqlite")
            assert "01234567-89ab-cdef-0123-456789abcdef" in "\n".join(queue.iterdump())
            queue.close()
        finally:
            outer.kill()


WITHOUT_CAPSET = """
import ctypes, os, struct, sys
from imgserve.imaging.worker import sandbox
libc = ctypes.CDLL(None, use_errno=True)
if sys.argv[1] == "nobody":
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
assert libc.prctl(38, 1, 0, 0, 0) == 0
number = {"x86_64": 126, "aarch64": 91}[os.uname().machine]
lines = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
code = b"".join(struct.pack("HBBI", *line) for line in lines)
class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))
assert libc.prctl(22, 2, ctypes.byref(Program(len(lines), code)), 0, 0) == 0
try:
    sandbox.give_up_privileges(3_000_000_000)
except sandbox.SandboxImpossible as error:
    print(error)
else:
    print("given up")
"""


@needs_root
@pytest.mark.parametrize(
    ("who", "told"),
    [("nobody", "given up"), ("root", "the kernel does not let a process drop its capabilities")],
)
def test_a_unit_that_forbids_capset_needs_no_capset(who: str, told: str) -> None:
    """As units of before 0.5.0 do: their workers hold nothing that could be dropped."""
    run = subprocess.run([sys.executable, "-c", WITHOUT_CAPSET, who], capture_output=True, text=True, timeout=60)
    assert (run.stdout.strip(), run.returncode) == (told, 0), run.stderr


def test_systemd_is_told_when_it_listens(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        with Daemon(tmp_path / "data", environment={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as server:
            assert manager.recv(100) == b"READY=1"
            assert "listening" in server.log
            assert server.stop() == 0


def test_an_abstract_socket_is_told_too(tmp_path: Path) -> None:
    name = f"imgserve-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(20)
        with Daemon(tmp_path / "data", environment={"NOTIFY_SOCKET": f"@{name}"}):
            assert manager.recv(100) == b"READY=1"


@lru_cache
def calls_of(group: str) -> frozenset[str]:
    """What a name in SystemCallFilter= stands for."""
    if not group.startswith("@"):
        return frozenset({group})
    told = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    names = [line.strip() for line in told.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return frozenset().union(*(calls_of(name) for name in names))


def allowed_calls() -> set[str]:
    allowed: set[str] = set()
    for line in unit()["SystemCallFilter"]:
        for word in line.removeprefix("~").split():
            allowed = allowed - calls_of(word) if line.startswith("~") else allowed | calls_of(word)
    return allowed


@needs_systemd
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed; apt-get install strace")
def test_the_unit_allows_every_call_of_server_and_workers(tmp_path: Path) -> None:
    put_pictures(tmp_path / "in")
    (tmp_path / "out").mkdir()
    log, calls = tmp_path / "log", tmp_path / "calls"
    roots = f"--read-root {tmp_path}/in --write-root {tmp_path}/out --data-dir {tmp_path}/data"
    server_words = f"{sys.executable} -m imgserve start --foreground --host 127.0.0.1 --port 0 --workers 1 {roots}"
    command = f"strace -f -c -U name -o {calls} {server_words} --sandbox require".split()
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as tracer:
        try:
            wait_until(lambda: READY.search(log.read_text()) or tracer.poll() is not None, 60)
            found = READY.search(log.read_text())
            assert found, log.read_text()
            server = Daemon(tmp_path / "data")
            server.url = found[1]
            assert server.post(job(tmp_path / "in/Ex.png", tmp_path / "out/a.png")).status == 200
            wait_until(lambda: "settled" in log.read_text(), 30)
            os.kill(first_child(tracer.pid), signal.SIGTERM)
            tracer.wait(40)
        finally:
            tracer.kill()
    used = {line.strip() for line in calls.read_text().splitlines()} - {"syscall", "total", ""}
    used = {name for name in used if not name.startswith("-")}
    assert {"execve", "fdatasync", "memfd_create", "landlock_restrict_self", "seccomp"} <= used
    assert used - allowed_calls() <= AS_ROOT_ONLY


KEY = "a-key-of-sixteen-letters"


class Pod(NamedTuple):
    server: Daemon
    container: dict[str, Any]
    process: subprocess.Popen[bytes]

    def probe(self, name: str) -> int:
        return get(self.server.url + self.container[f"{name}Probe"]["httpGet"]["path"])[0]


@contextlib.contextmanager
def pod(role: str, top: Path, settings: str, queue: str) -> Iterator[Pod]:
    """Its volumes are directories below ``top``, as the kubelet makes them: root's, with the pod's group."""
    container = container_of(role)
    texts = {
        "etc/imgserve/imgserve.toml": settings, "run/secrets/queue/password": PASSWORD, "run/secrets/keys/keys": KEY,
    }  # fmt: skip
    for mount in container["volumeMounts"]:
        (top / mount["mountPath"].lstrip("/")).mkdir(parents=True, mode=0o777)
    for name, text in texts.items():
        (top / name).write_text(text)
        (top / name).chmod(0o440)
        os.chown(top / name, 0, NOBODY)
    data = top / "data"
    data.chmod(0o777)
    environ = {one["name"]: one.get("value", "1") for one in container["env"]} | image_variables()
    environ = {name: re.sub(r"^/", f"{top}/", value) for name, value in environ.items()} | {"IMGSERVE_QUEUE": queue}
    keep = "".join(f"mount --bind {place} {place}; " for place in (data, top.parent / "out"))
    shut = f'set -e; {keep}mount -o remount,bind,ro /; exec "$@"'
    command = [
        *where_everybody_can_read_python(top),
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", shut, "sh"),
        *(*PLAIN_USER, "--no-new-privs", sys.executable, "-m", "imgserve"),
        *(re.sub(r"^/", f"{top}/", word) for word in container["args"]),
        *("--host", "127.0.0.1", "--port", "0"),
    ]
    log = top / "log"
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={"PATH": os.environ["PATH"]} | environ)
    try:
        wait_until(lambda: READY.search(log.read_text()) or process.poll() is not None, 40)
        ready = READY.search(log.read_text())
        assert ready, log.read_text()
        server = Daemon(data)
        server.url = ready[1]
        yield Pod(server, container, process)
    finally:
        # Its own end would not end the server, which has become another user.
        for child in children(process.pid):
            os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait()


@needs_root
def test_pods_take_a_job_and_carry_it_out(open_top: Path, postgres: Postgres) -> None:
    put_pictures(open_top / "in")
    (open_top / "out").mkdir()
    os.chown(open_top / "out", NOBODY, NOBODY)
    queue = postgres.url(postgres.database(), "other")
    settings = f'read_root = ["{open_top}/in"]\nwrite_root = ["{open_top}/out"]\n'
    with (
        pod("api", open_top / "api", settings, queue) as api,
        pod("runner", open_top / "runner", settings, queue) as runner,
    ):
        for each in (api, runner):
            assert [each.probe(name) for name in ("startup", "liveness", "readiness")] == [204, 204, 200]
        body = job(open_top / "in/Ex.png", open_top / "out/a.png")
        assert api.server.post(body, headers={"authorization": f"Bearer {KEY}"}).status == 200
        wait_until(lambda: '"settled"' in (open_top / "runner/log").read_text())
        assert opened((open_top / "out/a.png").read_bytes()).size == (20, 15)
        os.kill(first_child(runner.process.pid), signal.SIGTERM)
        assert runner.process.wait(40) == 0
