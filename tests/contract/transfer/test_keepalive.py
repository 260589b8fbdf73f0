"""HTTP connections that are kept between transfers and die meanwhile: no job is refused for that."""

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, suppress

import pytest

from imgserve.request.limits import Limits
from imgserve.transfer.client.watch import LOOK_S
from imgserve.transfer.config import Config
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import DeliveryUnknown, SourceUnavailable
from tests.support.transfers import LOOPBACK, deliver_bytes, destination, fetch_bytes, read_page, source, write

PICTURE = b"picture" * 1000
FORM = b'<form method=post enctype="multipart/form-data"><input type=file name=image_file></form>'
Deal = Callable[[socket.socket], None]


class Server:
    """Keeps connections open; ``deal`` is what one that has served before gets instead of its next answer."""

    def __init__(self) -> None:
        self.deal: Deal | None = None
        self.puts: list[bytes] = []
        self.connections = 0
        self.is_page = False
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._over = threading.Event()

    def __enter__(self) -> "Server":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._socket.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, suppress(OSError), peer.makefile("rb") as lines:
            served = 0
            while first := lines.readline():
                if served and self.deal is not None:
                    self.deal(peer)
                    self._over.wait(30)
                    return
                fields = {}
                while line := lines.readline().strip():
                    name, _, value = line.partition(b":")
                    fields[name.lower()] = value.strip()
                body = lines.read(int(fields.get(b"content-length", b"0")))
                self._answer(peer, first.split()[0], body)
                served += 1

    def _answer(self, peer: socket.socket, method: bytes, body: bytes) -> None:
        if method in (b"PUT", b"POST"):
            self.puts.append(body)
        answer = FORM if method == b"GET" and self.puts == [] and self.is_page else PICTURE
        kind = b"text/html" if answer is FORM else b"image/png"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\nContent-Length: %d\r\n\r\n" % len(answer)
        peer.sendall(head + (b"" if method == b"HEAD" else answer))


def hang_up(peer: socket.socket) -> None:
    peer.shutdown(socket.SHUT_RDWR)


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        socket.socket(fileno=peer.detach()).close()


def say_nothing(_peer: socket.socket) -> None:
    """As behind a router that has forgotten the connection."""


@pytest.fixture
async def transfers() -> AsyncIterator[Transfers]:
    made = Transfers(Config(allow_networks=LOOPBACK, source_timeout_s=2.5), Limits(), read_page)
    yield made
    await made.aclose()


async def once_more(transfers: Transfers, deal: Deal, verb: str) -> int:
    """Over a connection that is dealt with so; how many there were."""
    with Server() as server:
        url = server.url + "/a.png"
        await fetch_bytes(transfers, url)
        server.deal, server.is_page = deal, verb == "form"
        if verb == "fetch":
            assert await fetch_bytes(transfers, url) == PICTURE
        elif verb == "delete":
            await transfers.delete(destination("put", url), write("failed", timeout_s=2.5))
        elif verb == "form":
            place = destination("form", url, name="x.png")
            await deliver_bytes(transfers, place, PICTURE, write("placeholder", timeout_s=2.5))
            assert len(server.puts) == 1
        elif deal is say_nothing:
            # What has left may have arrived, so nobody may say that it was refused.
            with pytest.raises(DeliveryUnknown):
                await deliver_bytes(transfers, destination("put", url), PICTURE, write("placeholder", timeout_s=1.0))
        else:
            await deliver_bytes(transfers, destination("put", url), PICTURE, write("placeholder", timeout_s=2.5))
            assert server.puts == [PICTURE]
        return server.connections


@pytest.mark.parametrize("deal", [hang_up, reset, say_nothing], ids=lambda deal: str(deal.__name__))
async def test_a_connection_that_died_costs_nothing(transfers: Transfers, deal: Deal) -> None:
    verbs = ("fetch", "put", "delete", "form")
    connections = await asyncio.gather(*(once_more(transfers, deal, verb) for verb in verbs))
    put = 1 if deal is say_nothing else 2
    assert dict(zip(verbs, connections, strict=True)) == {"fetch": 2, "put": put, "delete": 2, "form": 3}


async def test_a_server_that_is_slow_on_a_fresh_connection_has_all_its_time(transfers: Transfers) -> None:
    """Half of the source's time passes before the first byte: only a kept connection is suspected."""
    asked = []

    def serve(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            asked.append(peer.recv(4096))
            threading.Event().wait(1.2)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/a.png"
        assert await fetch_bytes(transfers, url) == b"hello"
    assert len(asked) == 1


async def test_what_another_connection_has_received_before_is_no_part_of_this_answer() -> None:
    """The kept connection dies after the first look at it, and libcurl asks again over one that has brought much."""
    big, asked = b"x" * 5_000_000, list[tuple[int, bytes]]()
    is_big_there, over = threading.Event(), threading.Event()

    def serve(peer: socket.socket, number: int) -> None:
        with peer, peer.makefile("rb") as lines:
            while first := lines.readline():
                while lines.readline().strip():
                    pass
                path = first.split()[1]
                asked.append((number, path))
                if path == b"/small":
                    is_big_there.wait(30)
                elif path == b"/again":
                    over.wait(2.5 * LOOK_S)
                    if number == 0:
                        return
                body = big if path == b"/big" else PICTURE
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            for number in range(2):
                threading.Thread(target=serve, args=(listener.accept()[0], number), daemon=True).start()

    patient = Transfers(Config(allow_networks=LOOPBACK, source_timeout_s=30), Limits())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with patient.open(source(f"{url}/small")) as small:
            while not asked:  # noqa: ASYNC110 - the server is a thread
                await asyncio.sleep(0.01)
            await fetch_bytes(patient, f"{url}/big")
            is_big_there.set()
            await small.more(len(PICTURE))
            assert await fetch_bytes(patient, f"{url}/again") == PICTURE
            assert asked == [(0, b"/small"), (1, b"/big"), (0, b"/again"), (1, b"/again")]
    await patient.aclose()


async def test_a_server_that_cannot_be_connected_to_is_watched_without_a_socket() -> None:
    """Its queue of connections is full, so that the kernel answers nobody."""
    seen: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    patient = Transfers(Config(allow_networks=LOOPBACK, connect_timeout_s=0.6), Limits())
    with socket.socket() as listener, ExitStack() as others:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        with pytest.raises(SourceUnavailable, match="in time"):
            await fetch_bytes(patient, f"http://127.0.0.1:{listener.getsockname()[1]}/a.png")
    await patient.aclose()
    assert not seen
