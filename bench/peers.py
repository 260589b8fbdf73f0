"""The source and the destination of the benches: as little HTTP as libcurl needs, so that they cost little.

A GET answers the source, whatever its path, or the one that ``add`` has put under the first part of the path; a PUT is
swallowed and its size remembered for the HEAD that verifies it.
They run in the process of the bench that made them, never in the server's.
"""

import asyncio
from collections.abc import Callable
from typing import cast

_CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
_MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_FINAL = b"X-Imgserve-State: final"
Heard = Callable[[str], None]


class Peers:
    """Two listeners on loopback: ``source_port`` and ``sink_port``. ``on_final`` hears the path of each final.

    ``source_s``: how long each GET waits for its answer. ``bodies``: where the results are to be kept, by their paths.
    """

    def __init__(self, source: bytes, on_final: Heard | None = None) -> None:
        self.picture = _answer_with(source, "image/jpeg")
        self.added: dict[str, bytes] = {}
        self.bodies: dict[str, bytes] | None = None
        self.on_final = on_final
        self.sizes: dict[str, int] = {}
        self.finals: set[str] = set()
        self.gets = 0
        self.source_s = 0.0
        self.source_port = 0
        self.sink_port = 0
        self._servers: list[asyncio.Server] = []

    def add(self, name: str, source: bytes, content_type: str) -> None:
        """``/name/`` and whatever follows is this picture from now on."""
        self.added[name] = _answer_with(source, content_type)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._servers = [await loop.create_server(lambda: _Peer(self), "127.0.0.1", 0, backlog=512) for _ in range(2)]
        self.source_port, self.sink_port = (server.sockets[0].getsockname()[1] for server in self._servers)

    def close(self) -> None:
        for server in self._servers:
            server.close()


class _Peer(asyncio.Protocol):
    """One connection, kept alive; requests come one after the other."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while self._buffer:
            end = self._buffer.find(b"\r\n\r\n") + 4
            if end < 4:
                return
            head = self._buffer[:end]
            length = _content_length(head)
            if len(self._buffer) < end + length:
                return
            body, self._buffer = self._buffer[end : end + length], self._buffer[end + length :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        assert self._transport is not None
        method, path, _ = head.split(b" ", 2)
        name = path.decode()
        if method == b"GET":
            self._peers.gets += 1
            self._send(self._peers.added.get(name.split("/")[1], self._peers.picture))
        elif method == b"PUT":
            self._peers.sizes[name] = len(body)
            self._transport.write(_CREATED)
            if _FINAL in head:
                if self._peers.bodies is not None:
                    self._peers.bodies[name] = body
                self._final(name)
        elif name.split("/")[1] in self._peers.added:  # a server that looks before it fetches
            answer = self._peers.added[name.split("/")[1]]
            self._transport.write(answer[: answer.index(b"\r\n\r\n") + 4])
        else:  # the HEAD that verifies a delivery
            size = self._peers.sizes.get(name)
            known = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
            self._transport.write(_MISSING if size is None else known)

    def _send(self, answer: bytes) -> None:
        assert self._transport is not None
        if self._peers.source_s:
            asyncio.get_running_loop().call_later(self._peers.source_s, self._transport.write, answer)
        else:
            self._transport.write(answer)

    def _final(self, name: str) -> None:
        self._peers.finals.add(name)
        if self._peers.on_final is not None:
            self._peers.on_final(name)


def _answer_with(source: bytes, content_type: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(source)}\r\n\r\n"
    return head.encode() + source


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 : head.find(b"\r", at)]) if at >= 0 else 0
