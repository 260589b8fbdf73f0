"""Redirects of sources: read as browsers read them, cookies kept for the one transfer, each hop judged."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from imgserve.request.limits import Limits
from imgserve.transfer.client import location
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import SourceRefused, SourceUnavailable
from tests.support.transfers import LOOPBACK, Listener, fetch_bytes

BASE = "http://pics.test:81/a/b/c.png?q#f"
REFERENCES = {
    # what new URL(reference, base) gives (WHATWG URL, 4.4)
    "/x.png": "http://pics.test:81/x.png",
    "x.png": "http://pics.test:81/a/b/x.png",
    "../x.png": "http://pics.test:81/a/x.png",
    "?x": "http://pics.test:81/a/b/c.png?x",
    "": "http://pics.test:81/a/b/c.png?q",
    "#x": "http://pics.test:81/a/b/c.png?q",
    "//other.test/x": "http://other.test/x",
    "https://other.test/x": "https://other.test/x",
    "HTTP://other.test/x": "http://other.test/x",
    "\\x.png": "http://pics.test:81/x.png",
    "..\\x.png": "http://pics.test:81/a/x.png",
    "d\\x.png": "http://pics.test:81/a/b/d/x.png",
    "\\\\other.test\\x": "http://other.test/x",
    "/\\other.test/x": "http://other.test/x",
    "\\/other.test/x": "http://other.test/x",
    "///other.test/x": "http://other.test/x",
    "http:\\\\other.test\\d\\x": "http://other.test/d/x",
    "http:/x.png": "http://pics.test:81/x.png",
    "http:x.png": "http://pics.test:81/a/b/x.png",
    "http:///other.test/x": "http://other.test/x",
    "https:/other.test/x": "https://other.test/x",
    "https:other.test/x": "https://other.test/x",
    "http://other.test\\@pics.test/x": "http://other.test/@pics.test/x",
    "x?a=\\b": "http://pics.test:81/a/b/x?a=\\b",
    "  \t/x.png \r\n": "http://pics.test:81/x.png",
    "\x00\x1f/x.png\x00": "http://pics.test:81/x.png",
    "/x\t.p\nng": "http://pics.test:81/x.png",
    "ht\ttp://other.test/x": "http://other.test/x",
    "/a b.png": "http://pics.test:81/a%20b.png",
    "/\u00e9.png": "http://pics.test:81/%C3%A9.png",
    "other.test/x.png": "http://pics.test:81/a/b/other.test/x.png",
    "www.other.test": "http://pics.test:81/a/b/www.other.test",
    "/x.png#\\y": "http://pics.test:81/x.png",
    "http://user:pw@other.test/x": "http://other.test/x",
}


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_reference_leads_where_it_leads_a_browser(reference: str) -> None:
    found = location.resolve(BASE, reference)
    assert found.replace("%5c", "\\").replace("%5C", "\\") == REFERENCES[reference]


@pytest.mark.parametrize("reference", ["ftp://other.test/x", "file:///etc/passwd", "data:image/png,x", "javascript:x"])
def test_another_scheme_stays_another(reference: str) -> None:
    with suppress(ValueError):
        assert location.origin(location.resolve(BASE, reference)).scheme not in ("http", "https")


class Answers:
    """Answers each path with its own bytes, and keeps what it was sent."""

    def __init__(self) -> None:
        self.of: dict[str, bytes] = {}
        self.requests: list[bytes] = []

    def redirect(self, path: str, to: bytes, *fields: bytes) -> None:
        head = b"HTTP/1.1 302 Found\r\nLocation: " + to + b"\r\n" + b"".join(field + b"\r\n" for field in fields)
        self.of[path] = head + b"Content-Length: 0\r\nConnection: close\r\n\r\n"

    def serve(self, peer: socket.socket) -> None:
        with suppress(OSError):
            request = peer.recv(65_536)
            self.requests.append(request)
            path = request.split()[1].decode("latin-1")
            usual = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\npicture"
            peer.sendall(self.of.get(path, usual))

    def cookies(self) -> list[bytes]:
        return [_field(request, b"cookie") for request in self.requests]


def _field(request: bytes, name: bytes) -> bytes:
    for line in request.split(b"\r\n"):
        if line.lower().startswith(name + b":"):
            return line.partition(b":")[2].strip()
    return b""


@pytest.fixture
def answers() -> Iterator[tuple[Answers, int]]:
    given = Answers()
    with Listener(given.serve) as listener:
        yield given, listener.port


@pytest.fixture
async def transfers() -> AsyncIterator[Transfers]:
    made = Transfers(Config(allow_networks=LOOPBACK, source_timeout_s=5.0), Limits())
    yield made
    await made.aclose()


async def fetch(transfers: Transfers, url: str) -> bytes:
    return await fetch_bytes(transfers, url)


@pytest.mark.parametrize(
    "location", [b"\\d\\x.png", b"  /d/x.png\t", b"http:/d/x.png", b"/d/\xe9.png", b"/d/\xc3\xa9.png"]
)
async def test_an_odd_location_is_followed(answers: tuple[Answers, int], transfers: Transfers, location: bytes) -> None:
    given, port = answers
    given.redirect("/a.png", location)
    assert await fetch(transfers, f"http://127.0.0.1:{port}/a.png") == b"picture"
    path = given.requests[-1].split()[1].lower()
    assert path == (b"/d/%c3%a9.png" if b"\xe9" in location or b"\xa9" in location else b"/d/x.png")


async def test_a_cookie_comes_back_on_the_next_hop_and_never_again(
    answers: tuple[Answers, int], transfers: Transfers
) -> None:
    given, port = answers
    url = f"http://127.0.0.1:{port}/a.png"
    given.redirect("/a.png", b"/b.png", b"Set-Cookie: s=1; Path=/; Max-Age=3600", b"Set-Cookie: t=2")
    for _ in range(2):
        given.requests.clear()
        assert await fetch(transfers, url) == b"picture"
        first, second = given.cookies()
        assert first == b""
        assert sorted(second.split(b"; ")) == [b"s=1", b"t=2"]
    given.requests.clear()
    await fetch(transfers, f"http://127.0.0.1:{port}/c.png")
    assert given.cookies() == [b""]


async def test_a_source_that_redirects_to_itself_until_the_cookie_comes(transfers: Transfers) -> None:
    def serve(peer: socket.socket) -> None:
        request = peer.recv(65_536)
        done = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\npicture"
        again = b"HTTP/1.1 302 Found\r\nSet-Cookie: s=1; Path=/\r\nLocation: /a.png\r\nContent-Length: 0\r\n"
        peer.sendall(done if _field(request, b"cookie") == b"s=1" else again + b"Connection: close\r\n\r\n")

    with Listener(serve) as listener:
        assert await fetch(transfers, f"http://127.0.0.1:{listener.port}/a.png") == b"picture"


@pytest.mark.parametrize("cookie", [b"s=1", b"s=1; Domain=127.0.0.1", b"s=1; Domain=localhost", b"s=1; Domain=.0.1"])
async def test_a_cookie_goes_to_no_other_host(
    answers: tuple[Answers, int], transfers: Transfers, cookie: bytes
) -> None:
    given, port = answers
    given.redirect("/a.png", f"http://localhost:{port}/b.png".encode(), b"Set-Cookie: " + cookie + b"; Path=/")
    assert await fetch(transfers, f"http://127.0.0.1:{port}/a.png") == b"picture"
    assert given.cookies() == [b"", b""]


async def test_the_host_that_refuses_is_named(transfers: Transfers) -> None:
    """And not the one whose redirect led there; what it may want is told."""
    refusal = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def saying(answer: bytes) -> Callable[[socket.socket], None]:
        def serve(peer: socket.socket) -> None:
            peer.recv(65_536)
            peer.sendall(answer)

        return serve

    with Listener(saying(refusal)) as refusing:
        head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/s3cret.png\r\n" % refusing.port
        head += b"Content-Length: 0\r\nConnection: close\r\n\r\n"
        with (
            Listener(saying(head)) as leading,
            pytest.raises(SourceUnavailable) as caught,
        ):
            await fetch(transfers, f"http://127.0.0.1:{leading.port}/a.png")
    assert f"127.0.0.1:{refusing.port}, where 127.0.0.1:{leading.port} redirects, answered 403" in caught.value.detail
    assert "s3cret" not in caught.value.sentence()
    assert "setting referer" in caught.value.hint


async def test_a_login_stays_with_its_origin(answers: tuple[Answers, int], transfers: Transfers) -> None:
    given, port = answers
    given.redirect("/a.png", b"/b.png")
    given.redirect("/b.png", f"http://localhost:{port}/c.png".encode())
    await fetch(transfers, f"http://user:pw@127.0.0.1:{port}/a.png")
    logins = [_field(request, b"authorization") for request in given.requests]
    assert logins == [b"Basic dXNlcjpwdw=="] * 2 + [b""]


@pytest.mark.parametrize(
    "host", ["127.0.0.2", "\uff11\uff12\uff17.0.0.1", "%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1", "p\u00edcs.test"]
)
async def test_each_hop_is_judged(tmp_path: Path, host: str) -> None:
    """A host that is not written in ASCII could be read as another one by whoever resolves it."""
    reached: list[bytes] = []

    def serve(peer: socket.socket) -> None:
        reached.append(peer.recv(65_536))
        peer.sendall(f"HTTP/1.1 302 Found\r\nLocation: http://{host}:{listener.port}/b\r\n\r\n".encode())

    transfers = Transfers(Config(allow_networks=("127.0.0.1/32",), source_timeout_s=5.0), Limits())
    with Listener(serve) as listener:
        with pytest.raises((SourceRefused, SourceUnavailable)) as caught:
            await fetch(transfers, f"http://127.0.0.1:{listener.port}/a.png")
        await transfers.aclose()
    assert len(reached) == 1
    assert not caught.value.is_retryable


@pytest.mark.parametrize("host", ["\uff11\uff12\uff17.0.0.1", "%E2%91%A0.test", "p\u00edcs.test"])
async def test_a_proxy_is_told_no_host_beyond_ascii(host: str) -> None:
    asked: list[bytes] = []

    def serve(peer: socket.socket) -> None:
        asked.append(peer.recv(65_536))
        peer.sendall(f"HTTP/1.1 302 Found\r\nLocation: http://{host}/b\r\n\r\n".encode())

    with Listener(serve) as proxy:
        config = Config(proxy=f"http://127.0.0.1:{proxy.port}", source_timeout_s=5.0)
        transfers = Transfers(config, Limits())
        with pytest.raises(SourceUnavailable, match=r"ASCII|cannot be used"):
            await fetch(transfers, "http://pics.test/a.png")
        if host.startswith("%"):
            with pytest.raises(SourceUnavailable, match=r"ASCII|cannot be used"):
                await fetch(transfers, f"http://{host}/a.png")
        await transfers.aclose()
    assert len(asked) == 1


async def test_an_international_host_is_followed_by_its_ascii_name(
    answers: tuple[Answers, int], transfers: Transfers
) -> None:
    given, port = answers
    given.redirect("/a.png", f"http://xn--pcs-pma.test:{port}/b".encode())
    with pytest.raises(SourceUnavailable, match="no host"):
        await fetch(transfers, f"http://127.0.0.1:{port}/a.png")
