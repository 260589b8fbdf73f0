"""A client that posts classic jobs over one kept connection: raw bytes out, raw bytes in, no HTTP library.

Called by ``jobs`` and ``accept``; cheap, because it shares the machine with what it measures.
"""

import asyncio
import json
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from bench.picture import RESULT_HEIGHT_PX, RESULT_WIDTH_PX


class Reply(NamedTuple):
    status: int
    body: bytes

    @property
    def is_accepted(self) -> bool:
        return self.status == 200 and self.body.startswith(b'{"dstURL"')


class HungUp(Exception):
    """The server closed the connection before it had answered."""


class Connection(asyncio.Protocol):
    """``connect`` makes one; ``post`` asks one thing at a time."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Reply] | None = None

    async def post(self, job: bytes, key: str = "") -> Reply:
        """``key`` is the API key, where the server asks for one. Raises HungUp."""
        return await self.ask("/", job, f"Authorization: Bearer {key}\r\n" if key else "")

    async def ask(self, target: str, body: bytes, headers: str = "") -> Reply:
        """A POST with these lines in its head. Raises HungUp."""
        assert self._transport is not None
        if self._transport.is_closing():
            raise HungUp
        self._waiting = asyncio.get_running_loop().create_future()
        head = f"POST {target} HTTP/1.1\r\nHost: {self._host}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self._transport.writelines((head.encode(), body))
        return await self._waiting

    async def get(self, target: str) -> Reply:
        """Raises HungUp."""
        assert self._transport is not None
        if self._transport.is_closing():
            raise HungUp
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(f"GET {target} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(HungUp())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        if at < 0:
            body = _unchunked(self._buffer, end + 4)
        else:
            length = int(head[at + 15 :].split(b"\r", 1)[0])
            body = self._buffer[end + 4 :] if len(self._buffer) == end + 4 + length else None
        if body is not None and self._waiting is not None and not self._waiting.done():
            self._buffer = b""
            self._waiting.set_result(Reply(int(head[9:12]), body))


def _unchunked(data: bytes, at: int) -> bytes | None:
    """The body that begins here, None while it is not complete. Trailers are not expected."""
    parts: list[bytes] = []
    while (end := data.find(b"\r\n", at)) >= 0:
        length = int(data[at:end].split(b";")[0], 16)
        if not length:
            return b"".join(parts) if data[end:].startswith(b"\r\n\r\n") else None
        parts.append(data[end + 2 : end + 2 + length])
        at = end + 2 + length + 2
    return None


async def connect(url: str) -> Connection:
    place = urlsplit(url)
    assert place.hostname is not None
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(place.netloc), place.hostname, place.port or 80)
    return connection


def job(source_port: int, sink_port: int, path: str, *, has_placeholder: bool) -> bytes:
    """The classic resize of the benches, delivered by PUT to ``path``."""
    asked: dict[str, object] = {
        "operationType": "resize",
        "srcURL": f"http://127.0.0.1:{source_port}/source.jpg",
        "dstURL": f"http://127.0.0.1:{sink_port}{path}",
        "args": {"width": RESULT_WIDTH_PX, "height": RESULT_HEIGHT_PX, "method": "PUT"},
    }
    if not has_placeholder:
        asked["placeholder"] = "none"
    return json.dumps(asked).encode()
