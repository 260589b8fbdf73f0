"""Takes connections from one listening socket, as long as there are seats. Made by ``connection.Server``.

asyncio's own servers accept all connections, and report one by TLS only after its handshake.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

from imgserve.api.http.seats import Seat, Seats
from imgserve.descriptors import NONE_LEFT
from imgserve.telemetry import logs

AT_ONCE = 64  # then the loop's other work gets its turn
PAUSE_S = 1.0
TLS_GOODBYE_S = 2.0


class Acceptor:
    """``refusal`` is sent to those without a seat, unless they came by TLS. Stands in for an ``asyncio.Server``."""

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[Seat], asyncio.Protocol],
        seats: Seats,
        refusal: bytes,
        context: ssl.SSLContext | None,
        handshake_timeout_s: float,
    ) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._seats = seats
        self._refusal = refusal
        self._context = context
        self._timeouts: dict[str, float] = {}
        if context is not None:
            self._timeouts = {"ssl_handshake_timeout": handshake_timeout_s, "ssl_shutdown_timeout": TLS_GOODBYE_S}
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._start()

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        for task in self._beginning:
            task.cancel()
        self._listener.close()

    async def wait_closed(self) -> None:
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _start(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:  # it has gone again
                continue
            except OSError as error:
                self._wait(error)
                return
            self._seat(connection, address[0])

    def _wait(self, error: OSError) -> None:
        """The connection stays in the listener's queue, so that trying at once would try for ever."""
        if error.errno in NONE_LEFT:
            logs.event("out_of_descriptors", level=logs.ERROR)
        else:
            logs.event("cannot_accept", level=logs.ERROR, detail=error.strerror)
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(PAUSE_S, self._start)

    def _seat(self, connection: socket.socket, address: str) -> None:
        connection.setblocking(False)
        seat = self._seats.take(address)
        if seat is None:
            self._turn_away(connection)
            return
        task = self._loop.create_task(self._begin(connection, seat))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    def _turn_away(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if self._context is None:
                connection.send(self._refusal)
                connection.recv(65_536)  # unread bytes would make the kernel reset the connection and drop the answer

    async def _begin(self, connection: socket.socket, seat: Seat) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._make_protocol(seat), connection, ssl=self._context, **self._timeouts
            )
        except (OSError, asyncio.CancelledError):  # a TLS handshake that failed or took too long, or our end
            seat.leave()
            connection.close()
