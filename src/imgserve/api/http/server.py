"""The HTTP server: uvicorn, whose connections are ours. For ``lifecycle``."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from imgserve.api.http.acceptor import Acceptor
from imgserve.api.http.asgi import App
from imgserve.api.http.connection import STRICT_LINES, Quick, TimedProtocol
from imgserve.api.http.inlet import BUFFER_BYTES, Inlet
from imgserve.api.http.listener import BACKLOG
from imgserve.api.http.slots import Slot, Slots
from imgserve.api.http.tls import Certificate

# As in ``connection``, of Server. Overridden: startup, main_loop, capture_signals. Used: servers, server_state,
# lifespan.state, should_exit, on_tick.

_FULL = b'{"msg":"request invalid","code":301,"detail":"too many connections are open (try again later)"}'
_FULL_HEAD = b"content-type: application/json\r\ncontent-length: %d\r\nretry-after: 5\r\nconnection: close\r\n\r\n"


class Server(uvicorn.Server):
    """Without signal handlers of its own: ours drain first. ``slots`` bound its connections; None: any number."""

    def __init__(
        self,
        application: App,
        protocol: type[TimedProtocol],
        header_timeout_s: float,
        certificate: Certificate | None = None,
        slots: Slots | None = None,
        quick: Quick | None = None,
    ) -> None:
        """``quick`` answers some requests at once, without the application."""
        super().__init__(
            uvicorn.Config(
                application,
                http="httptools",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # a header must not replace the client's address
                ws="none",
                server_header=False,
                timeout_keep_alive=10,
                timeout_graceful_shutdown=1,
            )
        )
        self._protocol_class = protocol
        self._header_timeout_s = header_timeout_s
        self._certificate = certificate
        self._slots = slots
        self._quick = quick
        self._stopping = asyncio.Event()
        self._buffer = bytearray(BUFFER_BYTES)

    def stop(self) -> None:
        """``serve`` returns soon."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Date the answers anew each second. uvicorn's own loop wakes up ten times a second, to see whether to stop."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._stopping.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        for listener in sockets or ():
            self.servers.append(await self._listen(listener))

    async def _listen(self, listener: socket.socket) -> Any:
        if self._slots is None:
            return await asyncio.get_running_loop().create_server(self._inlet, sock=listener, backlog=BACKLOG)
        context = self._certificate.context if self._certificate else None
        refusal = b"".join((STATUS_LINE[503], STRICT_LINES, _FULL_HEAD % len(_FULL), _FULL))
        return Acceptor(listener, self._with_slot, self._slots, refusal, context, self._header_timeout_s)

    def _with_slot(self, slot: Slot) -> Inlet:
        return self._inlet(slot.close)

    def _inlet(self, on_lost: Callable[[], None] | None = None) -> Inlet:
        protocol = self._protocol_class(self.config, self.server_state, self.lifespan.state, self._header_timeout_s)
        protocol.quick = self._quick
        protocol.on_lost = on_lost
        return Inlet(protocol, self._buffer)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
