"""Looks at an HTTP exchange a few times a second, for what libcurl neither limits nor tells. Called by ``curl``.

A connection of an earlier exchange that has been forgotten on its way says nothing any more. And a peer may send much
that is no body, such as chunk extensions without end: the kernel counts what the socket received (tcp(7), TCP_INFO).
"""

import asyncio
import socket
import struct

import pycurl

from imgserve.transfer import location, remedies
from imgserve.transfer.exchange import Exchange
from imgserve.transfer.faults import Broken

_LOOK_S = 0.2
_BYTES_RECEIVED_AT = 128  # offsetof(struct tcp_info, tcpi_bytes_received)
_TCP_INFO_BYTES = 192
# A head has at most 300 KB (libcurl), and 512 KB may lie in a buffer. Chunks of a byte each take six for one.
_SPARE_BYTES = 2_000_000
_MOST_PER_BODY_BYTE = 8


class Watch:
    """From ``start`` to ``stop``. Breaks the exchange off for ``reason``: a connection of an earlier exchange does not
    answer, or what comes is no body. It cancels the task, which ``takes_back`` the cancellation, as asyncio's time-outs
    do.
    """

    def __init__(self, exchange: Exchange, patience_s: float) -> None:
        self.reason: Broken | None = None
        self._exchange = exchange
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task is not None else 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._silent_at = self._loop.time() + patience_s
        self._received = -1
        self._body = 0

    def start(self) -> None:
        self._timer = self._loop.call_later(_LOOK_S, self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def takes_back(self) -> bool:
        """Whether the cancellation was this watch's and nobody else's."""
        return self._task is not None and self._task.uncancel() <= self._cancelling

    def _look(self) -> None:
        exchange = self._exchange
        place = location.origin(exchange.call.url)
        is_late = self._loop.time() >= self._silent_at and exchange.is_untouched and exchange.is_repeatable
        if is_late and exchange.is_reused:
            self.reason = Broken(f"{place} did not answer in time", remedies.SLOW, is_retryable=True, is_stale=True)
        elif self._is_flood():
            self.reason = Broken(f"{place} sends much that is no part of an answer", is_sent=exchange.is_sent())
        if self.reason is not None and self._task is not None:
            self._task.cancel()
        else:
            self._timer = self._loop.call_later(_LOOK_S, self._look)

    def _is_flood(self) -> bool:
        """Counting begins with the first look, for a connection may have been used before."""
        fd = self._exchange.curl.getinfo(pycurl.ACTIVESOCKET)
        try:
            received = _received(fd) if fd >= 0 else 0  # none while a name is looked up
        except OSError:
            return False
        body = self._exchange.body_bytes
        if self._received < 0 or received < self._received:
            self._received, self._body = received, body
        return received - self._received > _SPARE_BYTES + _MOST_PER_BODY_BYTE * (body - self._body)


def _received(fd: int) -> int:
    """Raises OSError for what is no TCP socket."""
    connection = socket.socket(fileno=fd)
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    finally:
        connection.detach()
    is_counted = len(info) >= _BYTES_RECEIVED_AT + 8  # since Linux 4.1
    return int(struct.unpack_from("=Q", info, _BYTES_RECEIVED_AT)[0]) if is_counted else 0
