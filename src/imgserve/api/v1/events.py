"""``GET /v1/events`` and ``GET /v1/jobs/{id}/events``: what happens to jobs, as server-sent events.

A stream reads the queue's events behind the last one that its client has, then waits for the commit of the next one.
Its texts are made as they are sent, so that an open stream keeps none in memory.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Literal, get_args

import msgspec

from imgserve.api.http import asgi, sse
from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.api.openapi import Call, Parameter, Schema, reference
from imgserve.api.query import query_of, words_of
from imgserve.api.v1 import streams
from imgserve.api.v1.jobs import JOB_ID, id_in, own
from imgserve.api.v1.streams import Streams
from imgserve.engine.operator import JobAdmin
from imgserve.jobs.event_views import Event, EventBody, EventQuery
from imgserve.jobs.model import END_EVENTS, EventType
from imgserve.jobs.protocol import EventQueue, EventWatch
from imgserve.jobs.views import JobView, OperatorJobView, time_of
from imgserve.request.faults import Faults

PING_S = 15.0
# A client that takes nothing while so many events of all are stored is cut off.
MOST_BEHIND = 1000
# The body of a job of 50 outputs is 30 KB: a stream holds half a megabyte of them.
PAGE = 16

_TYPES: tuple[EventType, ...] = get_args(EventType)
_ENDS = frozenset[EventType](END_EVENTS.values())
_BEGINS = frozenset[EventType]({"job.accepted", "job.started", "job.retrying"})


class StreamData(msgspec.Struct, frozen=True):
    """In the form of all data, since clients read it so."""

    job: JobView | None
    output: None = None


class StreamBody(msgspec.Struct, frozen=True):
    """The data of an event that only streams have: `job`, the whole job as it is, and `gap`, without a job."""

    type: Literal["job", "gap"]
    timestamp: datetime
    data: StreamData


_DATA = {"anyOf": [reference(EventBody), reference(StreamBody)]}
_TEXT: Schema = {"type": "string"}
_EVENT: Schema = {
    "type": "object",
    "description": "each event of the stream",
    "properties": {
        "id": _TEXT, "event": _TEXT,
        "data": {**_TEXT, "contentMediaType": "application/json", "contentSchema": _DATA},
    },
    "required": ["id", "event", "data"],
}  # fmt: skip
_PARAMETERS = (
    Parameter("after", "only events behind the one with this `id`", {"type": "integer", "minimum": 0}),
    Parameter("type", f"only these, separated by commas: {', '.join(_TYPES)}", _TEXT),
    Parameter(sse.NAME, "as `after`, and counts before it", _TEXT, place="header"),
)


CALLS = (
    Call(
        "GET",
        "/v1/events",
        "events",
        "What happens to your jobs, as server-sent events, until the client hangs up.",
        {sse.MEDIA_TYPE: _EVENT},
        (401, 422, 429, 503),
        _PARAMETERS,
        shows=(EventBody, StreamBody),
    ),
    Call(
        "GET",
        "/v1/jobs/{job_id}/events",
        "job_events",
        "The job as it is, then what happens to it, until its end. 204 if the client has all events of an ended job.",
        {sse.MEDIA_TYPE: _EVENT},
        (401, 404, 422, 429, 503),
        (JOB_ID, *_PARAMETERS),
        statuses=(200, 204),
    ),
)


class Events:
    def __init__(self, queue: EventQueue, admin: JobAdmin, open_streams: Streams, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._admin = admin
        self._streams = open_streams
        self._clock = clock

    async def of_all(self, scope: Scope, receive: Receive, send: Send) -> None:
        after, types = _asked(scope)
        principal = own(scope["principal"])
        with self._streams.place(scope["principal"]) as over, self._queue.watch_events(principal) as watch:
            newest = await self._queue.newest_event()
            query = EventQuery(newest if after is None else after, PAGE, types, principal)
            feed = Feed(self._queue, watch, query, newest, types, self._clock)
            await streams.write(feed.texts(), feed.until_behind, over, scope, receive, send)

    async def of_one(self, scope: Scope, receive: Receive, send: Send) -> None:
        after, types = _asked(scope)
        principal = own(scope["principal"])
        with self._streams.place(scope["principal"]) as over:
            newest = await self._queue.newest_event()
            job = await self._admin.job(id_in(scope), principal)
            query = EventQuery(newest if after is None else after, PAGE, principal=principal, job_id=job.id)
            if after is not None and job.ended_at is not None and not await self._has_more(query):
                await asgi.answer(send, asgi.NO_CONTENT, ())
                return
            with self._queue.watch_events(principal, job.id) as watch:
                feed = Feed(self._queue, watch, query, newest, types, self._clock, job)
                await streams.write(feed.texts(), feed.until_behind, over, scope, receive, send)

    async def _has_more(self, query: EventQuery) -> bool:
        return bool((await self._queue.events_after(query, self._clock())).events)


class Feed:
    """The texts of one stream: the events of a query, of which ``types`` are shown; none: all.

    ``newest`` is the number of the newest event of all. With a ``job`` as it was after that event, the stream begins
    with it, and ends when the job has ended.
    """

    def __init__(
        self, queue: EventQueue, watch: EventWatch, query: EventQuery, newest: int, types: tuple[EventType, ...],
        clock: Callable[[], float], job: OperatorJobView | None = None,
    ) -> None:  # fmt: skip
        self._queue = queue
        self._watch = watch
        self._query = query
        self._limit = newest + MOST_BEHIND
        self._types = types
        self._clock = clock
        self._job = job
        self._has_ended = job is not None and job.ended_at is not None

    async def texts(self) -> AsyncIterator[bytes]:
        if self._job is not None:
            job = msgspec.structs.replace(self._job, timeline=msgspec.UNSET).public()
            yield _of_stream(self._query.after, "job", StreamData(job))
        else:
            yield sse.ping(self._query.after)  # a client that is cut off before the first event can go on from here
        now = asyncio.get_running_loop().time
        sent_at = now()
        while True:
            page = await self._queue.events_after(self._query, self._clock())
            if page.is_gap:
                yield _of_stream(page.events[0].number - 1 if page.events else page.last, "gap", StreamData(None))
            for event in page.events:
                self._note(event)
                if not self._types or event.type in self._types:
                    yield sse.event(event.number, event.type, event.body)
                    sent_at = now()
            self._query = msgspec.structs.replace(self._query, after=page.last)
            if page.last < page.newest:
                continue
            self._limit = page.newest + MOST_BEHIND
            if self._has_ended:
                return
            if now() - sent_at >= PING_S:
                yield sse.ping(page.last)
                sent_at = now()
            await self._watch.until_more(sent_at + PING_S - now())

    async def until_behind(self) -> None:
        """Return when the client has missed too much since it was last up to date."""
        with self._queue.watch_events(self._query.principal, self._query.job_id) as watch:
            while await self._queue.newest_event() <= self._limit:
                await watch.until_more(PING_S)

    def _note(self, event: Event) -> None:
        """A job that has ended may be queued again by request."""
        if self._job is not None and event.type in _ENDS | _BEGINS:
            self._has_ended = event.type in _ENDS


def _of_stream(number: int, kind: Literal["job", "gap"], data: StreamData) -> bytes:
    return sse.event(number, kind, msgspec.json.encode(StreamBody(kind, time_of(time.time()), data)))


def _asked(scope: Scope) -> tuple[int | None, tuple[EventType, ...]]:
    """The last event that the client has, and the types that it wants; none: all. Raises RequestInvalid."""
    query = query_of(scope, {"after": "", "type": ""})
    faults = Faults()
    after = faults.attempt((), lambda: sse.last_id(scope["headers"], query.get("after")))
    types = faults.attempt(("query", "type"), words_of, query.get("type", ""), _TYPES)
    faults.raise_any()
    return after, types or ()
