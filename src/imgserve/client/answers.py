"""The server's answers, as the client reads them.

They have the fields of ``jobs.views`` and the API's other Structs. Fields that a later server adds are ignored, and
vocabularies that may grow, such as those of events and formats, are texts. Times are UTC.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

JobStatus = Literal["accepting", "queued", "running", "succeeded", "failed", "cancelled", "superseded"]
OutputStatus = Literal["queued", "placeholder", "delivered", "failed", "cancelled", "superseded"]


class JobSource(msgspec.Struct, frozen=True):
    """The source by its header. Sides are pixels after orientation; an SVG's may be fractions."""

    url: str | None = None
    format: str | None = None
    width: int | float | None = None
    height: int | float | None = None
    frames: int | None = None
    size_bytes: int | None = None


class JobError(msgspec.Struct, frozen=True):
    """Why the last attempt failed. ``retryable``: time alone may heal it."""

    code: str
    detail: str
    hint: str
    retryable: bool


class JobOutput(msgspec.Struct, frozen=True, kw_only=True):
    """``url`` is where a browser finds the result. ``owed``: what is still to be done about its placeholder."""

    name: str
    status: OutputStatus
    destination: str
    url: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    placeholder: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    delivered_at: datetime | None = None
    error: JobError | None = None
    owed: str | None = None


class JobWarning(msgspec.Struct, frozen=True):
    """``path`` names the part of the job, as ``outputs[0]``."""

    path: str
    code: str
    detail: str


class JobWebhook(msgspec.Struct, frozen=True):
    """``url`` without its query."""

    url: str
    events: tuple[str, ...] = ()


class WebhookTry(msgspec.Struct, frozen=True):
    """``status`` is that of the HTTP answer; None without one. ``error`` is a code."""

    at: datetime
    status: int | None
    error: str | None
    duration_ms: int


class WebhookDelivery(msgspec.Struct, frozen=True):
    """A webhook of a job. ``id`` is its webhook-id; ``tries`` are the newest, oldest first."""

    id: str
    type: str
    timestamp: datetime
    state: str
    next_attempt_at: datetime | None = None
    tries: tuple[WebhookTry, ...] = ()


class WebhookLog(msgspec.Struct, frozen=True):
    """Oldest first."""

    webhooks: tuple[WebhookDelivery, ...]


class TimelineEntry(msgspec.Struct, frozen=True):
    """``output`` is a name. ``duration_ms`` is that of what has ended: placeholder, attempt or job."""

    at: datetime
    output: str | None
    event: str
    code: str | None
    duration_ms: int | None


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """A job as a dry run shows it: without an id."""

    protocol: str
    status: JobStatus
    created_at: datetime
    not_before: datetime | None = None
    deadline_at: datetime
    ended_at: datetime | None = None
    superseded_by: str | None = None
    priority: str
    metadata: Mapping[str, str] = {}
    retries: int = 0
    source: JobSource
    outputs: tuple[JobOutput, ...]
    warnings: tuple[JobWarning, ...] = ()
    webhook: JobWebhook | None = None

    def output(self, name: str) -> JobOutput:
        """Raises KeyError."""
        return {output.name: output for output in self.outputs}[name]


class Job(Preview, frozen=True, kw_only=True):
    """``timeline`` comes with ``Client.job`` only, with the newest 200 entries."""

    id: str
    timeline: tuple[TimelineEntry, ...] = ()

    @property
    def has_ended(self) -> bool:
        return self.ended_at is not None

    @property
    def error(self) -> JobError | None:
        """The first output's that has one."""
        return next((output.error for output in self.outputs if output.error is not None), None)


class JobPage(msgspec.Struct, frozen=True):
    """The newest first. ``next`` is the cursor of the following page; None on the last."""

    jobs: tuple[Job, ...]
    next: str | None = None


class Picture(msgspec.Struct, frozen=True):
    """A rendered picture, and its type, such as ``image/webp``."""

    data: bytes
    media_type: str


class Color(msgspec.Struct, frozen=True):
    """``color`` is ``#rrggbb``; ``fraction``: of the pixels that have it or one like it."""

    color: str
    fraction: float


class Position(msgspec.Struct, frozen=True):
    """Degrees north and east, and metres above the sea."""

    latitude: float
    longitude: float
    altitude_m: float | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """``width`` and ``height`` are pixels after ``orientation``, EXIF's number. The fields from ``thumbhash`` on are
    there if they are included.
    """

    format: str
    width: int | float
    height: int | float
    frames: int
    orientation: int
    has_alpha: bool
    size_bytes: int | None
    thumbhash: bytes | None = None
    blurhash: str | None = None
    colors: tuple[Color, ...] = ()
    exif: Mapping[str, object] = {}
    position: Position | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, as a webhook and a stream of events tell it.

    ``id`` is the same each time the event is sent. ``output`` is set by events of an output.
    """

    id: str
    type: str
    timestamp: datetime | None = None
    job: Job | None = None
    output: JobOutput | None = None
