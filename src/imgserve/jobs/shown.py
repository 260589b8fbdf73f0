"""Stored rows as people see them: pure, for every engine's listing.

A row that this version cannot read is shown as far as its columns go.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec

from imgserve.jobs.event_views import EventBody, EventData
from imgserve.jobs.model import OPEN, EventType, JobStatus, OutboxKind, OutboxState, OutputStatus, PlaceholderState
from imgserve.jobs.stored import (
    UNREADABLE,
    decode_info,
    decode_metadata,
    decode_output,
    decode_source,
    decode_warnings,
    decode_webhook,
    source_bytes_of,
)
from imgserve.jobs.views import (
    ErrorView,
    OperatorJobView,
    OperatorOutputView,
    OutboxView,
    PlaceholderView,
    SourceView,
    TimelineEntry,
    WarningView,
    WebhookView,
    expiry_warnings,
    public_url,
    redacted_key,
    redacted_url,
    shown_source,
    time_of,
    webhook_view,
)
from imgserve.request.destination import Destination
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.job import Priority, Protocol, ResolvedOutput
from imgserve.request.source import Source

UNREADABLE_SOURCE = "(written by another version)"

WallOf = Callable[[float], float]

_encode = msgspec.json.Encoder().encode

# An intake that is under way has not seen the placeholder's end yet; where it was refused nothing lies there.
PLACEHOLDERS: dict[PlaceholderState, PlaceholderView | None] = {
    "none": "none", "pending": None, "written": "written", "unknown": "unknown", "refused": "none",
    "kept": "kept",
}  # fmt: skip


_OF_ATTEMPTS = frozenset[EventType]({"job.retrying", "output.delivered", "output.failed"})


class StoredJob(msgspec.Struct, frozen=True):
    """A job's row. Times are the queue's; texts may be empty for none."""

    number: int
    id: str
    protocol: Protocol
    status: JobStatus
    source: bytes
    info: bytes
    created_at: float
    not_before: float | None
    deadline_at: float
    ended_at: float | None
    superseded_by: str
    priority: Priority
    metadata: bytes | None
    retries: int
    principal: str
    webhook: bytes | None


class StoredOutput(msgspec.Struct, frozen=True):
    """An output's row; ``key`` is its destination's."""

    id: int
    key: str
    status: OutputStatus
    placeholder: PlaceholderState
    spec: bytes
    attempts: int
    crashes: int
    due_at: float
    error: str
    detail: str
    hint: str
    is_retryable: bool
    size_bytes: int | None
    sha256: bytes | None
    delivered_at: float | None
    warnings: bytes | None


class StoredEntry(msgspec.Struct, frozen=True):
    """An outbox entry's row; ``output`` is an id."""

    output: int | None
    kind: OutboxKind
    state: OutboxState


class StoredEvent(msgspec.Struct, frozen=True):
    """An event's row; ``output`` is an id."""

    output: int | None
    at: float
    type: EventType
    code: str


def view_of(
    job: StoredJob, outputs: Sequence[StoredOutput], entries: Sequence[StoredEntry], wall_of: WallOf
) -> OperatorJobView:
    """Without its timeline. ``wall_of`` converts the queue's time to the wall clock's."""
    deadline_at = wall_of(job.deadline_at)
    specs = [_spec(output) for output in outputs]
    return OperatorJobView(
        id=job.id,
        number=job.number,
        principal=job.principal,
        protocol=job.protocol,
        status=job.status,
        created_at=time_of(wall_of(job.created_at)),
        not_before=None if job.not_before is None else time_of(wall_of(job.not_before)),
        deadline_at=time_of(deadline_at),
        ended_at=None if job.ended_at is None else time_of(wall_of(job.ended_at)),
        superseded_by=job.superseded_by or None,
        priority=job.priority,
        metadata=decode_metadata(job.metadata),
        retries=job.retries,
        source=_source(job),
        outputs=tuple(
            _output(index, output, spec, entries, wall_of, is_waiting=job.status == "queued")
            for index, (output, spec) in enumerate(zip(outputs, specs, strict=True))
        ),
        warnings=tuple(
            warning
            for index, (output, spec) in enumerate(zip(outputs, specs, strict=True))
            for warning in _warnings(index, output, spec, deadline_at)
        ),
        webhook=_webhook(job),
    )


