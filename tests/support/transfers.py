"""What the contract suites of transfers share: values as spec would make them, and a TCP listener."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from imgserve.blob import Blob
from imgserve.imaging.worker.html import page as html
from imgserve.request.destination import Destination
from imgserve.request.page import Page
from imgserve.request.source import Source, parse_source
from imgserve.transfer.client import location
from imgserve.transfer.dispatch import Delivery, Transfers, Write

LOOPBACK = ("127.0.0.0/8",)


def source(url: str, path: str = "") -> Source:
    if url.startswith("file:"):
        return Source(url, "file", "", 0, path or url.removeprefix("file://"))
    if url.startswith("s3:"):
        return parse_source(url)
    place = location.origin(url)
    return Source(url, place.scheme, place.host, place.port, urlsplit(url).path)  # type: ignore[arg-type]


def destination(kind: str, url: str, path: str = "", name: str = "", key: str = "") -> Destination:
    place = location.origin(url) if kind != "file" else location.Origin("file", "", 0)
    return Destination(kind, url, url, place.host, place.port, path, key or url, name, "image_file")  # type: ignore[arg-type]


def write(state: str = "final", token: int = 1, timeout_s: float = 10.0) -> Write:
    return Write(state, "image/png", "o7", token, timeout_s)  # type: ignore[arg-type]


async def fetch_bytes(transfers: Transfers, url: str) -> bytes:
    with transfers.open(source(url)) as fetch, await fetch.finish() as blob:
        return blob.read()


async def deliver_bytes(transfers: Transfers, place: Destination, data: bytes, order: Write) -> Delivery:
    with Blob.of(data) as blob:
        return await transfers.deliver(place, blob, order)


async def read_page(page: bytes, media_type: str, _write: Write, _timeout_s: float) -> Page:
    """What the server has a worker do, here: these suites are about what goes over the wire."""
    return html.read(page, media_type)


class Listener:
    """A TCP server on loopback that counts who comes, and treats each as told."""

    def __init__(self, serve: Callable[[socket.socket], None] = lambda peer: None, address: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, 0), family=family)
        self.port = int(self._socket.getsockname()[1])
        self.connections = 0
        self._serve = serve
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> "Listener":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._socket.accept()
                self.connections += 1
                with peer:
                    self._serve(peer)


def say_hello(peer: socket.socket) -> None:
    with suppress(OSError):
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
