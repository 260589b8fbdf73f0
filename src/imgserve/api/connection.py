"""The HTTP server: uvicorn with a header time-out and a strict reader of requests before its own. For ``service.py``.

uvicorn leaves a half-sent header open for ever (measured), and any byte stops its idle timer. httptools takes headers
of any length, HTTP/0.9 and RTSP, ends a request with Upgrade before its body, and gives trailers as headers:
``framing`` hands it only what can be read in one way.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from imgserve.api.framing import Framing
from imgserve.api.request_head import RequestRefused
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
        self._framing = Framing()
        self._is_in_request = False  # by httptools' reading

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        # Bytes that begin no request (a blank line, the rest of a refused body) stop uvicorn's own idle timer.
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_timer()
        try:
            for piece in self._framing.split(data):
                self._feed(piece)
        except RequestRefused as error:
            self._refuse(error.status)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(400)
        else:
            if self._timer is None and self._framing.is_in_header:
                self._start_timer()

    def _feed(self, piece: bytes) -> None:
        self.parser.feed_data(piece)
        if self._is_in_request == self._framing.is_between_requests:
            raise RequestRefused  # httptools has another opinion of where the request ends

    def on_message_begin(self) -> None:
        self._is_in_request = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_request = False
        super().on_message_complete()

    def _refuse(self, status: int) -> None:
        """Answer, unless an earlier request's answer is still to come; hang up."""
        if self.cycle is None or self.cycle.response_complete or self._is_body_unread():
            lines = [name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers]
            rest = b"content-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(b"".join((STATUS_LINE[status], *lines, rest)))
        self.transport.close()

    def _is_body_unread(self) -> bool:
        return self.cycle.more_body and not self.cycle.response_started and not self.pipeline

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
