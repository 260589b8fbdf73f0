"""A job's life as plain values: as intake hands it over, as the runner gets it, and its end.

    accepting ─a─> queued ─b─> running ─c─> succeeded | failed | superseded
        │            ^  │         │
        │            └──┼────d────┘             queued ─f─> superseded
        └──e──> (row deleted) | failed          queued, running ─g─> cancelled        failed ─h─> queued

    a  every placeholder is out (or waived)     d  retry, a lost lease, the end of the server
    b  claimed under a lease with a new token   e  a destination refused its placeholder
    c  every output has ended                   f  a newer job for the same destination was activated
    g  by request, output by output, before a final holds its destination
    h  by request, as long as no newer job has its destinations

Nothing here touches a disk or a clock.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from imgserve.blob import Fingerprint
from imgserve.errors import Charge
from imgserve.request.access import Headers
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.job import Priority, Protocol, ResolvedOutput
from imgserve.request.source import Source
from imgserve.request.warning import OutputWarning
from imgserve.request.webhook import Webhook

JobStatus = Literal["accepting", "queued", "running", "succeeded", "failed", "cancelled", "superseded"]
OutputStatus = Literal["queued", "placeholder", "delivered", "failed", "cancelled", "superseded"]
# kept: a picture that is not imgserve's stays there until the result comes
PlaceholderState = Literal["none", "pending", "written", "unknown", "refused", "kept"]
WriteKind = Literal["placeholder", "final", "failed"]
# Replace a placeholder by a failure picture, or delete it; or the stored output cannot be read, so neither can be done.
# Or tell a webhook of an end.
OutboxKind = Literal["error_image", "deletion", "unreadable", "webhook"]
OutboxState = Literal["pending", "done", "abandoned"]
# gone: abandoned, with all pending webhooks of its principal for the same URL. A number: try again at that time.
OutboxOutcome = Literal["done", "cancelled", "abandoned", "gone"] | float
EventType = Literal[
    "job.accepted", "job.started", "job.retrying", "job.succeeded", "job.failed", "job.cancelled", "job.superseded",
    "output.placeholder", "output.delivered", "output.failed",
]  # fmt: skip
END_EVENTS: dict[JobStatus, EventType] = {
    "succeeded": "job.succeeded", "failed": "job.failed", "cancelled": "job.cancelled",
    "superseded": "job.superseded",
}  # fmt: skip
ResultStatus = Literal["delivered", "failed", "superseded", "retry", "repeat"]

# A key belongs to its job for so long, even when the job is deleted earlier.
KEY_MEMORY_S = 24 * 3600.0
# So long its events can be read, as long as the job itself is kept.
EVENT_MEMORY_S = 24 * 3600.0
# The uploaded picture of a failed job is kept for so long, for a retry.
KEEP_UPLOAD_S = 24 * 3600.0
# One row of a picture in a database. A statement with more holds its connection up for others; fewer cost as much.
UPLOAD_PART_BYTES = 256 * 1024
OPEN: frozenset[OutputStatus] = frozenset({"queued", "placeholder"})


class Binding(msgspec.Struct, frozen=True):
    """The Idempotency-Key of a request, which its job binds for 24 hours; ``digest`` is the request's own."""

    key: str
    digest: bytes


class Bound(msgspec.Struct, frozen=True):
    """The job that a key belongs to, and the digest of its request; ``is_gone``: the job has been deleted."""

    job_id: str
    digest: bytes
    is_gone: bool


class NewJob(msgspec.Struct, frozen=True):
    """A job as intake hands it over. ``digest`` identifies principal and request; of a request with a key principal and
    key.

    ``traceparent`` (W3C) is that of intake's span; empty without tracing. ``has_quota``: the principal has a quota of
    the queue. ``source_bytes``: the source's length, if its host has told it.
    """

    id: str
    digest: bytes
    source: Source
    info: ImageInfo
    outputs: tuple[ResolvedOutput, ...]
    deadline_s: float
    traceparent: str = ""
    principal: str = ""
    has_quota: bool = False
    protocol: Protocol = "classic"
    priority: Priority = "normal"
    not_before: float | None = None
    metadata: Mapping[str, str] = {}
    binding: Binding | None = None
    source_bytes: int | None = None
    webhook: Webhook | None = None


class Output(msgspec.Struct, frozen=True):
    """One stored output. ``number`` and ``principal`` are its job's.

    ``is_repeat``: its final went out once after an unanswered placeholder. ``fingerprint`` of the placeholder at a file
    destination, ``etag`` at an object store, where they are known. ``attempts`` and ``crashes`` count failures so far.
    """

    id: int
    number: int
    principal: str
    spec: ResolvedOutput
    placeholder: PlaceholderState = "pending"
    is_repeat: bool = False
    fingerprint: Fingerprint | None = None
    attempts: int = 0
    crashes: int = 0
    etag: str | None = None


class Accepted(msgspec.Struct, frozen=True):
    """The row is on disk. ``held_ids`` are outputs whose destinations are held for the placeholder already. Times are
    the queue's.
    """

    number: int
    id: str
    outputs: tuple[Output, ...]
    held_ids: frozenset[int] = frozenset()
    created_at: float = 0.0
    due_at: float = 0.0


