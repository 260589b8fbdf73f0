"""Events and webhooks as people see them: what streams send, and what the log of a webhook shows."""

from datetime import datetime

import msgspec

from imgserve.jobs.model import EventType, OutboxState
from imgserve.jobs.views import JobView, Limit

MAX_TRIES = 20


class EventData(msgspec.Struct, frozen=True):
    """``job`` without its timeline; ``output`` is a name, null where the event is the whole job's."""

    job: JobView
    output: str | None


class EventBody(msgspec.Struct, frozen=True):
    """The body of a webhook, and the data of an event."""

    type: EventType
    timestamp: datetime
    data: EventData


class Event(msgspec.Struct, frozen=True):
    """``number`` grows with each event. ``body`` is an ``EventBody`` as JSON, with the job as it was when this was
    read.
    """

    number: int
    type: EventType
    job_id: str
    principal: str
    body: bytes


class EventQuery(msgspec.Struct, frozen=True):
    """Selects events with numbers above ``after``, oldest first. ``types`` empty: all; ``principal`` None: the events
    of all; ``job_id`` empty: those of all jobs.
    """

    after: int
    limit: Limit = 50
    types: tuple[EventType, ...] = ()
    principal: str | None = None
    job_id: str = ""


class EventPage(msgspec.Struct, frozen=True):
    """``last``: the next page has the events after this number. It may be fewer than were asked for, even none, and not
    be the last one; that has ``last`` equal to ``newest``, the newest of all events.

    ``is_gap``: some of the events asked for are gone, or are older than EVENT_MEMORY_S.
    """

    events: tuple[Event, ...]
    last: int
    newest: int
    is_gap: bool = False


class WebhookTry(msgspec.Struct, frozen=True):
    """``status`` of the HTTP answer; null without one."""

    at: datetime
    status: int | None
    error: str | None
    duration_ms: int


class WebhookDelivery(msgspec.Struct, frozen=True):
    """A webhook of a job: ``id`` is its webhook-id, ``tries`` the newest ``MAX_TRIES``, oldest first."""

    id: str
    type: EventType
    timestamp: datetime
    state: OutboxState
    next_attempt_at: datetime | None
    tries: tuple[WebhookTry, ...]


class WebhookLog(msgspec.Struct, frozen=True):
    """The webhooks of a job, oldest first."""

    webhooks: tuple[WebhookDelivery, ...]
