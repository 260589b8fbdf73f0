"""Connections without a slot are told to come again, and stay open for a moment, so that their clients read it.

A client that sends its request in several writes meets a reset at the second one if the connection is closed at once,
and may not look at the answer then (RFC 9112, 9.6). Called by ``acceptor``.
"""

import asyncio
import socket

MOST = 32  # at once; a flood of refused clients costs no more descriptors than these
AT_MOST_S = 1.0
CHUNK_BYTES = 65_536
MOST_CHUNKS = 16


class Refusals:
    """``answer`` is what each refused client is told."""

    def __init__(self, answer: bytes, loop: asyncio.AbstractEventLoop) -> None:
        self._answer = answer
        self._loop = loop
        self._open: dict[socket.socket, asyncio.TimerHandle] = {}

    def add(self, connection: socket.socket) -> None:
        """Take over an accepted connection that does not block."""
        try:
            connection.send(self._answer)
            connection.shutdown(socket.SHUT_WR)
        except OSError:  # the client has hung up already
            connection.close()
            return
        if len(self._open) >= MOST:
            self._end(next(iter(self._open)))
        self._loop.add_reader(connection, self._drop, connection)
        self._open[connection] = self._loop.call_later(AT_MOST_S, self._end, connection)

    def close(self) -> None:
        for connection in list(self._open):
            self._end(connection)

    def _drop(self, connection: socket.socket) -> None:
        """Read what has come, so that the kernel has nothing unread to reset the connection for."""
        try:
            for _ in range(MOST_CHUNKS):
                if not connection.recv(CHUNK_BYTES):
                    break
        except (BlockingIOError, InterruptedError):  # there is no more yet
            return
        except OSError:
            pass
        self._end(connection)  # it has hung up, or sends more than a job has

    def _end(self, connection: socket.socket) -> None:
        self._open.pop(connection).cancel()
        self._loop.remove_reader(connection)
        connection.close()
