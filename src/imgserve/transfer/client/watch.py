"""Looks at each HTTP exchange a few times a second, for what libcurl neither limits nor reports. Called by ``curl``.

A pooled connection may be dead without a sign. And a server may send much that is no body, such as chunk extensions
without end: the kernel counts the bytes that the socket received (tcp(7), TCP_INFO), and those that are still unread.
"""

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import Callable

import pycurl

from imgserve.transfer.client.errors import time_out
from imgserve.transfer.client.exchange import Exchange
from imgserve.transfer.faults import ExchangeFailed

LOOK_S = 0.2
_BYTES_RECEIVED_AT = 128  # offsetof(struct tcp_info, tcpi_bytes_received)
_TCP_INFO_BYTES = 192
# A head has at most 300 KB (libcurl), and a buffer holds 512 KB. Chunks of one byte take six bytes each.
_SPARE_BYTES = 2_000_000
_MAX_PER_BODY_BYTE = 8


class Watch:
    """Over all exchanges of one client. Aborts one whose pooled connection is silent, or that gets too much."""

    def __init__(self, abort: Callable[[pycurl.Curl, ExchangeFailed], None]) -> None:
        self._abort = abort
        # The connection's descriptor, the bytes read from it, and the bytes of the body, at the first look at it.
        self._counts: dict[Exchange, tuple[int, int, int] | None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, exchange: Exchange) -> None:
        self._counts[exchange] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def stop(self, exchange: Exchange) -> None:
        self._counts.pop(exchange, None)

    def _look(self) -> None:
        is_needed = bool(self._counts)
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look) if is_needed else None
        for exchange in list(self._counts):
            if exchange.is_late and exchange.is_reused:
                self._abort(exchange.curl, time_out(exchange.origin, is_stale=True))
            elif self._is_flooded(exchange):
                detail = f"{exchange.origin} sends much that is no part of an answer"
                self._abort(exchange.curl, ExchangeFailed(detail, is_sent=exchange.is_sent))

    def _is_flooded(self, exchange: Exchange) -> bool:
        """Counting starts with the first look at a connection, for it may have been used before. An exchange may change
        connections: when a server closes a pooled one without an answer, libcurl asks again.
        """
        fd = exchange.curl.getinfo(pycurl.ACTIVESOCKET)
        try:
            read = _bytes_read(fd) if fd >= 0 else 0  # none while a name is looked up
        except OSError:
            return False
        count = self._counts.get(exchange)
        if count is None or fd != count[0] or read < count[1]:
            count = self._counts[exchange] = fd, read, exchange.body_bytes
        return read - count[1] > _SPARE_BYTES + _MAX_PER_BODY_BYTE * (exchange.body_bytes - count[2])


def _bytes_read(fd: int) -> int:
    """The bytes that libcurl has read from the socket: while a transfer waits for memory, megabytes may be unread in
    the kernel. Raises OSError for anything but a TCP socket.
    """
    connection = socket.socket(fileno=fd)
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        unread = struct.unpack("=i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0]  # tcp(7): SIOCINQ
    finally:
        connection.detach()
    is_counted = len(info) >= _BYTES_RECEIVED_AT + 8  # since Linux 4.1
    received = int(struct.unpack_from("=Q", info, _BYTES_RECEIVED_AT)[0]) if is_counted else 0
    return max(0, received - int(unread))
