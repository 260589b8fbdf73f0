"""One write for the head of a response and the beginning of its body. For ``connection``.

uvicorn writes each by itself, and each write is a call of the system that sends a segment and wakes the client. In: the
writes of one response. Out: the same bytes on the transport, at the latest in the next turn of the event loop.
"""

import asyncio
from collections.abc import Callable

# A longer piece is written by itself: to copy it would cost more than the call.
MOST_JOINED = 32_768


class Joined:
    """The transport that one response is written to: what uvicorn's cycle uses of one. ``close`` closes it."""

    __slots__ = ("_close", "_head", "_is_begun", "_loop", "_transport")

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, close: Callable[[], object]
    ) -> None:
        self._transport = transport
        self._close = close
        self._loop = loop
        self._head = b""
        self._is_begun = False

    def write(self, data: bytes) -> None:
        if not self._is_begun:  # that is the head, which a stream may let wait for its body
            self._is_begun = True
            self._head = data
            self._loop.call_soon(self.flush)
        elif self._head and len(data) <= MOST_JOINED:
            self._head += data
            self.flush()
        else:
            self.flush()
            self._transport.write(data)

    def close(self) -> None:
        self.flush()
        self._close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def flush(self) -> None:
        """Before anything else is written to the transport."""
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():  # uvloop's raises an error when the client has gone
            self._transport.write(head)
