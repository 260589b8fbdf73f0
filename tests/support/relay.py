"""A TCP relay between the queue and its database, which breaks a connection at a chosen statement."""

import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.support.sizes import PATIENCE_S

CHUNK = 1 << 20


class Relay:
    """To ``port`` of this machine. One break at a time, at the next bytes of a client that contain a text:

    ``swallow``: the server gets them, the client gets no answer any more. ``hold``: the server does not get them until
    ``release``; it keeps its connection. The client's is closed in both cases.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._break = b""
        self._is_held_back = False
        self._release = threading.Event()
        self.broke = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._listener.close()

    def swallow(self, text: bytes) -> None:
        self.broke.clear()
        self._break, self._is_held_back = text, False

    def hold(self, text: bytes) -> None:
        self.broke.clear()
        self._break, self._is_held_back = text, True

    def release(self) -> None:
        self._release.set()

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client, _ = self._listener.accept()
                self._start(self._relay, client)

    def _relay(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._to)) as server, suppress(OSError):
            with client:
                sent = self._until_break(client, server)
            if not sent:
                return
            if self._is_held_back:
                self.broke.set()
                self._release.wait(PATIENCE_S)
                server.sendall(sent)
            server.recv(CHUNK)  # it is done
            self.broke.set()

    def _until_break(self, client: socket.socket, server: socket.socket) -> bytes:
        """The bytes at which the connection is to break; none if it ends by itself."""
        while True:
            ready, _, _ = select.select([client, server], [], [])
            for source in ready:
                data = source.recv(CHUNK)
                if not data:
                    return b""
                if source is client and self._break and self._break in data:
                    self._break = b""
                    if not self._is_held_back:
                        server.sendall(data)
                    return data
                (server if source is client else client).sendall(data)
