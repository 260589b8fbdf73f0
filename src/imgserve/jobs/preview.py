"""The job that a request would become, as people see it. For dry runs."""

from imgserve.jobs.model import NewJob
from imgserve.jobs.shown import shown_destination, source_view
from imgserve.jobs.views import OutputView, Preview, expiry_warnings, public_url, time_of, webhook_view
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
        warnings=tuple(
            warning
            for index, output in enumerate(job.outputs)
            for warning in expiry_warnings(index, output.placement.destination, deadline_at)
        ),
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
