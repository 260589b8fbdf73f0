"""Reads connections into one buffer, from where a large body goes on without further copies. For ``connection``.

Otherwise the event loop makes an object of each read, the parser another one, and uvicorn's queue two more, of 256 KB
each. In: the calls of a transport. Out: what has come, as a view of the buffer.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from imgserve.errors import ImgserveError

# A larger one would leave the processor's caches between read and write, and hold up the other connections.
BUFFER_BYTES = 524_288
# Of a body that nobody takes yet, and that has no memory of its own.
READ_AHEAD_BYTES = 262_144

# Takes a piece of a body. A view is valid during the call only.
Take = Callable[[bytes | memoryview], object]


class Viewing(Protocol):
    """The protocol behind an inlet. ``is_taking``: what comes now goes on at once."""

    @property
    def is_taking(self) -> bool: ...
    def connection_made(self, transport: Any) -> None: ...
    def view_received(self, view: memoryview) -> None: ...
    def eof_received(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...


class Inlet(asyncio.BufferedProtocol):
    """What one transport calls. ``buffer`` is that of all connections of an event loop: each read is over before the
    next one begins. No ``asyncio.Protocol``, to which uvloop would give bytes.
    """

    def __init__(self, protocol: Viewing, buffer: bytearray) -> None:
        self._protocol = protocol
        self._view = memoryview(buffer)
        self._read_ahead = self._view[:READ_AHEAD_BYTES]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._protocol.connection_made(transport)

    def get_buffer(self, _size_hint: int) -> memoryview:
        return self._view if self._protocol.is_taking else self._read_ahead

    def buffer_updated(self, nbytes: int) -> None:
        self._protocol.view_received(self._view[:nbytes])

    def eof_received(self) -> None:
        self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)


class Taker:
    """Gives the rest of one body to ``take`` while it is read. The task of its request awaits ``over``."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, piece: bytes | memoryview) -> None:
        if self._over.done():  # the task has been cancelled, and has not run since
            return
        try:
            self._take(piece)
        except ImgserveError as error:
            self._over.set_exception(error)

    def end(self) -> None:
        """The body is complete, or the client has gone."""
        if not self._over.done():
            self._over.set_result(None)

    async def over(self) -> None:
        """Raises the error of ``take``."""
        await self._over
