"""Whatever hangs, SIGTERM ends the server within ``drain_s`` + 5 s, and the next start carries its jobs on."""

import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from examples.receivers import Behaviour

from tests.chaos.gauges import Gauge, Spent
from tests.chaos.lane import Lane
from tests.chaos.test_workers import ready_workers
from tests.support.daemon import LOOPBACK, READY, Daemon, wait_until
from tests.support.hanging import HungMount
from tests.support.sizes import PATIENCE_S, sized

DRAIN_S, MARGIN_S = 0.5, 5.0
SLACK_S = sized(5.0, 0.2)  # beside other tests the machine has other work


class Hang(NamedTuple):
    """``jobs`` are under way, ``said`` is in the log afterwards, and ``status`` the server's."""

    jobs: tuple[int, ...] = ()
    said: str = ""
    status: int = 0


@pytest.fixture
def lane(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lane]:
    hang = request.node.callspec.params["hang"]
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    programs = {a_stuck_loop: ("tests.support.hanging", "loop"), a_stalled_disk: ("tests.chaos.unplugged", str(shadow))}
    program = ("-m", *programs.get(hang, ("tests.support.hanging", "thread")))
    with Lane(tmp_path / "lane", workers=2, switches={"drain_s": DRAIN_S}, program=program) as lane:
        yield lane


def running(lane: Lane, number: int, job: dict[str, object]) -> None:
    lane.accept({**job, "placeholder": "none"})
    lane.until(number, lambda entry: entry.status == "running")


@contextmanager
def a_hung_mount(lane: Lane) -> Iterator[Hang]:
    place = lane.place("file", "hung")
    with HungMount(place.path.parent) as mount:
        running(lane, 0, lane.job(0, place, "held/good-0.png"))
        mount.hang()
        lane.sources.release("good-0.png")
        wait_until(lambda: "info render " in lane.daemon.log)
        yield Hang((0,), "imgserve-file_")


@contextmanager
def a_silent_destination(lane: Lane) -> Iterator[Hang]:
    lane.web.behave("/silent/", Behaviour(never=True))
    running(lane, 1, lane.job(1, lane.place("put", "silent"), "plain/good-1.png"))
    wait_until(lambda: lane.web.connections > 0)
    yield Hang((1,))
    lane.web.behave("/silent/", Behaviour())


@contextmanager
def a_silent_source(lane: Lane) -> Iterator[Hang]:
    running(lane, 2, lane.job(2, lane.place("put", "unfetched"), "held/good-2.png"))
    yield Hang((2,))
    lane.sources.release("good-2.png")


@contextmanager
def a_silent_placeholder(lane: Lane) -> Iterator[Hang]:
    """The caller is told to ask again, and the next start goes on with the job all the same."""
    lane.web.behave("/waiting/", Behaviour(never=True))
    with ThreadPoolExecutor(1) as threads:
        posting = threads.submit(lane.post, lane.job(4, lane.place("put", "waiting"), "plain/good-4.png"))
        wait_until(lambda: any(entry.job == 4 for entry in lane.entries([4])))
        yield Hang((4,), "intake_cut_short requests=1")
        reply = posting.result()
        assert reply is not None
        assert (reply.status, reply.body["code"]) == (503, 301)
    lane.web.behave("/waiting/", Behaviour())


@contextmanager
def stopped_workers(lane: Lane) -> Iterator[Hang]:
    running(lane, 3, lane.job(3, lane.place("put", "unrendered"), "held/good-3.png"))
    for pid in ready_workers(lane.daemon.pid):
        os.kill(pid, signal.SIGSTOP)
    lane.sources.release("good-3.png")
    yield Hang((3,))


@contextmanager
def a_burning_thread(lane: Lane) -> Iterator[Hang]:
    with asking(lane, "/metrics"):
        spent = Spent([lane.daemon.pid])
        with Gauge(spent.look, 0.02):
            wait_until(lambda: spent.most_s > 0.3)
        yield Hang((), "hanging.py:")


@contextmanager
def a_stuck_loop(lane: Lane) -> Iterator[Hang]:
    with asking(lane, "/metrics"):
        yield Hang((), 'ended_by_force what="the start, or the event loop"', status=1)


