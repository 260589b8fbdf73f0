"""What people do with stored jobs: list, show, wait, cancel, retry. Called by ``api/v1/jobs``.

With a principal its own jobs alone are seen and changed; the operator, who has none, sees all.
"""

import time
from collections.abc import Callable

from imgserve.engine.runner import Runner
from imgserve.jobs.event_views import WebhookLog
from imgserve.jobs.protocol import Queue
from imgserve.jobs.views import JobPage, JobQuery, OperatorJobView
from imgserve.telemetry import logs
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.store import Store


class JobAdmin:
    """``prefetched``: downloads that intake's probes started; ``deadline_s``: the new deadline of a retried job."""

    def __init__(
        self,
        queue: Queue,
        runner: Runner,
        prefetched: Store[Fetch],
        deadline_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue = queue
        self._runner = runner
        self._prefetched = prefetched
        self._deadline_s = deadline_s
        self._clock = clock

    async def page(self, query: JobQuery) -> JobPage:
        return await self._queue.page(query)

    async def job(self, job_id: str, principal: str | None = None) -> OperatorJobView:
        """Raises NoSuchJob."""
        return await self._queue.job(job_id, principal)

    async def until_ended(self, job_id: str, timeout_s: float) -> None:
        """Return when the job has ended, at the latest after ``timeout_s``."""
        await self._queue.until_ended(job_id, timeout_s)

    async def cancel(self, job_id: str, principal: str | None = None) -> OperatorJobView:
        """The job as it is now; if it has ended by this, its worker is killed. Raises NoSuchJob, NotCancellable."""
        number = await self._queue.cancel(job_id, self._clock(), principal)
        job = await self._queue.job(job_id, principal)
        if job.ended_at is not None:
            self._runner.cancel(number)
            self._prefetched.drop(number)
        logs.event("cancelled", job=job_id, number=number)
        return job

    async def retry(
        self, job_id: str, names: tuple[str, ...] | None = None, principal: str | None = None
    ) -> OperatorJobView:
        """The job as it is now. ``names`` None: all failed outputs. Raises NoSuchJob, NotRetryable, QueueFull."""
        number = await self._queue.retry(job_id, names, self._deadline_s, self._clock(), principal)
        logs.event("retried", job=job_id, number=number)
        return await self._queue.job(job_id, principal)

    async def webhook_log(self, job_id: str, principal: str | None = None) -> WebhookLog:
        """Raises NoSuchJob."""
        return WebhookLog(await self._queue.webhook_log(job_id, principal))

    async def replay_webhooks(self, job_id: str, principal: str | None = None) -> WebhookLog:
        """The webhooks of the job as they are now. Raises NoSuchJob."""
        count = await self._queue.replay_webhooks(job_id, self._clock(), principal)
        logs.event("webhooks_replayed", job=job_id, webhooks=count)
        return await self.webhook_log(job_id, principal)
