"""The operator's actions on jobs: list, show, cancel, retry. Called by ``api/v1/jobs``."""

import time
from collections.abc import Callable

from imgserve.engine.runner import Runner
from imgserve.jobs.protocol import OperatorQueue
from imgserve.jobs.views import JobPage, JobQuery, OperatorJobView
from imgserve.telemetry import logs
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.store import Store


class JobAdmin:
    """``prefetched``: downloads that intake's probes started; ``deadline_s``: the new deadline of a retried job."""

    def __init__(
        self,
        queue: OperatorQueue,
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

    async def page(self, query: JobQuery, older_than_s: float | None) -> JobPage:
        before = None if older_than_s is None else self._clock() - older_than_s
        return await self._queue.page(JobQuery(query.statuses, query.destination, before, query.after, query.limit))

    async def job(self, job_id: str) -> OperatorJobView:
        """Raises NoSuchJob."""
        return await self._queue.job(job_id)

    async def cancel(self, job_id: str) -> OperatorJobView:
        """The job as it is now; its worker, if it has one, is killed. Raises NoSuchJob, NotCancellable."""
        number = await self._queue.cancel(job_id, self._clock())
        self._runner.cancel(number)
        self._prefetched.drop(number)
        logs.event("cancelled", job=job_id, number=number)
        return await self._queue.job(job_id)

    async def retry(self, job_id: str) -> OperatorJobView:
        """The job as it is now. Raises NoSuchJob, NotRetryable, QueueFull."""
        number = await self._queue.retry(job_id, self._deadline_s, self._clock())
        logs.event("retried", job=job_id, number=number)
        return await self._queue.job(job_id)