def event_body(type_: EventType, at: float, job: OperatorJobView, output: str | None, wall_of: WallOf) -> bytes:
    """An event of the job, as webhooks and streams carry it. ``output`` is a name."""
    return _encode(EventBody(type_, time_of(wall_of(at)), EventData(job.public(), output)))


def timeline_of(
    job: StoredJob, names: Mapping[int, str], events: Iterable[StoredEvent], wall_of: WallOf
) -> tuple[TimelineEntry, ...]:
    """The events in their order; ``names`` of the outputs by their ids.

    A placeholder, the intake and the whole job have lasted since the job came in, an attempt since its claim.
    """
    entries: list[TimelineEntry] = []
    started_at: float | None = None
    for event in events:
        since = started_at if event.type in _OF_ATTEMPTS else job.created_at
        if event.type == "job.started":
            since, started_at = None, event.at
        elif event.type == "job.retrying" and event.output is None:
            since = started_at = None  # by request, long after the last attempt
        entries.append(
            TimelineEntry(
                at=time_of(wall_of(event.at)),
                output=None if event.output is None else names.get(event.output),
                event=event.type,
                code=event.code or None,
                duration_ms=None if since is None else round((event.at - since) * 1000),
            )
        )
    return tuple(entries)


def shown_destination(destination: Destination) -> str:
    return redacted_url(destination.shown, is_page=destination.writing.is_page)


def _webhook(job: StoredJob) -> WebhookView | None:
    with suppress(*UNREADABLE):
        return None if job.webhook is None else webhook_view(decode_webhook(job.webhook))
    return None


def _spec(output: StoredOutput) -> ResolvedOutput | None:
    with suppress(*UNREADABLE):
        return decode_output(output.spec)
    return None


def _warnings(
    index: int, output: StoredOutput, spec: ResolvedOutput | None, deadline_at: float
) -> Iterator[WarningView]:
    if spec is not None:
        yield from expiry_warnings(index, spec.placement.destination, deadline_at)
    with suppress(*UNREADABLE):
        for warning in decode_warnings(output.warnings or b"[]"):
            yield WarningView(f"outputs[{index}]", warning.code, warning.detail)


def _source(job: StoredJob) -> SourceView:
    view = SourceView(UNREADABLE_SOURCE)
    with suppress(*UNREADABLE):
        source = decode_source(job.source)
        view = SourceView(shown_source(source))
        return source_view(source, decode_info(job.info), source_bytes_of(job.info))
    return view


def source_view(source: Source, info: ImageInfo, size_bytes: int | None) -> SourceView:
    width, height = _side(info.width_px), _side(info.height_px)
    return SourceView(shown_source(source), info.format, width, height, info.frames, size_bytes)


def _side(pixels: float) -> float:
    return int(pixels) if pixels == int(pixels) else pixels


def _output(
    index: int,
    output: StoredOutput,
    spec: ResolvedOutput | None,
    entries: Iterable[StoredEntry],
    wall_of: WallOf,
    *,
    is_waiting: bool,
) -> OperatorOutputView:
    outbox = tuple(OutboxView(entry.kind, entry.state) for entry in entries if entry.output == output.id)
    pending = (entry.kind for entry in outbox if entry.state == "pending")
    owed = next((kind for kind in pending if kind == "error_image" or kind == "deletion"), None)
    view = OperatorOutputView(
        name=str(index),
        status=output.status,
        destination=redacted_key(output.key),
        placeholder=PLACEHOLDERS.get(output.placeholder),
        size_bytes=output.size_bytes,
        sha256=None if output.sha256 is None else output.sha256.hex(),
        attempts=output.attempts + output.crashes + (output.status == "delivered"),
        next_attempt_at=time_of(wall_of(output.due_at)) if is_waiting and output.status in OPEN else None,
        delivered_at=None if output.delivered_at is None else time_of(wall_of(output.delivered_at)),
        error=_error(output),
        owed=owed,
        crashes=output.crashes,
        outbox=outbox,
    )
    if spec is None:
        return view
    size = spec.rendering.size
    return msgspec.structs.replace(
        view,
        name=spec.name or str(index),
        destination=shown_destination(spec.placement.destination),
        url=public_url(spec.placement.destination),
        width=size.width_px if size else None,
        height=size.height_px if size else None,
        format=spec.rendering.format,
    )


def _error(output: StoredOutput) -> ErrorView | None:
    if not output.error:
        return None
    return ErrorView(output.error, output.detail, output.hint, bool(output.is_retryable))
