"""Connections that do not get on are ended: uvicorn's HTTP protocol with a timer. For ``service.py``.

uvicorn leaves a half-sent header open for ever (measured), and any byte stops its idle timer.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


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
