"""One connection: uvicorn's protocol with a header time-out and a strict reader of requests in front. For ``server``.

uvicorn keeps a half-sent header open for ever (measured), and any byte stops its idle timer. httptools accepts headers
of any length, HTTP/0.9 and RTSP, ends a request with Upgrade before its body, and returns trailers as headers. So
``framing`` passes on only heads that can be read in one way, and reads the bodies.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import httptools
import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from imgserve.api.http.asgi import new_request_id
from imgserve.api.http.framing import Framing, Piece
from imgserve.api.http.headers import STRICT
from imgserve.api.http.inlet import Take, Taker
from imgserve.api.http.joined import Joined
from imgserve.api.http.request_head import Head, RequestRefused
from imgserve.api.http.unread import Unread
from imgserve.telemetry import logs

# uvicorn promises nothing of these, so pyproject.toml pins it below the next minor version; look at each before that
# is raised. Overridden, of HttpToolsProtocol: connection_made, connection_lost, data_received, on_message_begin,
# on_headers_complete, on_message_complete, on_response_complete, pause_writing, resume_writing, shutdown,
# timeout_keep_alive_handler; of FlowControl: resume_reading. Used: STATUS_LINE, HIGH_WATER_LIMIT; server_state, loop,
# transport, parser, pipeline, flow, url, headers, on_body, on_response_complete, _unset_keepalive_if_required, and
# body, disconnected, keep_alive, message_event, more_body, response_started, response_complete and transport of
# cycle.

# A smaller piece of a body is copied, so that several are written at once: a write costs more than the copy.
_LEAST_VIEWED = 32_768
# Nearly all heads end within so many bytes.
_USUAL_HEAD_BYTES = 4_096
# Target and fields in; header lines and the body out, or None.
Quick = Callable[[bytes, list[tuple[bytes, bytes]]], tuple[bytes, bytes] | None]
STRICT_LINES = b"".join(name + b": " + value + b"\r\n" for name, value in STRICT)
_REFUSED = b"x-request-id: %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class _Flow(FlowControl):
    """``is_held``: nothing more is read, not even by a request that waits for its body."""

    is_held = False

    def resume_reading(self) -> None:
        if not self.is_held:
            super().resume_reading()


class TimedProtocol(HttpToolsProtocol):
    """Ends a connection whose next header is not complete in ``header_timeout_s``, or whose answers are not read.

    One request at most waits for the answer to another: uvicorn makes objects of all that a client sends ahead, some
    kilobytes for a head of 30 bytes, and reads on with each answer.

    The scope has ``on_gone``, ``unwatched``, for an answer that has limits of its own, and, with a body, ``pour``, for
    the body's reader to call after ``receive``, and ``has_come``: whether the next message has all that is left of it.
    """

    def __init__(
        self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any], header_timeout_s: float
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._header_timeout_s = header_timeout_s
        self._timer: asyncio.TimerHandle | None = None
        self._framing = Framing()
        self._is_in_head = False  # by httptools' reading
        self._body_fields: list[tuple[bytes, bytes]] = []
        self._taker: Taker | None = None
        self._is_lost = False
        self._on_gone: set[Callable[[], object]] = set()
        self._is_over = False  # nothing more is read; answers are still to come
        self._answered_first: RequestResponseCycle | None = None  # while ``cycle`` waits for its answer
        self.on_lost: Callable[[], None] | None = None
        self.quick: Quick | None = None
        self._is_answered = False  # by ``quick``, before the request's end

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.flow = self._flow = _Flow(transport)
        self._unread = Unread(transport, self.loop)
        self._start_timer()

    @property
    def is_taking(self) -> bool:
        return self._taker is not None

    def view_received(self, view: memoryview) -> None:
        if self._taker is not None and self._framing.left_bytes and not self.transport.is_closing():
            piece = view[: self._framing.left_bytes]
            self._framing.skip(len(piece))
            self._taker.take(piece if len(piece) >= _LEAST_VIEWED else bytes(piece))
            self._end_request()
            view = view[len(piece) :]
        elif self._framing.is_between_requests and len(view) >= _LEAST_VIEWED:
            head = bytes(view[:_USUAL_HEAD_BYTES])  # apart, so that the body behind it is copied once only
            end = head.find(b"\r\n\r\n") + 4
            self.data_received(head[:end])
            view = view[end:]
        if view:
            self.data_received(bytes(view))

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing() or self._is_over:
            return
        if self._flow.is_held:
            self._framing.keep(data)
            return
        self._unset_keepalive_if_required()
        # Bytes that begin no request (a blank line, the rest of a refused body) have stopped uvicorn's idle timer.
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_timer()
        try:
            self._split(data)
        except RequestRefused as error:
            self._refuse(error.status)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(400)
        else:
            if self._timer is None and self._framing.is_in_header and not self._flow.is_held:
                self._start_timer()

    def _split(self, data: bytes) -> None:
        for piece in self._framing.split(data):
            self._feed(piece)
            if self.pipeline:
                self._flow.pause_reading()
                self._flow.is_held = True
                return

    def _feed(self, piece: Piece) -> None:
        if isinstance(piece, Head):
            self._body_fields = piece.body_fields
            self.parser.feed_data(piece.text)
            if self._is_in_head:
                raise RequestRefused  # httptools ends it elsewhere
        elif self._taker is not None:
            self._taker.take(piece)
        elif len(piece) > HIGH_WATER_LIMIT and not self.cycle.body and not self.cycle.response_complete:
            self.cycle.body = cast(bytearray, piece)  # what on_body does, but for its copy, which receive copies again
            self.cycle.message_event.set()
            self.flow.pause_reading()
        elif piece:
            self.on_body(piece)
        self._end_request()

    def _end_request(self) -> None:
        """The request that has come, if it is complete."""
        if not self._framing.is_between_requests:
            return
        if self._is_answered:
            self._is_answered = False
            return
        super().on_message_complete()
        self._end_taking()

    def _end_taking(self) -> None:
        """Before the next head: its body belongs to another request."""
        if self._taker is not None:
            self._taker.end()
            self._taker = None

    async def _pour(self, cycle: RequestResponseCycle, take: Take) -> None:
        """Give ``take`` the rest of the body while it is read, until its end or the client's, of which ``receive``
        tells. Raises the error of ``take``.
        """
        if cycle.body or cycle.disconnected or not cycle.more_body:
            return
        self._taker = taker = Taker(take)
        try:
            self.flow.resume_reading()
            await taker.over()
        finally:
            if self._taker is taker:
                self._taker = None

    def on_message_begin(self) -> None:
        self._is_in_head = True
        super().on_message_begin()
        self.scope["abort"] = self.transport.abort  # type: ignore[typeddict-unknown-key]
        self.scope["on_gone"] = self._when_gone  # type: ignore[typeddict-unknown-key]
        self.scope["unwatched"] = self._leave_unwatched  # type: ignore[typeddict-unknown-key]

    def _when_gone(self, callback: Callable[[], object]) -> Callable[[], object]:
        if self._is_lost:
            callback()
        self._on_gone.add(callback)
        return partial(self._on_gone.discard, callback)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self.headers += self._body_fields
        if self.quick is None or not self._answer(self.quick):
            before = self.cycle
            super().on_headers_complete()
            self._answered_first = before if self.pipeline else None
            self.cycle.transport = cast(asyncio.Transport, Joined(self.transport, self.loop, self._unread.close))
            if self._body_fields:
                self.scope["pour"] = partial(self._pour, self.cycle)  # type: ignore[typeddict-unknown-key]
                self.scope["has_come"] = partial(_has_come, self.cycle)  # type: ignore[typeddict-unknown-key]

    def _answer(self, quick: Quick) -> bool:
        """Answer at once, if this needs no application and no other answer is still to come."""
        is_free = (self.cycle is None or self.cycle.response_complete) and not self.pipeline
        if not is_free or self.flow.write_paused or self.parser.get_method() != b"GET":
            return False
        if self.parser.get_http_version() != "1.1" or not self.parser.should_keep_alive():
            return False
        hot = quick(self.url, self.headers)
        if hot is None:
            return False
        lines, body = hot
        date = b"".join([name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers])
        self._write(b"".join((STATUS_LINE[200], date, lines, b"\r\n", body)))
        self._is_answered = True
        self.on_response_complete()
        return True

    def on_message_complete(self) -> None:
        """The head is complete; for httptools there is no body."""
        self._is_in_head = False

    def on_response_complete(self) -> None:
        self._unread.is_watched = True
        super().on_response_complete()
        if self._flow.is_held:
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Read what came behind the request that waited, once its turn has come."""
        if self._flow.is_held and not self.pipeline and not self.transport.is_closing():
            self._flow.is_held = False
            self._flow.resume_reading()
            if self._framing.has_unread:
                self.data_received(b"")

    def _refuse(self, status: int) -> None:
        """Answer and hang up; or, when an earlier request's answer is still to come, hang up after that."""
        if self.cycle is None or self.cycle.response_complete or self._is_body_unread():
            date = [name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers]
            request_id = new_request_id()
            logs.request.set(request_id.decode())
            logs.event("refused", status=status)
            self._write(b"".join((STATUS_LINE[status], *date, STRICT_LINES, _REFUSED % request_id)))
        elif not self.cycle.more_body:
            self._is_over, self.cycle.keep_alive = True, False
            return
        self._unread.close()

    def _write(self, response: bytes) -> None:
        if self.cycle is not None:  # the head of an answer without a body may still be on its way
            cast(Joined, self.cycle.transport).flush()
        self.transport.write(response)

    def _is_body_unread(self) -> bool:
        return self.cycle.more_body and not self.cycle.response_started and not self.pipeline

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._unread.end()
        if self.on_lost is not None:
            self.on_lost()
        super().connection_lost(exc)
        if self.pipeline and self._answered_first is not None:  # uvicorn tells only the last request
            self._answered_first.disconnected = True
            self._answered_first.message_event.set()
        self._end_taking()
        self._is_lost = True
        for callback in tuple(self._on_gone):
            callback()

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
            self._unread.close()

    def timeout_keep_alive_handler(self) -> None:
        self._end()

    def shutdown(self) -> None:
        super().shutdown()
        if self.transport.is_closing():
            self._unread.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._unread.end()

    def _leave_unwatched(self) -> None:
        self._unread.is_watched = False
        self._unread.end()


def _has_come(cycle: RequestResponseCycle) -> bool:
    return not cycle.more_body
