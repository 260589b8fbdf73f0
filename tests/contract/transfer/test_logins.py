"""What some HTTP servers want before they give or take: Digest, a Referer, no Content-Type, collections to be made."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from imgserve.request.classic.destination import parse_destination
from imgserve.request.faults import RequestInvalid
from imgserve.request.limits import Limits
from imgserve.request.tags import EXAMPLE
from imgserve.transfer.client.handle import parse_referer
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DeliveryFailed, SourceUnavailable
from tests.support.sites import Serving
from tests.support.transfers import LOOPBACK, deliver_bytes, destination, fetch_bytes, write

PICTURE = b"picture" * 1000


class Server(Serving):
    """WebDAV in memory. ``challenge``: what a request without Digest is answered with."""

    def __init__(self) -> None:
        self.challenge = ""
        self.collections = {"/"}
        self.files: dict[str, bytes] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        owner = self

        class Handler(_Handler):
            server_state = owner

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        super().__init__(server)

    def requests(self, *names: str) -> list[tuple[str, str]]:
        return [(method, path) for method, path, _ in self.seen if not names or method in names]

    def fields(self, name: str) -> list[str]:
        return [fields.get(name, "") for _, _, fields in self.seen]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: Server

    def log_message(self, *_arguments: Any) -> None:
        """What came is kept in ``seen``."""

    def _answer(self, status: int, body: bytes = b"", *fields: tuple[str, str]) -> None:
        self.send_response_only(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _is_let_in(self) -> bool:
        given = self.headers.get("Authorization", "")
        self.server_state.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        if not self.server_state.challenge or is_right(given, self.command):
            return True
        self._answer(401, b"", *(("WWW-Authenticate", one) for one in self.server_state.challenge.split("|")))
        return False

    def do_GET(self) -> None:
        if self._is_let_in():
            body = self.server_state.files.get(self.path)
            self._answer(404 if body is None else 200, body or b"")

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self._is_let_in():
            is_there = self.path.rpartition("/")[0] + "/" in self.server_state.collections
            if is_there:
                self.server_state.files[self.path] = body
            self._answer(201 if is_there else 409)

    def do_DELETE(self) -> None:
        if self._is_let_in():
            self._answer(204 if self.server_state.files.pop(self.path, None) else 404)

    def do_MKCOL(self) -> None:
        if self._is_let_in():
            is_there = self.path.rstrip("/").rpartition("/")[0] + "/" in self.server_state.collections
            status = 405 if self.path in self.server_state.collections else 201 if is_there else 409
            if status == 201:
                self.server_state.collections.add(self.path)
            self._answer(status)


def is_right(given: str, method: str) -> bool:
    """RFC 7616, 3.4.1, for user:password."""
    if not given.startswith("Digest "):
        return False
    fields = {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]*))', given)}
    digest = hashlib.sha256 if fields.get("algorithm") == "SHA-256" else hashlib.md5

    def h(text: str) -> str:
        return digest(text.encode()).hexdigest()

    secret = h(f"{fields['username']}:{fields['realm']}:password")
    what = h(f"{method}:{fields['uri']}")
    middle = f":{fields['nc']}:{fields['cnonce']}:{fields['qop']}:" if "qop" in fields else ":"
    expected = h(f"{secret}:{fields['nonce']}{middle}{what}")
    return bool(fields["username"] == "user" and fields["response"] == expected)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        running.files["/a.png"] = PICTURE
        yield running


@pytest.fixture
async def transfers() -> AsyncIterator[Transfers]:
    made = Transfers(Config(allow_networks=LOOPBACK, source_timeout_s=5.0), Limits())
    yield made
    await made.aclose()


CHALLENGES = pytest.mark.parametrize(
    "challenge",
    [
        'Digest realm="r", nonce="n"',
        'Digest realm="r", nonce="n", qop="auth", algorithm=MD5',
        'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256',
        'Basic realm="b"|Digest realm="r", nonce="n", qop="auth"',
        'Digest realm="r", nonce="n", qop="auth"|Basic realm="b"',
    ],
)


@CHALLENGES
async def test_a_digest_login_fetches_puts_and_deletes(server: Server, transfers: Transfers, challenge: str) -> None:
    server.challenge = challenge
    url = server.url.replace("//", "//user:password@")
    assert await fetch_bytes(transfers, url + "/a.png") == PICTURE
    delivery = await deliver_bytes(transfers, destination("put", url + "/b.png"), PICTURE, write())
    assert delivery.is_verified
    assert server.files["/b.png"] == PICTURE
    await transfers.delete(destination("put", url + "/b.png"), write("failed"))
    assert "/b.png" not in server.files
    basic = [field for field in server.fields("authorization") if field.startswith("Basic")]
    assert len(basic) == 1, "once it is known, the password is no longer sent as it is"


async def test_a_wrong_digest_login_is_refused(server: Server, transfers: Transfers) -> None:
    server.challenge = 'Digest realm="r", nonce="n", qop="auth"'
    url = server.url.replace("//", "//user:s3cret@")
    with pytest.raises(SourceUnavailable, match="401") as caught:
        await fetch_bytes(transfers, url + "/a.png")
    with pytest.raises(DeliveryFailed, match="401") as other:
        await deliver_bytes(transfers, destination("put", url + "/b.png"), PICTURE, write())
    assert "s3cret" not in caught.value.sentence() + other.value.sentence()
    assert len(server.seen) < 10


async def test_without_a_login_nothing_is_tried(server: Server, transfers: Transfers) -> None:
    server.challenge = 'Digest realm="r", nonce="n"'
    with pytest.raises(SourceUnavailable, match="401"):
        await fetch_bytes(transfers, server.url + "/a.png")
    assert len(server.seen) == 1


async def test_a_referer_goes_to_its_host_alone(server: Server) -> None:
    config = Config(allow_networks=LOOPBACK, referers=("127.0.0.1=https://shop.test/", "*.other.test=http://x.test/"))
    transfers = Transfers(config, Limits())
    assert len(await fetch_bytes(transfers, server.url + "/a.png")) == len(PICTURE)
    await deliver_bytes(transfers, destination("put", server.url + "/b.png"), PICTURE, write())
    assert set(server.fields("referer")) == {"https://shop.test/"}
    server.seen.clear()
    await fetch_bytes(transfers, server.url.replace("127.0.0.1", "localhost") + "/a.png")
    assert server.fields("referer") == [""]
    await transfers.aclose()


@pytest.mark.parametrize(
    "text", ["shop.test", "=https://x.test/", "a b=https://x.test/", "x.test=ftp://y", "x=http://a\r\nb: c"]
)
def test_a_referer_that_cannot_be_sent_is_a_problem(text: str) -> None:
    assert [problem.field for problem in Config(referers=(text,)).problems()] == ["referers"]


def test_a_host_with_two_referers_is_a_problem() -> None:
    texts = ("Pics.test=https://a.test/", "*.pics.test=https://b.test/", "pics.test=https://c.test/")
    assert [f"{problem.field}: {problem.sentence}" for problem in Config(referers=(*texts, "x")).problems()] == [
        "referers: expected HOST=URL such as pics.example.com=https://shop.example.com/, got 'x'",
        "referers: pics.test is given twice, expected one URL for each host",
    ]
    assert not Config(referers=texts[1:]).problems()
    assert not Config(referers=(texts[2], texts[2])).problems()


def test_a_domain_covers_its_hosts() -> None:
    domain = parse_referer("*.Pics.test=https://shop.test/a=b")
    assert domain.url == "https://shop.test/a=b"
    assert [host for host in ("a.pics.test", "b.a.pics.test", "pics.test", "apics.test") if domain.is_for(host)] == [
        "a.pics.test", "b.a.pics.test",
    ]  # fmt: skip


async def test_a_put_may_go_without_a_type(server: Server, transfers: Transfers) -> None:
    args = {"method": "PUT", "content_type": "none"}
    for given, expected in (({"method": "PUT"}, "image/png"), (args, "")):
        server.seen.clear()
        place = parse_destination(server.url + "/b.png", given).fill(EXAMPLE)
        await deliver_bytes(transfers, place, PICTURE, write("placeholder"))
        assert server.fields("content-type") == [expected]


@pytest.mark.parametrize(
    "args", [{"method": "PUT", "content_type": "image/png"}, {"field_name": "f", "content_type": "none"}]
)
def test_only_a_put_goes_without_a_type(args: dict[str, object]) -> None:
    with pytest.raises(RequestInvalid, match="content_type"):
        parse_destination("http://pics.test/a.png:b.png" if "field_name" in args else "http://pics.test/b.png", args)


@pytest.mark.parametrize("there", ["/", "/a/", "/a/b/"])
async def test_missing_collections_are_made(server: Server, transfers: Transfers, there: str) -> None:
    server.collections |= {there[: index + 1] for index, sign in enumerate(there) if sign == "/"}
    before = set(server.collections)
    place = destination("put", server.url + "/a/b/c/x.png")
    await deliver_bytes(transfers, place, PICTURE, write("placeholder"))
    assert server.files["/a/b/c/x.png"] == PICTURE
    assert server.collections - before == {"/a/", "/a/b/", "/a/b/c/"} - before
    assert len(server.requests("PUT")) == 2


async def test_a_conflict_that_is_none_of_collections_stays_one(server: Server, transfers: Transfers) -> None:
    server.collections = {"/"}
    for url, made in ((server.url + "/a/x.png?id=1&X-Amz-Signature=2", 0), (server.url + "/x.png", 0)):
        server.seen.clear()
        if url.endswith("/x.png"):
            server.collections = set()
        with pytest.raises(DeliveryFailed, match="409"):
            await deliver_bytes(transfers, destination("put", url), PICTURE, write("placeholder"))
        assert len(server.requests("PUT")) == 1
        assert len(server.requests("MKCOL")) == made


async def test_a_server_that_makes_no_collections_is_asked_once(server: Server, transfers: Transfers) -> None:
    server.collections = set()
    with pytest.raises(DeliveryFailed, match="409"):
        await deliver_bytes(transfers, destination("put", server.url + "/a/x.png"), PICTURE, write("placeholder"))
    assert server.requests("PUT", "MKCOL") == [("PUT", "/a/x.png"), ("MKCOL", "/a/")]


async def test_two_puts_at_once_make_a_collection_once(server: Server, transfers: Transfers) -> None:
    places = [destination("put", f"{server.url}/a/{number}.png") for number in range(6)]
    await asyncio.gather(*(deliver_bytes(transfers, place, PICTURE, write("placeholder")) for place in places))
    assert len(server.files) == 7
