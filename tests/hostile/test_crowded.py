"""More connections than there is room for, and no file descriptor left: both are told, pass, and cost no job a try."""

import fcntl
import http.client
import json
import os
import resource
import socket
import ssl
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

import pytest

from imgserve.api.http.refusals import MOST
from tests.support.certificates import Authority
from tests.support.daemon import LOOPBACK, Daemon, wait_until
from tests.support.operating import ask, submitted
from tests.support.sites import Serving
from tests.support.sizes import PATIENCE_S, sized

PICTURE = Path(__file__).resolve().parents[2] / "examples" / "pictures" / "hills.jpg"
HALF = b"POST / HTTP/1.1\r\nHost: localhost\r\nX: "
LIMITED = (
    "-c", "import resource, runpy; resource.setrlimit(resource.RLIMIT_NOFILE, (%d, %d));"
    " runpy.run_module('imgserve', run_name='__main__')",
)  # fmt: skip


def limited_to(descriptors: int) -> tuple[str, str]:
    return LIMITED[0], LIMITED[1] % (descriptors, descriptors)


def daemon(top: Path, *flags: str, descriptors: int = 0, **switches: object) -> Daemon:
    (top / "out").mkdir(exist_ok=True)
    roots = ("--read-root", str(PICTURE.parent), "--write-root", str(top / "out"))
    program = limited_to(descriptors) if descriptors else ("-m", "imgserve")
    return Daemon(top / "data", *LOOPBACK, *roots, *flags, switches=switches, program=program)


def job(top: Path, name: str, source: str = f"file://{PICTURE}") -> bytes:
    sizes = {"width": 9, "height": 9}
    target = f"file://{top}/out/{name}"
    return json.dumps({"operationType": "resize", "srcURL": source, "dstURL": target, "args": sizes}).encode()


def port_of(server: Daemon) -> int:
    return int(server.url.rpartition(":")[2])


def connected(server: Daemon) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(server)), timeout=PATIENCE_S)


