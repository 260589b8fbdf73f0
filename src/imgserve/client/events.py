"""A stream of events (SSE, as the HTML standard has it) at its reader: bytes in, ``Event``s out. No I/O, as ``flows``.

A ``Feed`` outlasts the connections that it is read from: it says how to connect again, and when to give up.
"""

from collections.abc import Iterator

import msgspec

from imgserve.client.answers import Event
from imgserve.client.calls import Names, Pairs, Reply, Request, names_in, path_of
from imgserve.client.errors import AnswerInvalid, Unreachable
from imgserve.client.flows import Lost, Patience, error_of, may_repeat, pauses
from imgserve.client.webhooks import event_of
from imgserve.errors import ImgserveError

MEDIA_TYPE = "text/event-stream"
NO_CONTENT = 204
"""Of a job that has ended, all of whose events are known."""
SILENCE_S = 45.0
"""Three of the server's pings: a connection without them is dead."""


class Block(msgspec.Struct, frozen=True):
    """The fields up to an empty line. ``id`` None: it has none."""

    id: str | None
    event: str
    data: bytes


class Feed:
    """``job_id`` empty: the events of all of one's jobs. ``after``: the id of the last one that is known already."""

    def __init__(self, patience: Patience, job_id: str = "", types: Names = (), after: str = "") -> None:
        self.is_over = False
        self._patience = patience
        self._job_id = job_id
        self._types = names_in(types)
        self._last_id = after
        self._blocks = Blocks()
        self._pauses = pauses()
        self._heard_at = patience.clock()
        self._has_job_ended = False

    def request(self) -> Request:
        self._blocks = Blocks()
        path = path_of(self._job_id, "events") if self._job_id else "/v1/events"
        query = (("type", ",".join(self._types)),) if self._types else ()
        headers: Pairs = (("accept", MEDIA_TYPE), *((("last-event-id", self._last_id),) if self._last_id else ()))
        return Request("GET", path, query, headers)

    def opened(self, status: int, media_type: str) -> None:
        """Raises AnswerInvalid."""
        if status == NO_CONTENT:
            self._has_job_ended = True
        elif media_type.partition(";")[0] != MEDIA_TYPE:
            detail = f"expected a stream of events, got {media_type or 'something without a type'}"
            raise AnswerInvalid(detail, "is it an imgserve that answers at this URL?")

    def take(self, chunk: bytes) -> Iterator[Event]:
        """The events that are whole with this piece of the stream. Raises AnswerInvalid."""
        self._heard_at, self._pauses = self._patience.clock(), pauses()
        for block in self._blocks.take(chunk):
            self._last_id = self._last_id if block.id is None else block.id
            if block.data:
                event = event_of(self._last_id, block.data, block.event)
                self._has_job_ended = event.job is not None and event.job.has_ended
                yield event

    def ended(self) -> float:
        """The connection was closed in order. The pause before the next one; 0 if there is none."""
        self.is_over = bool(self._job_id) and self._has_job_ended
        return 0.0 if self.is_over else self._pause_s(Unreachable("the server ends the stream of events"))

    def failed(self, outcome: Reply | Lost) -> float:
        """The pause before the next try. Raises ApiError, Unreachable."""
        error = error_of(outcome)
        if not may_repeat(error, outcome, is_repeatable=True):
            raise error
        return self._pause_s(error)

    def _pause_s(self, error: ImgserveError) -> float:
        pause_s = self._patience.spread(next(self._pauses), error)
        if self._patience.clock() + pause_s > self._heard_at + self._patience.retry_s:
            raise error
        return pause_s


class Blocks:
    """The parser of one connection. Lines end with LF or CRLF."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: list[tuple[bytes, bytes]] = []

    def take(self, chunk: bytes) -> Iterator[Block]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if line:
                name, _, value = line.partition(b":")
                self._fields.append((name, value.removeprefix(b" ")))
            elif self._fields:
                yield self._block()
                self._fields = []

    def _block(self) -> Block:
        last = dict(self._fields)
        data = b"\n".join(value for name, value in self._fields if name == b"data")
        event_id = last[b"id"].decode(errors="replace") if b"id" in last else None
        return Block(event_id, last.get(b"event", b"message").decode(errors="replace"), data)
