"""Bodies that come encoded though nobody asked for it, and what a server tells of a picture that it has taken."""

import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

import pytest

from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import SourceTooLarge, SourceUnavailable
from tests.support.transfers import (
    LOOPBACK,
    Listener,
    deliver_bytes,
    destination,
    fetch_bytes,
    read_page,
    source,
    write,
)

PICTURE = bytes(range(256)) * 400
LIMIT = 200_000
# An uncompressed block (RFC 7932, 9.2): Python has no library that could make one.
BROTLI = bytes.fromhex("8b0580") + b"hello brotli" + b"\x03"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "gzip, gzip": lambda data: gzip.compress(gzip.compress(data)),
    "deflate, gzip": lambda data: gzip.compress(zlib.compress(data)),
    "identity": bytes,
    "": bytes,
    "aws-chunked": bytes,
    "utf-8": bytes,
    "none": bytes,
}


class Server:
    """Serves ``body`` with ``fields`` to a GET, and keeps what it was sent."""

    def __init__(self) -> None:
        self.body = b""
        self.fields = b""
        self.is_length_told = True
        self.requests: list[bytes] = []

    def serve(self, peer: socket.socket) -> None:
        with suppress(OSError):
            self.requests.append(peer.recv(65_536))
            length = b"Content-Length: %d\r\n" % len(self.body) if self.is_length_told else b""
            peer.sendall(b"HTTP/1.1 200 OK\r\n" + self.fields + length + b"Connection: close\r\n\r\n" + self.body)


@pytest.fixture
def server() -> Iterator[tuple[Server, str]]:
    given = Server()
    with Listener(given.serve) as listener:
        yield given, f"http://127.0.0.1:{listener.port}/a.png"


@pytest.fixture
async def transfers() -> AsyncIterator[Transfers]:
    config = Config(allow_networks=LOOPBACK, source_timeout_s=5.0, memory_bytes=LIMIT)
    made = Transfers(config, Limits(source_bytes=LIMIT), read_page)
    yield made
    await made.aclose()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("is_length_told", [True, False], ids=["length", "no length"])
async def test_an_encoded_source_is_decoded(
    server: tuple[Server, str], transfers: Transfers, encoding: str, is_length_told: bool
) -> None:
    given, url = server
    given.body, given.is_length_told = ENCODINGS[encoding](PICTURE), is_length_told
    given.fields = f"Content-Type: image/png\r\nContent-Encoding: {encoding}\r\n".encode()
    assert await fetch_bytes(transfers, url) == PICTURE
    assert b"accept-encoding: identity\r\n" in given.requests[0].lower(), "nobody is asked for it"


async def test_brotli_is_decoded(server: tuple[Server, str], transfers: Transfers) -> None:
    given, url = server
    given.body, given.fields = BROTLI, b"Content-Encoding: br\r\n"
    assert await fetch_bytes(transfers, url) == b"hello brotli"


async def test_what_is_called_encoded_and_is_not_is_taken_as_it_is(
    server: tuple[Server, str], transfers: Transfers
) -> None:
    given, url = server
    given.body, given.fields = PICTURE, b"Content-Encoding: gzip\r\n"
    assert await fetch_bytes(transfers, url) == PICTURE


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"\x28\xb5\x2f\xfd" + PICTURE, b"zstd"),
        (gzip.compress(PICTURE[:5000], mtime=0) + gzip.compress(PICTURE[5000:], mtime=0), b"gzip"),
    ],
    ids=["an encoding that is not known", "two members of gzip"],
)
async def test_an_encoding_that_cannot_be_undone_is_the_sources_fault(
    server: tuple[Server, str], transfers: Transfers, body: bytes, encoding: bytes
) -> None:
    given, url = server
    given.body, given.fields = body, b"Content-Encoding: " + encoding + b"\r\n"
    with pytest.raises(SourceUnavailable, match="Content-Encoding") as caught:
        await fetch_bytes(transfers, url)
    assert not caught.value.is_retryable