def unsent(client: socket.socket) -> int:
    """Bytes that the server's kernel has not taken yet (tcp(7), SIOCOUTQ)."""
    return int.from_bytes(fcntl.ioctl(client, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def open_descriptors(server: Daemon) -> int:
    return len(os.listdir(f"/proc/{server.pid}/fd"))


@contextmanager
def half_sent(server: Daemon, count: int) -> Iterator[list[bytes]]:
    """``count`` clients that send half a header and wait; what those were told that the server does not wait for."""
    with ExitStack() as stack:
        told = []
        for _ in range(count):
            client = stack.enter_context(connected(server))
            with suppress(ConnectionError):
                client.sendall(HALF)
            client.settimeout(0)
            with suppress(BlockingIOError, ConnectionError):
                told.append(client.recv(4096))
        yield told


def test_half_sent_headers_leave_descriptors_for_the_servers_own_work(tmp_path: Path) -> None:
    count = sized(400, 1400)
    with daemon(tmp_path, descriptors=1024, request_header_timeout_s=60) as server:
        with half_sent(server, count):
            assert open_descriptors(server) < 1024 // 2
            with connected(server) as one_more:
                answer = one_more.recv(4096)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 5" in answer
            assert b'"code":301' in answer
            assert b"x-frame-options: DENY" in answer
            submitted(server.data_dir, job(tmp_path, "a.jpg"))
            wait_until(lambda: "ends=delivered" in server.log)
        wait_until(lambda: server.post(job(tmp_path, "b.jpg")).status == 200)
        assert server.log.count("connections_refused") == 1
        assert "connections_refused reason=all limit=256" in server.log
        assert "fault" not in server.log


def test_a_refused_client_that_sends_its_request_in_parts_reads_why(tmp_path: Path) -> None:
    with daemon(tmp_path, max_connections=1, request_header_timeout_s=60) as server, connected(server) as taken:
        taken.sendall(HALF)
        with connected(server) as client:
            client.recv(1, socket.MSG_PEEK)  # the answer is there, and the server has nothing more to say
            for part in (b"POST / HTTP/1.1\r\n", b"Host: localhost\r\nContent-Length: 20\r\n\r\n", b"{}" * 10):
                client.sendall(part)
                wait_until(lambda: unsent(client) == 0)
            with client.makefile("rb") as answer:
                assert answer.read().startswith(b"HTTP/1.1 503 ")


def test_a_flood_of_refused_clients_holds_few_descriptors(tmp_path: Path) -> None:
    with daemon(tmp_path, max_connections=1, request_header_timeout_s=60) as server, connected(server) as taken:
        taken.sendall(HALF)
        with connected(server) as first:
            assert first.recv(12) == b"HTTP/1.1 503"
        before = open_descriptors(server)  # with that of the one before, which has been accepted by now
        with ExitStack() as stack:
            for _ in range(3 * MOST):
                client = stack.enter_context(connected(server))
                assert client.recv(12) == b"HTTP/1.1 503"
            assert open_descriptors(server) < before + 2 * MOST
            one_more = stack.enter_context(connected(server))
            one_more.recv(4096)
            assert one_more.recv(4096) == b""
            wait_until(lambda: open_descriptors(server) <= before)


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_seat_is_free_again_when_its_connection_ends(tmp_path: Path, *, is_tls: bool) -> None:
    """By TLS a connection counts before its handshake, which these never begin."""
    flags: tuple[str, ...] = ()
    if is_tls:
        key, mark, pem = Authority(tmp_path).server_file("localhost").read_text().partition("-----BEGIN CERTIFICATE")
        (tmp_path / "cert").write_text(mark + pem)
        (tmp_path / "key").write_text(key)
        flags = ("--tls-cert", str(tmp_path / "cert"), "--tls-key", str(tmp_path / "key"))
    context = ssl._create_unverified_context()
    with daemon(tmp_path, *flags, max_connections=5, request_header_timeout_s=60) as server:
        for _ in range(3):
            with ExitStack() as stack:
                for _ in range(5):
                    stack.enter_context(connected(server))
                with connected(server) as one_more:
                    assert one_more.recv(4096)[:12] == (b"" if is_tls else b"HTTP/1.1 503")

            def is_served() -> bool:
                with suppress(OSError), ExitStack() as inner:
                    plain = inner.enter_context(connected(server))
                    client = inner.enter_context(context.wrap_socket(plain)) if is_tls else plain
                    client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    return client.recv(12) == b"HTTP/1.1 200"
                return False

            wait_until(is_served)


ARENA = """
import socket, sys
from pathlib import Path
from tests.support.daemon import wait_until
from tests.hostile.test_crowded import HALF, daemon, job

top = Path(sys.argv[1])
with daemon(top, "--host", "0.0.0.0", request_header_timeout_s=60, max_connections_per_address=7) as server:
    port = int(server.url.rpartition(":")[2])
    def asked(address, is_refused=False):
        one = socket.create_connection((address, port), timeout=20, source_address=(address, 0))
        one.sendall(HALF)
        one.settimeout(20 if is_refused else 0.05)
        try:
            return one, one.recv(12)
        except TimeoutError:
            return one, None
        except ConnectionError:
            return one, b"HTTP/1.1 503"
    near = [asked("10.1.2.3", number >= 7) for number in range(9)]
    assert [told for _, told in near] == [None] * 7 + [b"HTTP/1.1 503"] * 2, near
    assert asked("10.1.2.4")[1] is None
    assert [asked("127.0.0.1")[1] for _ in range(9)] == [None] * 9
    server.url = f"http://127.0.0.1:{port}"
    assert server.post(job(top, "a.jpg")).status == 200
    wait_until(lambda: "connections_refused reason=address limit=7 connections=1 client=10.1.2.3" in server.log)
    for one, _ in near:
        one.close()
    wait_until(lambda: asked("10.1.2.3")[1] is None)
print("ok")
"""
NETWORK = 'ip link set lo up; ip address add 10.1.2.3/32 dev lo; ip address add 10.1.2.4/32 dev lo; exec "$@"'


def test_one_address_does_not_have_all_the_seats(tmp_path: Path) -> None:
    """In a network of its own, whose other addresses are this machine's too."""
    command = ["unshare", "--net", "--map-root-user", "sh", "-ec", NETWORK, "sh", sys.executable, "-c", ARENA]
    run = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=100, check=False)
    assert (run.stdout, run.returncode) == ("ok\n", 0), run.stderr


class HeldSource(Serving):
    """Serves the picture's first half, and the rest once ``go`` is set. ``gone`` counts those who did not wait."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.gone = 0
        picture, held = PICTURE.read_bytes(), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(picture)))
                self.end_headers()
                self.wfile.write(picture[: len(picture) // 2])
                self.connection.settimeout(0.02)
                while not held.go.is_set():
                    with suppress(TimeoutError):
                        if not self.connection.recv(1):
                            held.gone += 1
                            return
                self.connection.settimeout(None)
                self.wfile.write(picture[len(picture) // 2 :])

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        self.url += "/hills.jpg"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go.set()
        super().__exit__(kind, error, trace)


@contextmanager
def no_descriptors_for(server: Daemon) -> Iterator[None]:
    old = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (3, old[1]))
    yield
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, old)


def test_without_a_descriptor_the_server_is_busy_and_nothing_is_charged(tmp_path: Path) -> None:
    with HeldSource() as source, daemon(tmp_path, retry_delay_s=0.3) as server:
        known = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=PATIENCE_S)
        known.request("POST", "/", job(tmp_path, "held.jpg", source.url))
        held = known.getresponse()
        held.read()
        number = held.headers["x-imgserve-job"]
        with no_descriptors_for(server):
            for url in (source.url, f"file://{PICTURE}"):
                known.request("POST", "/", job(tmp_path, "none.jpg", url))
                answer = known.getresponse()
                told = json.loads(answer.read())
                assert (answer.status, told["code"]) == (503, 301)
                assert "no file descriptor left" in told["detail"]
                assert answer.headers["retry-after"]
            late = connected(server)  # it waits to be accepted
            late.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            source.go.set()
            wait_until(lambda: "ends=retry code=out_of_descriptors" in server.log)
            wait_until(lambda: server.log.count("error out_of_descriptors") > 1)  # a line a second: roots are looked at
        assert late.recv(12) == b"HTTP/1.1 200"
        late.close()
        known.close()
        wait_until(lambda: "ends=delivered" in server.log)
        told = ask(server.data_dir, "GET", f"/v1/jobs/{number}").body
        assert (told["status"], told["outputs"][0]["attempts"]) == ("succeeded", 1)
        assert "bug" not in server.log
        assert "root_unavailable" not in server.log
        (tmp_path / "out").rename(tmp_path / "away")
        wait_until(lambda: "state_entered state=root_unavailable" in server.log)


def test_many_small_pictures_wait_within_the_limit(tmp_path: Path) -> None:
    """What was downloaded for a reply is kept for the render, but never so many that nothing else can be opened."""
    count, descriptors = sized(60, 950), sized(256, 1024)
    with HeldSource() as blocking, daemon(tmp_path, descriptors=descriptors, max_attempts_at_once=1) as server:
        assert server.post(job(tmp_path, "first.jpg", blocking.url)).status == 200
        for number in range(count):
            assert server.post(job(tmp_path, f"{number}.jpg")).status == 200
        assert open_descriptors(server) < descriptors // 2
        blocking.go.set()
        wait_until(lambda: server.log.count("ends=delivered") == count + 1, timeout_s=PATIENCE_S)
        assert server.stop() == 0  # which writes the log to its end
    assert "out_of_descriptors" not in server.log


def test_a_superseded_job_drops_its_download(tmp_path: Path) -> None:
    with HeldSource() as first, HeldSource() as older, daemon(tmp_path, max_attempts_at_once=1) as server:
        assert server.post(job(tmp_path, "first.jpg", first.url)).status == 200
        wait_until(lambda: "action=claimed" in server.log or ask(
            server.data_dir, "GET", "/v1/jobs?status=running").body["jobs"])  # fmt: skip
        assert server.post(job(tmp_path, "same.jpg", older.url)).status == 200
        assert older.gone == 0
        assert server.post(job(tmp_path, "other.jpg")).status == 200
        assert older.gone == 0
        assert server.post(job(tmp_path, "same.jpg")).status == 200
        wait_until(lambda: older.gone == 1)
