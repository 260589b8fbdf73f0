"""HTTP answers with odd bytes in the status line and in each header: the peer's fault or none at all, never ours.

Each is served raw to a source, a PUT, a deletion and an upload page; what comes is a fault with a code, or success.
"""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest

from imgserve.request.limits import Limits
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import TransferError
from tests.support.sizes import sized
from tests.support.transfers import (
    LOOPBACK,
    Listener,
    deliver_bytes,
    destination,
    fetch_bytes,
    read_page,
    write,
)

ODD = {
    "latin": b"caf\xe9",
    "utf": "caf\u00e9 \u4e2d".encode(),
    "broken": b"\xff\xfe\xc3",
    "nul": b"a\0b",
    "tab": b"\t",
    "empty": b"",
    "digits": b"9" * 5000,
    "negative": b"-1",
    "huge": b"99999999999999999999",
    "hex": b"0x10",
    "plus": b"+7",
    "superscript": "\u00b2".encode(),
    "list": b"7, 7",
    "blank": b" 7 ",
    "float": b"1e3",
    "controls": bytes(range(1, 9)),
    "long": b"x" * 20_000,
    "quote": b'"\x80',
    "escape": b"\x1b[31m",
    "surrogate": b"\xed\xa0\x80",
}
FIELDS = (
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "Transfer-Encoding",
    "Location",
    "Set-Cookie",
    "Retry-After",
    "Connection",
    "WWW-Authenticate",
    "Content-Range",
    "Refresh",
    "Last-Modified",
    "Date",
    "Alt-Svc",
    "Link",
    "Strict-Transport-Security",
    "Content-Disposition",
    "ETag",
    "",
    "X y",
    "\u00e9",
)
STATUSES = (b"200 OK", b"302 Found", b"401 No", b"503 Later")
STATUS_LINES = {
    "no number": b"HTTP/1.1\r\n",
    "foo": b"HTTP/foo: 1\r\n",
    "two digits": b"HTTP/1.1 20 OK\r\n",
    "four digits": b"HTTP/1.1 2000 OK\r\n",
    "letters": b"HTTP/1.1 abc OK\r\n",
    "latin": b"HTTP/1.1 200 caf\xe9\r\n",
    "version": b"HTTP/\xff.1 200 OK\r\n",
    "0.9": b"hello",
    "version 9": b"HTTP/9.9 200 OK\r\n",
    "two": b"HTTP/2 200\r\n",
    "zero": b"HTTP/1.1 000 OK\r\n",
    "999": b"HTTP/1.1 999 No\r\n",
    "blanks": b"HTTP/1.1    200    OK\r\n",
    "negative": b"HTTP/1.1 -200 OK\r\n",
    "lower": b"http/1.1 200 OK\r\n",
    "nul": b"HTTP/1.1 2\x0000 OK\r\n",
    "shoutcast": b"ICY 200 OK\r\n",
    "digits": b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n",
    "superscript": "HTTP/1.1 20\u00b2 OK\r\n".encode(),
    "in a header": b"HTTP/1.1 200 OK\r\nHTTP/foo: bar\r\nHTTP/1.1 302: x\r\n",
}


class Answers:
    """A server that gives the same bytes to all."""

    def __init__(self) -> None:
        self.raw = b""

    def serve(self, peer: socket.socket) -> None:
        with suppress(OSError):
            peer.settimeout(1)
            peer.recv(65_536)
            peer.sendall(self.raw)
            peer.shutdown(socket.SHUT_WR)
            peer.settimeout(0.1)  # a client that keeps the connection sends no more
            while peer.recv(65_536):
                pass


@pytest.fixture
def answers() -> Iterator[tuple[Answers, str]]:
    given = Answers()
    with Listener(given.serve) as listener:
        yield given, f"http://127.0.0.1:{listener.port}/a.png"


@pytest.fixture
async def transfers() -> AsyncIterator[Transfers]:
    made = Transfers(Config(allow_networks=LOOPBACK, source_timeout_s=3.0), Limits(), read_page)
    yield made
    await made.aclose()


async def all_kinds(transfers: Transfers, url: str) -> None:
    """A transfer of each kind; whatever is not a transfer's own fault comes out."""
    with suppress(TransferError):
        await fetch_bytes(transfers, url)
    with suppress(TransferError):
        await deliver_bytes(transfers, destination("put", url), b"p", write(timeout_s=3.0))
    with suppress(TransferError):
        await deliver_bytes(transfers, destination("form", url, name="x.png"), b"p", write(timeout_s=3.0))
    with suppress(TransferError):
        await transfers.delete(destination("put", url), write("failed", timeout_s=3.0))


@pytest.mark.parametrize("field", FIELDS)
async def test_odd_bytes_in_a_field_are_nobodys_bug(
    answers: tuple[Answers, str], transfers: Transfers, field: str, capfd: pytest.CaptureFixture[str]
) -> None:
    given, url = answers
    for nth, value in enumerate(ODD.values()):
        for status in sized(STATUSES[nth % len(STATUSES) :][:1], STATUSES):
            given.raw = b"HTTP/1.1 " + status + b"\r\n" + field.encode() + b": " + value + b"\r\n\r\nhello"
            await all_kinds(transfers, url)
    assert capfd.readouterr().err == "", "an exception that leaves a callback is printed"


@pytest.mark.parametrize("line", STATUS_LINES)
async def test_odd_status_lines_are_nobodys_bug(
    answers: tuple[Answers, str], transfers: Transfers, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    given, url = answers
    given.raw = STATUS_LINES[line] + b"Content-Length: 5\r\n\r\nhello"
    await all_kinds(transfers, url)
    assert capfd.readouterr().err == "", "an exception that leaves a callback is printed"
