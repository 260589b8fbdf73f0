"""One request is one request: straight, by TLS, over the control socket, behind nginx, behind HAProxy.

Behind each case comes a request of the same connection, which tells whether the server still knows where it stands.
"""

import io
import json
import re
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pycurl
import pytest

from tests.hostile.framings import HOST, TE, Framing, chunked, counted, framings, request
from tests.support.certificates import Authority
from tests.support.daemon import Daemon
from tests.support.fronts import FRONTS, Front, Name
from tests.support.operating import ask, submitted
from tests.support.sizes import sized

PICTURE = Path(__file__).resolve().parents[2] / "examples" / "pictures" / "hills.jpg"
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
NEXT = b"GET /what-comes-next HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
PACKET_S = 0.002


class Served(NamedTuple):
    server: Daemon
    write: Path

    @property
    def port(self) -> int:
        return int(self.server.url.rpartition(":")[2])


def served(top: Path, *flags: str) -> Iterator[Served]:
    (top / "write").mkdir()
    roots = ("--read-root", str(PICTURE.parent), "--write-root", str(top / "write"))
    with Daemon(top / "data", *roots, *flags, switches={"request_body_timeout_s": 2}) as server:
        yield Served(server, top / "write")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from served(tmp_path_factory.mktemp("framing"))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    top = tmp_path_factory.mktemp("framing-tls")
    key, mark, certificate = Authority(top).server_file("localhost").read_text().partition("-----BEGIN CERTIFICATE")
    (top / "cert.pem").write_text(mark + certificate)
    (top / "key.pem").write_text(key)
    yield from served(top, "--tls-cert", str(top / "cert.pem"), "--tls-key", str(top / "key.pem"))


def job(to: Served, name: str) -> bytes:
    return json.dumps({
        "operationType": "resize", "srcURL": f"file://{PICTURE}", "dstURL": f"file://{to.write}/{name}",
        "args": {"width": 9, "height": 9},
    }).encode()  # fmt: skip


def cases(to: Served) -> tuple[Framing, ...]:
    body = job(to, "smuggled.png")
    return framings(request(counted(body), body))


def smuggled(to: Served) -> int:
    """Jobs that were taken and should not. One that comes now is taken after those that came before it."""
    submitted(to.server.data_dir, job(to, "last.png"))
    return len(ask(to.server.data_dir, "GET", "/v1/jobs?destination_contains=smuggled&limit=200").body["jobs"])


def conversation(connection: socket.socket, parts: tuple[bytes, ...]) -> bytes:
    """All that is answered until the server hangs up."""
    answered = b""
    with suppress(ConnectionError, ssl.SSLError):
        for part in parts:
            connection.sendall(part)
            if len(parts) < 10:
                time.sleep(PACKET_S)  # each part in a packet of its own; where two come as one, it is another case
    with suppress(ConnectionError, ssl.SSLError):
        while piece := connection.recv(65536):
            answered += piece
    return answered


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def secretly(to: Served) -> socket.socket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connected(to.port))


def controlling(to: Served) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(to.server.data_dir / "control.sock"))
    return connection


def misread(case: Framing, answered: bytes) -> bool:
    statuses = [int(status) for status in STATUS.findall(answered)]
    return statuses != [case.status, 404][: 1 + case.goes_on] or case.says not in answered


def test_one_request_is_one_request(plain: Served) -> None:
    wrong = {}
    for case in cases(plain):
        with connected(plain.port) as connection:
            answered = conversation(connection, (*case.parts, NEXT))
        if misread(case, answered):
            wrong[case.name] = answered
    assert not wrong
    assert smuggled(plain) == 0


def test_by_tls(secured: Served) -> None:
    wrong = {}
    for case in cases(secured)[:: sized(4, 1)]:
        with secretly(secured) as connection:
            answered = conversation(connection, (*case.parts, NEXT))
        if misread(case, answered):
            wrong[case.name] = answered
    assert not wrong
    assert smuggled(secured) == 0


