"""The HTTP server: uvicorn, with an end to connections that do not get on. For ``service.py``.

uvicorn leaves a half-sent header open for ever (measured), and any byte stops its idle timer.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from imgserve.api.tls import Certificate

BACKLOG = 2048
TLS_GOODBYE_S = 2.0


class Server(uvicorn.Server):
    """Without signal handlers of its own: ours drain first. A TLS handshake has a deadline, which uvicorn has not."""

    def __init__(self, config: uvicorn.Config, certificate: Certificate | None, handshake_timeout_s: float) -> None:
        super().__init__(config)
        self._certificate = certificate
        self._handshake_timeout_s = handshake_timeout_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([])
        loop = asyncio.get_running_loop()
        for listener in sockets or ():
            if self._certificate is None:
                server = await loop.create_server(self._protocol, sock=listener, backlog=BACKLOG)
            else:
                server = await loop.create_server(
                    self._protocol, sock=listener, backlog=BACKLOG, ssl=self._certificate.context,
                    ssl_handshake_timeout=self._handshake_timeout_s, ssl_shutdown_timeout=TLS_GOODBYE_S,
                )  # fmt: skip
            self.servers.append(server)

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        made: asyncio.Protocol = make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return made

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class TimedProtocol(HttpToolsProtocol):
    """Ends a connection whose next header is not complete in ``header_timeout_s``. uvicorn gives what it makes its own
    arguments only, so ``functools.partial`` adds ours."""

    def __init__(self, *arguments: Any, header_timeout_s: float, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._header_timeout_s = header_timeout_s
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        # Bytes that begin no request (a blank line, the rest of a refused body) stop uvicorn's own idle timer.
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_timer()
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._start_timer()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._stop_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self._header_timeout_s, self._end)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._timer = None
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()
