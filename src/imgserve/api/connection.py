"""The HTTP server: uvicorn, with an end to connections that do not get on. For ``service.py``.

uvicorn leaves a half-sent header open for ever (measured), and any byte stops its idle timer. Its parser takes headers
of any length, and HTTP/0.9.
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
MAX_HEADER_BYTES = 65_536
MAX_HEADERS = 200
_REFUSALS = {400: b"HTTP/1.1 400 Bad Request\r\n", 431: b"HTTP/1.1 431 Request Header Fields Too Large\r\n"}


class HeaderRefused(Exception):
    """Raised out of the parser's callbacks, which ends the parsing."""


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
        self._is_in_header = False
        self._header_bytes = self._unfinished_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        # Bytes that begin no request (a blank line, the rest of a refused body) stop uvicorn's own idle timer.
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_timer()
        if self._is_in_header:  # the parser tells of a field only when it is whole
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > MAX_HEADER_BYTES:
                self.send_400_response("")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._start_timer()
        self._is_in_header, self._header_bytes, self._unfinished_bytes = True, 0, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._weigh(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._weigh(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._is_in_header = False
        version = self.parser.get_http_version()
        hosts = sum(name == b"host" for name, _ in self.headers)
        if version not in ("1.0", "1.1") or hosts > 1 or (version == "1.1" and hosts == 0):
            raise HeaderRefused
        super().on_headers_complete()

    def _weigh(self, size_bytes: int) -> None:
        """Raises HeaderRefused."""
        self._header_bytes += size_bytes
        if self._header_bytes > MAX_HEADER_BYTES or len(self.headers) >= MAX_HEADERS:
            raise HeaderRefused

    def send_400_response(self, msg: str) -> None:
        """What cannot be parsed is refused, unless an earlier request's answer is still to come: then we hang up."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or self._is_body_unread():
            lines = [name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers]
            rest = b"content-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(b"".join((_REFUSALS[431 if self._is_too_large() else 400], *lines, rest)))
        self.transport.close()

    def _is_body_unread(self) -> bool:
        return self.cycle.more_body and not self.cycle.response_started and not self.pipeline

    def _is_too_large(self) -> bool:
        sizes = (self._header_bytes, self._unfinished_bytes)
        return self._is_in_header and (max(sizes) > MAX_HEADER_BYTES or len(self.headers) >= MAX_HEADERS)

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
