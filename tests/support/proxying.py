"""A small real proxy that logs what it is asked for: HTTP with CONNECT, HTTPS, and SOCKS5, on one port."""

import select
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CHUNK = 65_536


class LittleProxy:
    """``log`` holds ``GET http://…``, ``CONNECT host:port`` or ``SOCKS5 host:port``; ``names`` stands in for DNS.

    ``refusal`` is the status answered to every CONNECT, 0 for none.
    """

    def __init__(
        self, names: Mapping[str, str] | None = None, *, tls: ssl.SSLContext | None = None, refusal: int = 0
    ) -> None:
        self.log: list[str] = []
        self.heads: list[bytes] = []
        self._names = dict(names or {})
        self._tls = tls
        self._refusal = refusal
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with suppress(OSError, ValueError):
            if self._tls is not None:
                peer = self._tls.wrap_socket(peer, server_side=True)
            with peer:
                first = peer.recv(1)
                if first == b"\x05":
                    self._socks(peer)
                elif first:
                    self._http(peer, first)

    def _http(self, peer: socket.socket, head: bytes) -> None:
        while not head.endswith(b"\r\n\r\n"):
            more = peer.recv(1)
            if not more:
                return
            head += more
        method, target, _ = head.decode("latin-1").split("\r\n")[0].split(" ")
        self.log.append(f"{method} {target}")
        self.heads.append(head)
        if method == "CONNECT":
            if self._refusal:
                peer.sendall(f"HTTP/1.1 {self._refusal} No\r\nContent-Length: 0\r\n\r\n".encode())
                return
            host, _, port = target.rpartition(":")
            with self._connected(host, int(port)) as server:
                peer.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _relay(peer, server)
            return
        url = urlsplit(target)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        lines = head.decode("latin-1").split("\r\n")[1:]
        kept = [line for line in lines if line and not line.lower().startswith(("proxy-", "connection:"))]
        with self._connected(url.hostname or "", url.port or 80) as server:
            server.sendall("\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]).encode())
            _relay(peer, server)

    def _socks(self, peer: socket.socket) -> None:
        """RFC 1928 with no login, CONNECT, and an IPv4 address or a name."""
        peer.recv(peer.recv(1)[0])
        peer.sendall(b"\x05\x00")
        kind = peer.recv(4)[3]
        host = socket.inet_ntoa(peer.recv(4)) if kind == 1 else peer.recv(peer.recv(1)[0]).decode()
        port = int.from_bytes(peer.recv(2), "big")
        self.log.append(f"SOCKS5 {host}:{port}")
        with self._connected(host, port) as server:
            peer.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
            _relay(peer, server)

    def _connected(self, host: str, port: int) -> socket.socket:
        return socket.create_connection((self._names.get(host, host), port), timeout=10)


def _relay(one: socket.socket, other: socket.socket) -> None:
    peers = {one: other, other: one}
    while True:
        waiting = [peer for peer in peers if isinstance(peer, ssl.SSLSocket) and peer.pending()]
        for peer in waiting or select.select(list(peers), [], [], 10)[0] or [one]:
            data = peer.recv(CHUNK)
            if not data:
                return
            peers[peer].sendall(data)
