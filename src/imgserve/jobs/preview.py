"""Jobs as people see them that are not read from the queue: those of dry runs, and those that were just taken in."""

from collections.abc import Iterator

from imgserve.jobs.model import NewJob, PlaceholderState, Untouched
from imgserve.jobs.shown import PLACEHOLDERS, shown_destination, source_view
from imgserve.jobs.views import (
    OperatorJobView,
    OperatorOutputView,
    OutputView,
    Preview,
    WarningView,
    expiry_warnings,
    public_url,
    time_of,
    webhook_view,
)
from imgserve.request.job import ResolvedOutput


def preview_of(job: NewJob, now: float) -> Preview:
    """``now`` is the wall clock's, and so is the ``not_before`` of the job."""
    deadline_at = (now if job.not_before is None else job.not_before) + job.deadline_s
    return Preview(
        protocol=job.protocol,
        status="accepting",
        created_at=time_of(now),
        not_before=None if job.not_before is None else time_of(job.not_before),
        deadline_at=time_of(deadline_at),
        ended_at=None,
        superseded_by=None,
        priority=job.priority,
        metadata=job.metadata,
        retries=0,
        source=source_view(job.source, job.info, job.source_bytes),
        outputs=tuple(_output(index, output) for index, output in enumerate(job.outputs)),
        warnings=tuple(_warnings(job, deadline_at)),
        webhook=webhook_view(job.webhook),
    )


def accepted_view(untouched: Untouched, number: int) -> OperatorJobView:
    """As the queue would show this job now, without its timeline: the answer to most requests needs no read."""
    job = untouched.job
    outputs = enumerate(zip(job.outputs, untouched.placeholders, strict=True))
    return OperatorJobView(
        id=job.id,
        number=number,
        principal=job.principal,
        protocol=job.protocol,
        status="queued",
        created_at=time_of(untouched.created_at),
        not_before=None if untouched.not_before is None else time_of(untouched.not_before),
        deadline_at=time_of(untouched.deadline_at),
        ended_at=None,
        superseded_by=None,
        priority=job.priority,
        metadata=job.metadata,
        retries=0,
        source=source_view(job.source, job.info, job.source_bytes),
        outputs=tuple(_waiting(index, output, state, untouched.due_at) for index, (output, state) in outputs),
        warnings=tuple(_warnings(job, untouched.deadline_at)),
        webhook=webhook_view(job.webhook),
    )


def _output(index: int, output: ResolvedOutput) -> OutputView:
    size, destination = output.rendering.size, output.placement.destination
    return OutputView(
        name=output.name or str(index),
        status="queued",
        destination=shown_destination(destination),
        url=public_url(destination),
        width=size.width_px if size else None,
        height=size.height_px if size else None,
        format=output.rendering.format,
        placeholder=None,
        attempts=0,
        next_attempt_at=None,
        delivered_at=None,
        error=None,
        owed=None,
    )


def _waiting(index: int, output: ResolvedOutput, placeholder: PlaceholderState, due_at: float) -> OperatorOutputView:
    size, destination = output.rendering.size, output.placement.destination
    return OperatorOutputView(
        name=output.name or str(index),
        status="placeholder" if placeholder in ("written", "unknown") else "queued",
        destination=shown_destination(destination),
        url=public_url(destination),
        width=size.width_px if size else None,
        height=size.height_px if size else None,
        format=output.rendering.format,
        placeholder=PLACEHOLDERS.get(placeholder),
        attempts=0,
        next_attempt_at=time_of(due_at),
        delivered_at=None,
        error=None,
        owed=None,
        crashes=0,
        outbox=(),
    )


def _warnings(job: NewJob, deadline_at: float) -> Iterator[WarningView]:
    for index, output in enumerate(job.outputs):
        yield from expiry_warnings(index, output.placement.destination, deadline_at)
