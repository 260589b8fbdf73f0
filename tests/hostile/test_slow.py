"""Those who take their time: clients that send a header or a picture a byte at a time, headers without end, a source
that trickles.

Each is ended by its limit, and the others are answered meanwhile.
"""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.chaos.gauges import descriptors, memory
from tests.chaos.lane import Lane
from tests.hostile.neighbours import Ends, Neighbour, Times, compare
from tests.hostile.slow_clients import START, STARTS
from tests.service.conftest import put_pictures
from tests.support.daemon import LOOPBACK, Daemon, Reply, wait_until
from tests.support.sizes import Figures, sized
from tests.support.streams import LATER, Shops, posted
from tests.support.transfers import Listener

CLIENTS = sized(150, 500)
ROUNDS, ROUND_S = sized(1, 4), sized(1.0, 15.0)
HEADER_S, SLOW_S, SLACK_S = 1.5, 1, 8.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    top = tmp_path_factory.mktemp("slow")
    put_pictures(top / "read")
    (top / "write").mkdir()
    limits = {"request_header_timeout_s": HEADER_S, "request_body_timeout_s": HEADER_S, "low_speed_time_s": SLOW_S}
    roots = ("--read-root", str(top / "read"), "--write-root", str(top / "write"))
    with Daemon(top / "data", *LOOPBACK, *roots, switches=limits) as made:
        yield made


def connected(server: Daemon) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20)


def ended(client: socket.socket) -> bool:
    """Whether the server closes; a byte now and then keeps the client slow, not silent."""
    client.settimeout(0.2)
    ends_at = time.monotonic() + HEADER_S + SLACK_S
    while time.monotonic() < ends_at:
        try:
            client.sendall(b"x")
            if not client.recv(4096):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def picture(server: Daemon) -> Reply:
    top = server.data_dir.parent
    job = {"operationType": "resize", "srcURL": f"file://{top}/read/Ex.png", "dstURL": f"file://{top}/write/a.png"}
    return server.post({**job, "args": {"width": 20, "height": 15}})


@pytest.mark.parametrize("start", STARTS, ids=["header", "body", "upload"])
def test_slow_clients_hold_nobody_up(server: Daemon, start: bytes) -> None:
    clients = [connected(server) for _ in range(CLIENTS)]
    try:
        for client in clients:
            client.sendall(start)
        asked = time.monotonic()
        for _ in range(5):
            assert "dstURL" in picture(server).body
        assert time.monotonic() - asked < SLACK_S
        waiting = [threading.Thread(target=lambda one=client: done.append(ended(one))) for client in clients]
        done: list[bool] = []
        for thread in waiting:
            thread.start()
        for thread in waiting:
            thread.join()
        assert done == [True] * CLIENTS
    finally:
        for client in clients:
            client.close()
    assert "dstURL" in picture(server).body


@contextmanager
def slow_clients(url: str) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.hostile.slow_clients", url.rpartition(":")[2], str(CLIENTS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
        assert crowd.stdout is not None
        assert crowd.stdout.readline() == "standing\n"
        yield
        told, _ = crowd.communicate(timeout=20)
        assert int(told) >= sized(0, CLIENTS), "the server let them be"


def test_others_hardly_notice_slow_clients(tmp_path: Path, figures: Figures) -> None:
    """With the limits that a server has by itself."""
    alone: list[Times] = []
    attacked: list[Times] = []
    with Lane(tmp_path / "lane", workers=2) as lane:
        lane.web.log = log = Ends()
        neighbour = Neighbour(lane, log)
        neighbour.call_for(ROUND_S)  # the first placeholders have to be drawn
        for _ in range(ROUNDS):
            alone += neighbour.call_for(ROUND_S)
            with slow_clients(lane.daemon.url):
                attacked += neighbour.call_for(ROUND_S)
                assert descriptors(lane.daemon.pid) > CLIENTS, "they are not connected any more"
    figures("slow clients", CLIENTS)
    compare(figures, alone, attacked)


def test_headers_without_end_are_ended(server: Daemon) -> None:
    before, started = memory(server.pid, "VmRSS"), time.monotonic()
    with connected(server) as client, suppress(ConnectionError):
        client.sendall(START)
        line = b"X-A: " + b"a" * 1000 + b"\r\n"
        while time.monotonic() - started < HEADER_S + SLACK_S:
            client.sendall(line)
            time.sleep(0.001)  # as fast as a line that has other users
    assert time.monotonic() - started < HEADER_S + SLACK_S
    assert memory(server.pid, "VmRSS") - before < 50_000_000


def trickle(peer: socket.socket) -> None:
    with suppress(OSError):
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            peer.sendall(b"x")
            time.sleep(0.1)


def test_a_source_that_trickles_is_ended(server: Daemon, tmp_path: Path) -> None:
    args = {"width": 20, "height": 15}
    destination = f"file://{server.data_dir.parent}/write/never.png"
    with Listener(trickle) as source:
        started = time.monotonic()
        job = {"operationType": "resize", "srcURL": f"http://127.0.0.1:{source.port}/a.png", "dstURL": destination}
        replies: list[Reply] = []
        slow = threading.Thread(target=lambda: replies.append(server.post({**job, "args": args})))
        slow.start()
        assert "dstURL" in picture(server).body
        slow.join()
        assert replies[0].body["code"] == 201
        assert time.monotonic() - started < SLOW_S + SLACK_S
    assert not (server.data_dir.parent / "write" / "never.png").exists()


@pytest.mark.full_size  # 1,300 events of 30 KB; tests/integration/test_feed.py has the same limit
def test_a_reader_of_events_that_takes_nothing_is_cut_off_and_misses_nothing(tmp_path: Path) -> None:
    shops = Shops(tmp_path)
    with shops.daemon:
        shop = shops.shop()
        with shops.deaf(shop), shops.stream(shop) as reader:
            events = []
            for _ in range(26):
                posted(shop, shops.job(50, not_before=LATER))
                events += reader.until("job.accepted")
            wait_until(lambda: "stream_stalled" in shops.daemon.log)
        with shops.stream(shop, f"/v1/events?after={events[0].id}") as again:
            assert [next(again).id for _ in range(len(events) - 1)] == [event.id for event in events[1:]]
