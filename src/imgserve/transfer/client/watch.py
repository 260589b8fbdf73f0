"""Looks at an HTTP exchange a few times a second, for what libcurl neither limits nor tells. Called by ``curl``.

A connection of an earlier exchange that has been forgotten on its way says nothing any more. And a peer may send much
that is no body, such as chunk extensions without end: the kernel counts what the socket received (tcp(7), TCP_INFO) and
what of it nobody has read yet.
"""

import asyncio
import fcntl
import socket
import struct
import termios
import time
from collections.abc import Callable

import pycurl

from imgserve.transfer.client import location
from imgserve.transfer.client.breakage import late
from imgserve.transfer.client.exchange import Exchange
from imgserve.transfer.faults import Broken

LOOK_S = 0.2
_BYTES_RECEIVED_AT = 128  # offsetof(struct tcp_info, tcpi_bytes_received)
_TCP_INFO_BYTES = 192
# A head has at most 300 KB (libcurl), and 512 KB may lie in a buffer. Chunks of a byte each take six for one.
_SPARE_BYTES = 2_000_000
_MOST_PER_BODY_BYTE = 8


class Watch:
    """Over all exchanges of one client, from ``begin`` to ``end`` of each. Breaks one off when a connection of an
    earlier exchange does not answer, or when what comes is no body.
    """

    def __init__(self, break_off: Callable[[pycurl.Curl, Broken], None]) -> None:
        self._break_off = break_off
        self._silent_at_s: dict[Exchange, float] = {}  # by the clock of ``time.monotonic``
        # The connection's descriptor, the bytes read from it, and the bytes of the body, at the first look at it.
        self._counts: dict[Exchange, tuple[int, int, int]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, exchange: Exchange, patience_s: float) -> None:
        self._silent_at_s[exchange] = exchange.begun_at_s + patience_s
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def end(self, exchange: Exchange) -> None:
        del self._silent_at_s[exchange]
        self._counts.pop(exchange, None)

    def _look(self) -> None:
        is_needed = bool(self._silent_at_s)
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look) if is_needed else None
        for exchange in list(self._silent_at_s):
            reason = self._reason(exchange)
            if reason is not None:
                self._break_off(exchange.curl, reason)

    def _reason(self, exchange: Exchange) -> Broken | None:
        place = location.origin(exchange.call.url)
        is_late = time.monotonic() >= self._silent_at_s[exchange] and exchange.is_untouched and exchange.is_repeatable
        if is_late and exchange.is_reused:
            return late(place, is_stale=True)
        if self._is_flood(exchange):
            return Broken(f"{place} sends much that is no part of an answer", is_sent=exchange.is_sent())
        return None

    def _is_flood(self, exchange: Exchange) -> bool:
        """Counting begins with the first look at a connection, for it may have been used before. An exchange may go
        on over another one: when a server closes a kept connection without an answer, libcurl asks again.
        """
        fd = exchange.curl.getinfo(pycurl.ACTIVESOCKET)
        try:
            read = _read(fd) if fd >= 0 else 0  # none while a name is looked up
        except OSError:
            return False
        count = self._counts.get(exchange)
        if count is None or fd != count[0] or read < count[1]:
            count = self._counts[exchange] = fd, read, exchange.body_bytes
        return read - count[1] > _SPARE_BYTES + _MOST_PER_BODY_BYTE * (exchange.body_bytes - count[2])


def _read(fd: int) -> int:
    """The bytes that libcurl has read from the socket: of a transfer that waits for memory, megabytes may lie unread in
    the kernel. Raises OSError for what is no TCP socket.
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
