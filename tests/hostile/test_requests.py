"""Requests that no client sends: each is answered with 4xx or hung up on, by each door, and the server goes on.

``framings`` has those that two readers could read differently.
"""

import itertools
import json
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.daemon import Daemon, wait_until
from tests.support.operating import ask, submitted
from tests.support.sizes import PATIENCE_S

PICTURE = Path(__file__).resolve().parents[2] / "examples" / "pictures" / "hills.jpg"
TIMES = {"request_header_timeout_s": 0.4, "request_body_timeout_s": 0.4}
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
HOST = b"Host: localhost\r\n"
FIXED = {
    "x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}  # fmt: skip
DOORS = ("tcp", "control")


class Refused(NamedTuple):
    """``parts`` are sent one after the other, PATH replaced. ``statuses``: of the answer, if there is one."""

    name: str
    parts: tuple[bytes, ...]
    statuses: tuple[int, ...] = (400,)
    must_answer: bool = False


def post(headers: bytes, body: bytes = b"") -> bytes:
    return b"POST PATH HTTP/1.1\r\n" + HOST + headers + b"\r\n" + body


SMUGGLED = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
MANY = b"".join(b"X%d: y\r\n" % number for number in range(10_000))
LARGE = (431,)
TOO_SLOW = (200, 408)  # the classic protocol says "request parse error" with 200
REFUSED = (
    Refused("half a header", (b"GET PATH HTTP/1.1\r\nHost: local",)),
    Refused("half a request line", (b"GE",)),
    Refused("nothing", (b"",)),
    Refused("blank lines for ever", (b"\r\n",) * 50),
    Refused("a header byte by byte", tuple(bytes([byte]) for byte in b"GET / HTTP/1.1\r\nHost: localhost-and-more")),
    Refused("half a body", (post(b"Content-Length: 500\r\n", b'{"a":'),), TOO_SLOW),
    Refused("a body byte by byte", (post(b"Content-Length: 500\r\n"), *((b" ",) * 100)), TOO_SLOW),
    Refused("chunks without an end", (post(TE), *((b"1\r\n \r\n",) * 100)), TOO_SLOW),
    Refused("an endless header", (b"GET PATH HTTP/1.1\r\nX: ", *((b"x" * 65536,) * 40)), LARGE),
    Refused("a header that goes on too long", (b"GET PATH HTTP/1.1\r\nX: ", b"x" * 70_000), LARGE, True),
    Refused("a large header", (b"GET PATH HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",), LARGE, True),
    Refused("an endless URL", (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",), LARGE, True),
    Refused("10,000 headers", (b"GET PATH HTTP/1.1\r\n" + MANY + b"\r\n",), LARGE, True),
    Refused("300 small headers", (b"GET PATH HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 300 + b"\r\n",), LARGE, True),
    Refused("noise", (bytes(range(256)) * 8,)),
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    top = tmp_path_factory.mktemp("requests")
    roots = ("--read-root", str(PICTURE.parent), "--write-root", str(top.parent))
    with Daemon(top / "data", *roots, switches=TIMES) as running:
        yield running


def connected(server: Daemon, door: str) -> socket.socket:
    if door == "control":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(5)
        connection.connect(str(server.data_dir / "control.sock"))
        return connection
    return socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=5)


def conversation(connection: socket.socket, parts: tuple[bytes, ...], every_s: float = 0.02) -> bytes:
    """All that is answered until the server hangs up. Parts come slowly, as long as somebody listens."""
    answered = b""
    try:
        for part in parts:
            connection.sendall(part)
            if len(parts) > 1:
                time.sleep(every_s)  # a slow client is slow by the clock
        while piece := connection.recv(65536):
            answered += piece
    except ConnectionError:
        pass
    return answered


def is_well(server: Daemon) -> bool:
    with urllib.request.urlopen(server.url + "/health", timeout=5) as answer:
        return bool(answer.status == 200)


def refused(server: Daemon, case: Refused, door: str) -> bytes:
    parts = tuple(part.replace(b"PATH", b"/") for part in case.parts)
    with connected(server, door) as connection:
        return conversation(connection, parts)


Answers = dict[tuple[str, str], Future[bytes]]


@pytest.fixture(scope="module")
def answers(server: Daemon) -> Iterator[Answers]:
    """Of all cases, which go on side by side: most of their time they wait for the server to hang up."""
    cases = list(itertools.product(REFUSED, DOORS))
    with ThreadPoolExecutor(len(cases)) as threads:
        yield {(case.name, door): threads.submit(refused, server, case, door) for case, door in cases}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_refused(server: Daemon, answers: Answers, case: Refused, door: str) -> None:
    answered = answers[case.name, door].result(PATIENCE_S)
    statuses = [int(status) for status in STATUS.findall(answered)]
    assert len(statuses) <= 1, answered
    assert set(statuses) <= set(case.statuses), answered
    assert statuses or not case.must_answer
    if statuses:
        head = answered.partition(b"\r\n\r\n")[0].decode().lower().split("\r\n")[1:]
        headers = {line.partition(": ")[0]: line.partition(": ")[2] for line in head}
        assert headers.items() >= {name: value.lower() for name, value in FIXED.items()}.items()
        wait_until(lambda: f"request={headers['x-request-id']}" in server.log)
    assert is_well(server)


@pytest.mark.parametrize("door", DOORS)
def test_what_looks_odd_and_is_not_wrong_is_answered(server: Daemon, door: str) -> None:
    path = {"tcp": b"/health", "control": b"/v1/server"}[door]
    old = b"GET " + path + b" HTTP/1.0\r\n" + HOST + b"\r\n"
    new = b"GET " + path + b" HTTP/1.1\r\n" + HOST
    last = new + b"Connection: close\r\n\r\n"
    for parts, count in (
        ((old,), 1),
        ((new + b"\r\n" + new + b"\r\n" + last,), 3),  # pipelined
        ((b"\r\n" + last,), 1),
        ((new[:9], new[9:30], new[30:] + b"Connection: close\r\n\r", b"\n"), 1),
    ):
        with connected(server, door) as connection:
            answered = conversation(connection, parts)
        assert STATUS.findall(answered) == [b"200"] * count, (parts, answered)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("headers", "rest", "is_whole"),
    [
        (TE, b"zz\r\n", False), (TE, b"", False), (TE, b"0\r\n\r\n", True),
        (b"Content-Length: 2000\r\n", b"", False), (b"Content-Length: 2000\r\n", b" " * 2000, True),
    ],
)  # fmt: skip
def test_a_whole_job_in_half_a_request_is_not_taken(
    server: Daemon, tmp_path: Path, door: str, headers: bytes, rest: bytes, is_whole: bool
) -> None:
    """Somebody between may have cut it off: what is missing could have changed it."""
    job = json.dumps({
        "operationType": "resize", "srcURL": f"file://{PICTURE}", "dstURL": f"file://{tmp_path}/x.png",
        "args": {"width": 10, "height": 10},
    }).encode()  # fmt: skip
    body = b"%x\r\n%s\r\n" % (len(job), job) if headers == TE else job
    with connected(server, door) as connection:
        connection.sendall(post(headers).replace(b"PATH", b"/") + body)
        time.sleep(0.05)  # the first part is read by then, or it is none; both are cases
        if rest:
            connection.sendall(rest if headers == TE else rest[len(job) :])
        else:
            connection.shutdown(socket.SHUT_WR)
        if is_whole:
            assert b" 20" in connection.recv(65536)
        else:
            conversation(connection, ())
    # A job that came later is taken by now, so this one would have been.
    submitted(server.data_dir, job.replace(b"x.png", b"later.png"))
    taken = ask(server.data_dir, "GET", f"/v1/jobs?destination_contains={tmp_path}/x.png").body["jobs"]
    assert len(taken) == is_whole
    assert (tmp_path / "x.png").exists() == is_whole
    assert is_well(server)


def test_a_broken_request_behind_one_that_is_not_answered_yet_gets_no_answer_in_its_place(server: Daemon) -> None:
    unread = post(b"Content-Length: 2\r\n", b"{}").replace(b"PATH", b"/")
    with connected(server, "tcp") as connection:
        answered = conversation(connection, (unread + b"NONSENSE\r\n\r\n",))
    assert b" 400 " not in answered
    assert is_well(server)