@pytest.mark.parametrize("layers", [1, 2])
async def test_decoded_bytes_count_against_the_limit(
    server: tuple[Server, str], transfers: Transfers, layers: int
) -> None:
    given, url = server
    bomb = bytes(50_000_000)
    for _ in range(layers):
        bomb = gzip.compress(bomb)
    assert len(bomb) < LIMIT
    given.body, given.fields = bomb, b"Content-Encoding: " + b", ".join([b"gzip"] * layers) + b"\r\n"
    with transfers.open(source(url)) as fetch:
        with pytest.raises(SourceTooLarge):
            await fetch.finish()
        assert fetch.blob.size <= LIMIT
    assert transfers.budget.held == 0


async def test_a_decoded_source_at_the_limit_passes(server: tuple[Server, str], transfers: Transfers) -> None:
    given, url = server
    given.body, given.fields = gzip.compress(bytes(LIMIT)), b"Content-Encoding: gzip\r\n"
    with transfers.open(source(url)) as fetch, await fetch.finish() as blob:
        assert blob.size == LIMIT
        assert transfers.budget.held == LIMIT, "its own size was not known, so the limit was reserved"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "aws-chunked"])
async def test_an_encoded_upload_page_is_read(transfers: Transfers, encoding: str) -> None:
    page = (
        b'<form method=post enctype="multipart/form-data"><input type=hidden name=token value=t7>'
        b"<input type=file name=image_file></form>"
    )
    posts: list[bytes] = []

    def serve(peer: socket.socket) -> None:
        with suppress(OSError):
            request = peer.recv(65_536)
            body = b""
            if request.startswith(b"GET"):
                body = ENCODINGS[encoding](page)
            else:
                posts.append(request)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: {encoding}\r\n"
            peer.sendall(head.encode() + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)

    with Listener(serve) as listener:
        place = destination("form", f"http://127.0.0.1:{listener.port}/up", name="x.png")
        await deliver_bytes(transfers, place, b"picture", write())
    assert len(posts) == 1
    assert b"t7" in posts[0]


HEADS: dict[str, tuple[bytes, bool, int]] = {
    # what HEAD answers: is it verified, how many PUTs come of it
    "right": (b"Content-Length: 7\r\n", True, 1),
    "nothing": (b"", False, 1),
    "zero": (b"Content-Length: 0\r\n", False, 1),
    "of a gzip": (b"Content-Encoding: gzip\r\nContent-Length: 9\r\n", False, 1),
    "of a gzip, as long": (b"Content-Encoding: gzip\r\nContent-Length: 7\r\n", False, 1),
    "identity": (b"Content-Encoding: identity\r\nContent-Length: 7\r\n", True, 1),
    "other": (b"Content-Length: 9\r\n", False, 2),
    "unreadable": (b"Content-Length: 9x\r\n", False, 1),
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("repeat", [b"201 Created", b"500 No", b"403 No"])
async def test_the_answer_to_a_put_counts_whatever_head_tells(transfers: Transfers, head: str, repeat: bytes) -> None:
    fields, is_verified, puts = HEADS[head]
    methods: list[bytes] = []

    def serve(peer: socket.socket) -> None:
        with suppress(OSError):
            method = peer.recv(65_536).split()[0]
            status = repeat if method == b"PUT" and b"PUT" in methods else b"201 Created"
            methods.append(method)
            if method == b"HEAD":
                peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + fields + b"\r\n")
            else:
                peer.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with Listener(serve) as listener:
        place = destination("put", f"http://127.0.0.1:{listener.port}/x.png")
        delivery = await deliver_bytes(transfers, place, b"picture", write("final"))
    assert delivery.is_verified == is_verified
    assert methods.count(b"PUT") == puts


async def test_a_put_that_is_sent_again_may_be_right_then(transfers: Transfers) -> None:
    told = iter((b"3", b"7"))

    def serve(peer: socket.socket) -> None:
        length = next(told) if peer.recv(65_536).startswith(b"HEAD") else b"0"
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\nConnection: close\r\n\r\n")

    with Listener(serve) as listener:
        place = destination("put", f"http://127.0.0.1:{listener.port}/x.png")
        assert (await deliver_bytes(transfers, place, b"picture", write("final"))).is_verified