def test_over_the_control_socket(plain: Served) -> None:
    """As at the other door, but any host will do, and there are fewer pages."""
    wrong = {}
    for case in cases(plain):
        with controlling(plain) as connection:
            answered = conversation(connection, (*case.parts, NEXT))
        if case.status == 401:
            case = case._replace(status=200, says=b"", goes_on="HTTP/1.0" not in case.name)
        elif case.status == 200 and b"/health " in case.parts[0]:
            case = case._replace(status=404, says=b"")
        if misread(case, answered):
            wrong[case.name] = answered
    assert not wrong
    assert smuggled(plain) == 0


@pytest.mark.parametrize("is_http2_wanted", [False, True])
def test_a_client_that_offers_http2_gets_its_job_done(plain: Served, *, is_http2_wanted: bool) -> None:
    """libcurl, as ``curl --http2`` does it: a real upgrade, which the twin leaves out."""
    name = f"http2-{is_http2_wanted}.png"
    answered = io.BytesIO()
    told: defaultdict[int, list[bytes]] = defaultdict(list)
    client = pycurl.Curl()
    client.setopt(pycurl.URL, plain.server.url)
    client.setopt(pycurl.POSTFIELDS, job(plain, name))
    client.setopt(
        pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_0 if is_http2_wanted else pycurl.CURL_HTTP_VERSION_1_1
    )
    client.setopt(pycurl.WRITEFUNCTION, answered.write)
    client.setopt(pycurl.VERBOSE, 1)
    client.setopt(pycurl.DEBUGFUNCTION, lambda kind, text: told[kind].append(text))
    client.perform()
    client.close()
    assert (b"Upgrade: h2c" in b"".join(told[pycurl.INFOTYPE_HEADER_OUT])) == is_http2_wanted
    assert answered.getvalue() == b'{"dstURL":"file://%b"}' % bytes(plain.write / name)
    assert (plain.write / name).exists()


# What java.net.http.HttpClient of Java 17 sends with its defaults; the body follows in a packet of its own.
JAVA = (
    b"POST / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: %d\r\nHost: localhost:%d\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
    b"User-Agent: Java-http-client/17.0.15\r\nContent-Type: application/json\r\n\r\n"
)


@pytest.mark.parametrize("packets", [1, 2])
def test_a_java_client_gets_its_job_done(plain: Served, packets: int) -> None:
    body = job(plain, f"java-{packets}.png")
    head = JAVA % (len(body), plain.port)
    with connected(plain.port) as connection:
        answered = conversation(connection, (*((head, body) if packets == 2 else (head + body,)), NEXT))
    assert STATUS.findall(answered) == [b"200", b"404"]
    assert b'{"dstURL":"file://%b"}' % bytes(plain.write / f"java-{packets}.png") in answered


def test_a_trailer_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a-key-of-some-length-01")
    key = b"Authorization: Bearer a-key-of-some-length-01\r\n"
    for to in served(tmp_path, "--api-key-file", str(tmp_path / "keys")):
        for fields, trailers, status in ((key, b"", 200), (b"", key, 401), (key, b"Authorization: no\r\n", 200)):
            with connected(to.port) as connection:
                answered = conversation(connection, (request(TE + fields, chunked(b"{}", trailers)), NEXT))
            assert STATUS.findall(answered)[:1] == [b"%d" % status], (fields, trailers)


@pytest.mark.parametrize("name", FRONTS)
def test_behind_a_proxy(plain: Served, tmp_path: Path, name: Name) -> None:
    """A proxy may refuse what it does not like, or read it in its own way: two requests have two answers."""
    before, answers, wrong = smuggled(plain), 0, {}
    with Front(name, plain.port, tmp_path / name) as front:
        for case in cases(plain)[:: sized(4, 1)]:
            with connected(front.port) as connection:
                answered = conversation(connection, (*case.parts, NEXT))
            answers += answered.count(b"/smuggled.png")
            with connected(front.port) as connection:
                following = conversation(connection, (request(b"Connection: close\r\n", line=b"GET /health HTTP/1.1"),))
            if b'"status":"ok"' not in following:
                wrong[case.name] = answered, following
    assert not wrong
    assert smuggled(plain) - before == answers
