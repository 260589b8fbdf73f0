"""Ends a connection whose client does not read its answers. For ``connection``.

A client can keep a window of no bytes open for ever: TCP has no time-out for that (RFC 9293, 3.8.6.1), and a transport
that is closed stays until all that was written to it has been taken. So would its connection, and the picture that is
being sent.
"""

import asyncio
from typing import Any

from imgserve.telemetry import logs

# As slow as a source may be, and longer than most breaks of a mobile network.
LEAST_BYTES, WITHIN_S = 10_000, 30.0
# For all that was written at once, a picture of 1 MB perhaps.
AT_MOST_S = 300.0


class Unread:
    """What the client of one transport has not read yet. ``is_watched``: it matters how long that takes."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._left_bytes = 0
        self._until = 0.0
        # Then the transport aborts by itself soon after it was closed, and may not be asked any more.
        self._has_tls = transport.get_extra_info("sslcontext") is not None
        self.is_watched = True

    def watch(self) -> None:
        """Nothing more is written until the client has read some of it, or all."""
        is_watched = self.is_watched and not (self._has_tls and self._transport.is_closing())
        if self._timer is None and is_watched:
            self._until = self._loop.time() + AT_MOST_S
            self._look_again(self._transport.get_write_buffer_size())

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Close the transport as soon as all has been read, or when that takes too long."""
        self._transport.close()
        if self._has_tls:
            self.end()
        elif self._transport.get_write_buffer_size():
            self.is_watched = True
            self.watch()

    def _look_again(self, left_bytes: int) -> None:
        self._left_bytes = left_bytes
        self._timer = self._loop.call_later(WITHIN_S, self._look)

    def _look(self) -> None:
        self._timer = None
        left_bytes = self._transport.get_write_buffer_size()
        if left_bytes > self._left_bytes - LEAST_BYTES or self._loop.time() > self._until:
            logs.event("answer_stalled", unread_bytes=left_bytes)
            self._transport.abort()
        else:
            self._look_again(left_bytes)
