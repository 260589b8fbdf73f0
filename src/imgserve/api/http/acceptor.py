"""Accepts connections from one listening socket while there are slots. Used by ``connection.Server``.

asyncio's own servers accept all connections, and report one by TLS only after its handshake.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable

from imgserve.api.http.refusals import Refusals
from imgserve.api.http.slots import Slot, Slots
from imgserve.descriptors import NONE_LEFT
from imgserve.telemetry import logs

AT_ONCE = 64  # then the loop does its other work
PAUSE_S = 1.0
TLS_GOODBYE_S = 2.0


class Acceptor:
    """Stands in for an ``asyncio.Server``. ``refusal`` is sent to a client without a slot, unless it came by TLS."""

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[Slot], asyncio.BaseProtocol],
        slots: Slots,
        refusal: bytes,
        context: ssl.SSLContext | None,
        handshake_timeout_s: float,
    ) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._slots = slots
        self._context = context
        self._timeouts: dict[str, float] = {}
        if context is not None:
            self._timeouts = {"ssl_handshake_timeout": handshake_timeout_s, "ssl_shutdown_timeout": TLS_GOODBYE_S}
        self._loop = asyncio.get_running_loop()
        self._refusals = Refusals(refusal, self._loop)
        self._connecting: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._start()

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        for task in self._connecting:
            task.cancel()
        self._refusals.close()
        self._listener.close()

    async def wait_closed(self) -> None:
        if self._connecting:
            await asyncio.wait(self._connecting)

    def _start(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:  # the client has hung up already
                continue
            except OSError as error:
                self._wait(error)
                return
            self._open(connection, address[0])

    def _wait(self, error: OSError) -> None:
        """Pause: the connection stays in the listener's queue, so a try at once would fail again and again."""
        action = "out_of_descriptors" if error.errno in NONE_LEFT else "cannot_accept"
        logs.event(action, level=logs.ERROR, detail=error.strerror)
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(PAUSE_S, self._start)

    def _open(self, connection: socket.socket, address: str) -> None:
        connection.setblocking(False)
        slot = self._slots.take(address)
        if slot is None:
            if self._context is None:
                self._refusals.add(connection)
            else:
                connection.close()
            return
        task = self._loop.create_task(self._connect(connection, slot))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: socket.socket, slot: Slot) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._make_protocol(slot), connection, ssl=self._context, **self._timeouts
            )
        except (OSError, asyncio.CancelledError):  # a TLS handshake that failed or took too long, or a shutdown
            slot.close()
            connection.close()