class Untouched(msgspec.Struct, frozen=True):
    """A job to which nothing has happened since it was accepted, so that it need not be read to be shown.

    Times are the wall clock's, instead of those of ``job``; ``placeholders`` are those of its outputs, in their order.
    """

    job: NewJob
    created_at: float
    due_at: float
    deadline_at: float
    not_before: float | None
    placeholders: tuple[PlaceholderState, ...]


class Answer(msgspec.Struct, frozen=True):
    """A stored job, from which a protocol makes its reply. The queue itself gives one where it adopts a job: that of an
    earlier, equal POST whose reply was lost with its server.

    ``untouched`` None: what the reply shows has to be read.
    """

    number: int
    id: str
    outputs: tuple[ResolvedOutput, ...]
    untouched: Untouched | None = None


class PlaceholderResult(msgspec.Struct, frozen=True):
    """``fingerprint`` of the placeholder at a file destination, ``etag`` at an object store."""

    output_id: int
    state: PlaceholderState
    fingerprint: Fingerprint | None = None
    etag: str | None = None


class Claim(msgspec.Struct, frozen=True):
    """The right to run one attempt at the due outputs of a job, until the lease ends."""

    number: int
    id: str
    token: int
    deadline_at: float
    source: Source
    info: ImageInfo
    outputs: tuple[Output, ...]
    traceparent: str = ""
    principal: str = ""
    protocol: Protocol = "classic"


class OutboxRules(msgspec.Struct, frozen=True):
    """``holds_destination``: its sender writes under the destination's lock. ``gives_way``: a newer job's write there
    cancels it. ``keeps_job``: its job is not pruned while it is pending. ``is_message``: it concerns no output, and a
    new server does not try it before its time.
    """

    holds_destination: bool
    gives_way: bool
    keeps_job: bool
    is_message: bool = False


OUTBOX: dict[OutboxKind, OutboxRules] = {
    "error_image": OutboxRules(holds_destination=True, gives_way=True, keeps_job=True),
    "deletion": OutboxRules(holds_destination=True, gives_way=True, keeps_job=True),
    "unreadable": OutboxRules(holds_destination=False, gives_way=False, keeps_job=False),
    "webhook": OutboxRules(holds_destination=False, gives_way=False, keeps_job=True, is_message=True),
}


class Message(msgspec.Struct, frozen=True):
    """A webhook to be sent. ``id`` and ``body`` are the same in each try. ``secret`` names the credential that signs;
    empty: the default one of ``principal``.
    """

    id: str
    type: EventType
    url: str
    headers: Headers
    secret: str
    body: bytes
    principal: str

    def __repr__(self) -> str:
        return f"Message({self.id!r})"


class SentMessage(msgspec.Struct, frozen=True):
    """One try to send a webhook, for its log. ``status`` is the HTTP answer's; None without one. ``error`` is a code,
    empty for none.
    """

    status: int | None
    error: str
    duration_ms: int


class OutboxEntry(msgspec.Struct, frozen=True):
    """The right to try once to send an outbox entry. ``number``, ``id`` and ``traceparent`` are the job's.

    ``attempts`` counts failures so far; one after ``until`` is the last. ``content``: the output whose placeholder it
    replaces, or a message.
    """

    entry_id: int
    kind: OutboxKind
    number: int
    id: str
    token: int
    attempts: int
    until: float
    content: Output | Message
    traceparent: str = ""

    @property
    def output(self) -> Output:
        """For the kinds that concern one."""
        assert isinstance(self.content, Output)
        return self.content

    @property
    def message(self) -> Message | None:
        return self.content if isinstance(self.content, Message) else None


class Intent(msgspec.Struct, frozen=True):
    """One write to one destination, before it happens. ``token`` is the claim's; for a placeholder 0."""

    number: int
    output_id: int
    token: int
    key: str
    kind: WriteKind
    principal: str = ""


def intent_of(output: Output, kind: WriteKind, token: int) -> Intent:
    return Intent(output.number, output.id, token, output.spec.placement.destination.key, kind, output.principal)


class OutputResult(msgspec.Struct, frozen=True):
    """The end of an attempt at one output. ``due_at`` is when a ``retry`` or ``repeat`` follows.

    ``warnings`` replace those of the attempt before; None: no picture was made, so they stay. ``size_bytes`` and
    ``sha256`` (32 bytes) are the delivered picture's. ``error``, ``detail`` and ``hint`` are texts for people, without
    credentials; ``is_retryable``: time alone may heal the error.
    """

    output_id: int
    status: ResultStatus
    charge: Charge = "none"
    due_at: float | None = None
    error: str = ""
    detail: str = ""
    hint: str = ""
    is_retryable: bool = False
    size_bytes: int | None = None
    sha256: bytes | None = None
    warnings: tuple[OutputWarning, ...] | None = None


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The end of a job, for metrics, the end rate and those who wait for it."""

    status: JobStatus
    error: str
    created_at: float
    ended_at: float
    id: str


class Settlement(msgspec.Struct, frozen=True):
    """The end of an attempt, output by output."""

    number: int
    token: int
    results: tuple[OutputResult, ...]

    @property
    def error(self) -> str:
        """The first error, which logs and traces show for the attempt."""
        return next((result.error for result in self.results if result.error), "")
