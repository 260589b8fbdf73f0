"""/v1/jobs and /v1/refusals: list, show, post, cancel and retry. Errors become problem details (``problems.py``).

Answers show no credential: a job's source and destinations have no user names, passwords and queries.
"""

from typing import Annotated, Any, cast

from litestar import Request, Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.handlers import HTTPRouteHandler
from litestar.params import Parameter

from imgserve.api.http import body
from imgserve.api.http.asgi import Receive, Scope
from imgserve.api.parsing import parsed
from imgserve.api.presets import Presets
from imgserve.api.refusals import Refusals
from imgserve.engine.intake import Intake
from imgserve.engine.operator import JobAdmin
from imgserve.errors import ImgserveError
from imgserve.jobs.model import JobStatus
from imgserve.jobs.views import MAX_LISTED, MAX_REFUSALS, JobPage, JobQuery, OperatorJobView, RefusalPage
from imgserve.request.classic.parse import parse
from imgserve.request.classic.spelling import in_classic_words, number_of, sentence_of
from imgserve.request.job import JobRequest
from imgserve.request.json_text import ParseError
from imgserve.request.principal import Principal


class BodyNoJob(ImgserveError):
    code = "body_no_job"
    status = 400
    title = "The body is no job"


def job_handlers(intake: Intake, job_admin: JobAdmin, refusals: Refusals, presets: Presets) -> list[HTTPRouteHandler]:
    @get("/v1/refusals", sync_to_thread=False)
    def refused(limit: Annotated[int, Parameter(ge=1, le=MAX_REFUSALS)] = 50) -> RefusalPage:
        """Jobs that were refused since the server's start, the newest first."""
        return RefusalPage(refusals.newest(limit))

    return [*_stored(job_admin), _submit(intake, job_admin, refusals, presets), refused]


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


def _submit(intake: Intake, job_admin: JobAdmin, refusals: Refusals, presets: Presets) -> HTTPRouteHandler:
    @post("/v1/jobs")
    async def submit(request: Request[Any, Any, Any]) -> Response[OperatorJobView]:
        """The body is a job of the classic protocol; 202 once its placeholder is out."""
        scope = cast(Scope, request.scope)
        principal: Principal = scope["principal"]
        text = await body.read(cast(Receive, request.receive), scope["route"].body)
        checked: JobRequest | None = None
        try:
            checked = await parsed(text, parse, presets.recipes, presets_only=presets.is_only)
            answer = await intake.accept(checked, principal)
        except ParseError as error:
            raise BodyNoJob(str(error), "send one JSON object, as POST / takes it") from None
        except ImgserveError as error:
            sentence = sentence_of(error, checked, is_discreet=True)
            refusals.note({"principal": principal}, error.code, sentence, number_of(error), checked)
            raise in_classic_words(error, checked) from None
        return Response(
            await job_admin.job(answer.id),
            status_code=202,
            headers={"location": f"/v1/jobs/{answer.id}"},
            background=BackgroundTask(intake.answered, answer.number),
        )

    return submit