@contextmanager
def half_a_request(lane: Lane) -> Iterator[Hang]:
    """At both doors."""
    port = int(lane.daemon.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as one, socket.socket(socket.AF_UNIX) as other:
        other.connect(os.fspath(Path(os.path.relpath(lane.daemon.data_dir)) / "control.sock"))
        for connection in (one, other):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        yield Hang()


@contextmanager
def many_at_once(lane: Lane) -> Iterator[Hang]:
    with ExitStack() as stack:
        kinds = (a_hung_mount, a_silent_destination, a_silent_source, half_a_request, a_burning_thread, stopped_workers)
        hangs = [stack.enter_context(kind(lane)) for kind in kinds]
        yield Hang(tuple(job for hang in hangs for job in hang.jobs), "imgserve-file_")


@contextmanager
def a_stalled_disk(lane: Lane) -> Iterator[Hang]:
    """Under the queue: no commit ends any more."""
    running(lane, 5, lane.job(5, lane.place("put", "unsettled"), "held/good-5.png"))
    stalled = lane.root.parent / "shadow" / "stalled"
    lane.turn()
    stalled.touch()
    lane.sources.release("good-5.png")
    yield Hang((5,), 'left_behind what="the queue"', status=1)
    stalled.unlink()


HANGS = (
    a_hung_mount, a_silent_destination, a_silent_source, a_silent_placeholder, stopped_workers, a_burning_thread,
    half_a_request, a_stuck_loop, a_stalled_disk, many_at_once,
)  # fmt: skip
SOME = (many_at_once,)


@contextmanager
def asking(lane: Lane, path: str) -> Iterator[None]:
    def ask() -> None:
        with suppress(OSError):
            urllib.request.urlopen(lane.daemon.url + path, timeout=PATIENCE_S).read()

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("hang", sized(SOME, HANGS), ids=lambda hang: hang.__name__)
def test_sigterm_ends_it_in_time_and_the_next_start_sends_again(
    lane: Lane, hang: Callable[[Lane], AbstractContextManager[Hang]]
) -> None:
    with hang(lane) as hanging:
        started = time.monotonic()
        status = lane.daemon.stop()
        took_s = time.monotonic() - started
    assert took_s < DRAIN_S + MARGIN_S + SLACK_S
    assert status == hanging.status
    assert hanging.said in lane.daemon.log
    lane.daemon.start()
    lane.until_ended(hanging.jobs)
    assert lane.faults(hanging.jobs) == []
    assert {entry.attempts for entry in lane.entries(hanging.jobs)} <= {0}, "a job was charged for the stop"


def stopped_in_time(server: Daemon) -> int:
    """The exit status."""
    started = time.monotonic()
    status = server.stop()
    assert time.monotonic() - started < DRAIN_S + MARGIN_S + SLACK_S
    return status


def a_silent_name_server(tmp_path: Path) -> None:
    """libcurl would wait for its threads that ask one."""
    if os.geteuid() != 0:
        pytest.skip("only root can have a resolv.conf of its own")
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.9.9.9\n")
    before = ("unshare", "--mount", "sh", "-c", f'mount --bind {resolver} /etc/resolv.conf; exec "$@"', "sh")
    job = {"operationType": "resize", "srcURL": "http://a.example/a.png", "dstURL": "http://127.0.0.1/a.png"}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server:
        name_server.bind(("127.9.9.9", 53))
        name_server.settimeout(PATIENCE_S)
        server = Daemon(tmp_path / "data", *LOOPBACK, switches={"drain_s": DRAIN_S}, before=before)
        with server, asking_for(server, {**job, "args": {"width": 20, "height": 15, "method": "PUT"}}):
            assert b"example" in name_server.recv(512)
            assert stopped_in_time(server) == 0
            assert "intake_cut_short requests=1" in server.log


def a_pipe_for_the_log_that_nobody_reads(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    command = [sys.executable, "-m", "imgserve", "start", "--foreground", "--host", "127.0.0.1", "--port", "0"]
    command += ["--data-dir", str(tmp_path / "data"), "--workers", "1"]
    environment = {**os.environ, "IMGSERVE_DRAIN_S": str(DRAIN_S)}
    with (
        subprocess.Popen(command, stderr=writer, env=environment) as server,
        open(reader, encoding="utf-8") as log,
    ):
        os.close(writer)
        url = next(ready[1] for line in log if (ready := READY.search(line)))
        for _ in range(60):
            with urllib.request.urlopen(url + "/", b'{"operationType": "resize"}', timeout=PATIENCE_S) as answer:
                answer.read()
        started = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE_S) == 0
        assert time.monotonic() - started < DRAIN_S + MARGIN_S + SLACK_S


def a_disk_that_stalls_while_it_starts(tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "stalled").touch()
    switches = {"drain_s": DRAIN_S, "failpoint_file": str(tmp_path / "none")}
    server = Daemon(tmp_path / "data", switches=switches, program=("-m", "tests.chaos.unplugged", str(shadow)))
    with ThreadPoolExecutor(1) as threads:
        starting = threads.submit(server.start)
        wait_until(lambda: " test_switches" in server.log or starting.done())
        assert stopped_in_time(server) == 1
        assert isinstance(starting.exception(), AssertionError), "it has started"
    assert 'ended_by_force what="the start, or the event loop" threads="MainThread in ' in server.log
    assert ", queue in " in server.log
    (shadow / "stalled").unlink()
    server.start()
    assert server.stop() == 0


ALONE = (a_pipe_for_the_log_that_nobody_reads, a_silent_name_server, a_disk_that_stalls_while_it_starts)


@pytest.mark.parametrize("try_out", sized(ALONE[:1], ALONE), ids=lambda try_out: try_out.__name__)
def test_sigterm_ends_it_in_time(tmp_path: Path, try_out: Callable[[Path], None]) -> None:
    try_out(tmp_path)


@contextmanager
def asking_for(server: Daemon, job: object) -> Iterator[None]:
    def ask() -> None:
        with suppress(OSError, http.client.HTTPException):
            server.post(job)

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    thread.join()
