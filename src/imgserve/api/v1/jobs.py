"""/v1/jobs and /v1/refusals: list, show, cancel and retry. Errors become problem details (``problems.py``).

Answers show no credential: a job's source and destinations have no user names, passwords and queries.
"""

from typing import Annotated

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import Parameter

from imgserve.api.refusals import Refusals
from imgserve.engine.operator import JobAdmin
from imgserve.jobs.model import JobStatus
from imgserve.jobs.views import MAX_LISTED, MAX_REFUSALS, JobPage, JobQuery, OperatorJobView, RefusalPage


def job_handlers(job_admin: JobAdmin, refusals: Refusals) -> list[HTTPRouteHandler]:
    @get("/v1/refusals", sync_to_thread=False)
    def refused(limit: Annotated[int, Parameter(ge=1, le=MAX_REFUSALS)] = 50) -> RefusalPage:
        """Jobs that were refused since the server's start, the newest first."""
        return RefusalPage(refusals.newest(limit))

    return [*_stored(job_admin), refused]


def _stored(job_admin: JobAdmin) -> list[HTTPRouteHandler]:
    """For the jobs in the queue."""

    @get("/v1/jobs")
    async def page(
        status: list[JobStatus] | None = None,
        destination: str = "",
        older_than: Annotated[float | None, Parameter(ge=0)] = None,
        limit: Annotated[int, Parameter(ge=1, le=MAX_LISTED)] = 50,
        after: int | None = None,
    ) -> JobPage:
        """Newest first. ``destination`` is a piece of one, ``older_than`` seconds, ``after`` an answer's ``next``."""
        return await job_admin.page(JobQuery(tuple(status or ()), destination, None, after, limit), older_than)

    @get("/v1/jobs/{job_id:str}")
    async def show(job_id: str) -> OperatorJobView:
        return await job_admin.job(job_id)

    @post("/v1/jobs/{job_id:str}/cancel", status_code=200)
    async def cancel(job_id: str) -> OperatorJobView:
        return await job_admin.cancel(job_id)

    @post("/v1/jobs/{job_id:str}/retry", status_code=200)
    async def retry(job_id: str) -> OperatorJobView:
        return await job_admin.retry(job_id)

    return [page, show, cancel, retry]
