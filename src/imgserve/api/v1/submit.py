"""``POST /v1/jobs``: takes a job in. The answer comes once its placeholders are out, or when a client's wait is over.

A refusal is a problem with all faults of one step. The operator finds it among the refusals, without what was sent.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping

import msgspec

from imgserve import failpoint
from imgserve.api import problems
from imgserve.api.http import asgi, idempotency, prefer
from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.api.openapi import Call, Parameter, reference
from imgserve.api.parsing import parsed
from imgserve.api.presets import Presets
from imgserve.api.query import query_of, switch_of
from imgserve.api.rate import Rates
from imgserve.api.refusals import Refusals
from imgserve.api.v1.form import form_schema
from imgserve.api.v1.jobs import APPLIED, PREFER, Jobs, shown_to
from imgserve.api.v1.json_body import object_in
from imgserve.api.v1.posted_job import FormLimits, PostedJob
from imgserve.engine.intake import Intake
from imgserve.engine.operator import JobAdmin
from imgserve.engine.uploads import Uploads
from imgserve.errors import ImgserveError
from imgserve.jobs.digest import digest_of
from imgserve.jobs.model import Answer, Binding, Bound
from imgserve.jobs.preview import accepted_view, preview_of
from imgserve.jobs.views import JobView, OperatorJobView, Preview
from imgserve.request.classic.parse import is_job
from imgserve.request.faults import Faults, RequestInvalid
from imgserve.request.job import JobRequest
from imgserve.request.job_body import JobBody
from imgserve.request.native_job import parse_job
from imgserve.request.principal import Principal
from imgserve.request.recipe import Recipe
from imgserve.telemetry import metrics, tracing

_REPLAYED = (b"idempotent-replayed", b"true")
CALL = Call(
    "POST",
    "/v1/jobs",
    "submit_job",
    "Take a job in: 202 once its placeholders are out, 200 if it has ended while the answer was held back, or for a dry"
    " run. With an Idempotency-Key a repeated request gets the job of the first one.",
    {"application/json": (JobView, Preview)},
    (400, 401, 403, 408, 410, 413, 415, 422, 429, 503),
    (
        Parameter("dry_run", "`true`: check all, store and send nothing; the job's `id` is null", {"type": "boolean"}),
        Parameter(idempotency.NAME, "1 to 255 visible ASCII characters", {"type": "string"}, place="header"),
        PREFER,
    ),
    {"application/json": JobBody, "multipart/form-data": form_schema(reference(JobBody))},
    (JobBody,),
    {**APPLIED, "Location": "the job's own page", "Idempotent-Replayed": "`true`: the job of an earlier request"},
    (200, 202),
)


class ClassicJob(ImgserveError):
    code = "classic_job"
    status = 422
    title = "This is a job of the classic protocol"


class Submit:
    def __init__(
        self,
        intake: Intake,
        uploads: Uploads,
        admin: JobAdmin,
        jobs: Jobs,
        presets: Presets,
        rates: Rates,
        refusals: Refusals,
        limits: FormLimits,
    ) -> None:
        self._intake = intake
        self._uploads = uploads
        self._admin = admin
        self._jobs = jobs
        self._presets = presets
        self._rates = rates
        self._refusals = refusals
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request: JobRequest | None = None
        try:
            if self._intake.is_draining:
                raise self._intake.draining()
            key, is_dry_run = _options_of(scope)
            principal: Principal = scope["principal"]
            posted = PostedJob(scope, receive, self._limits)
            request = await self._request_in(posted, principal)
            async with self._complete(posted, request, principal, key) as request:
                binding = None if key is None else Binding(key, digest_of(principal.id, request))
                if is_dry_run:
                    preview = preview_of(await self._intake.preview(request, principal, binding), time.time())
                else:
                    entry = await self._taken_in(request, binding, scope)
            if is_dry_run:
                await asgi.answer_json(send, preview)
            else:
                await self._answer(entry, scope, receive, send)
        except ImgserveError as error:
            self._note(error, scope, request)
            await problems.answer(error, scope, send, status=_status_of(error))

    async def _request_in(self, posted: PostedJob, principal: Principal) -> JobRequest:
        """Raises as ``PostedJob.text`` and ``_job_in`` do, and RateLimited."""
        text = await posted.text()
        self._rates.take(principal)
        is_only, has_parts = self._presets.is_only, posted.has_parts
        return await parsed(text, _job_in, self._presets.recipes, presets_only=is_only, has_parts=has_parts)

    @contextlib.asynccontextmanager
    async def _complete(
        self, posted: PostedJob, request: JobRequest, principal: Principal, key: str | None
    ) -> AsyncIterator[JobRequest]:
        """The request with its picture, if it brings one: that is received after all that can be judged without it.

        Raises as ``Intake.check`` and ``Uploads.received`` do.
        """
        if not request.source.is_upload or request.inline is not None:
            await posted.end()
        if not request.source.is_upload:
            yield request
            return
        await self._intake.check(request, principal, key)
        next_chunk, most_bytes = posted.picture(request)
        async with self._uploads.received(request.source, principal, next_chunk, most_bytes) as source:
            yield msgspec.structs.replace(request, source=source, inline=None)

    async def _answer(self, entry: Answer | Bound, scope: Scope, receive: Receive, send: Send) -> None:
        number, job_id = (None, entry.job_id) if isinstance(entry, Bound) else (entry.number, entry.id)
        if number is not None and prefer.wait_s(scope["headers"]) is not None:
            await self._intake.answered(number)
        job, applied = await self._jobs.awaited(await self._shown(entry, job_id), scope, receive)
        is_over = job.ended_at is not None and bool(applied or number is None)
        repeat = (_REPLAYED,) if number is None else ()
        headers = ((b"location", f"/v1/jobs/{job_id}".encode()), *applied, *repeat)
        await asgi.answer_json(send, shown_to(scope["principal"], job), 200 if is_over else 202, headers)
        failpoint.reach("intake_answered")
        if number is not None:
            await self._intake.answered(number)

    async def _shown(self, entry: Answer | Bound, job_id: str) -> OperatorJobView:
        if isinstance(entry, Bound) or entry.untouched is None:
            return await self._admin.job(job_id)
        return accepted_view(entry.untouched, entry.number)

    async def _taken_in(self, request: JobRequest, binding: Binding | None, scope: Scope) -> Answer | Bound:
        """The new job, or that of the key's first request."""
        principal: Principal = scope["principal"]
        traceparent = tracing.traceparent_in(scope["headers"])
        if binding is None:
            return await self._intake.accept(request, principal, traceparent)
        return await self._intake.accept_once(request, principal, binding, traceparent)

    def _note(self, error: ImgserveError, scope: Scope, request: JobRequest | None) -> None:
        discreet = error.sentence(is_discreet=True) if isinstance(error, RequestInvalid) else error.sentence()
        self._refusals.note(scope, error.code, discreet, request=request)
        metrics.POSTS.labels("refused", error.code).inc()
        if error.status in (429, 503):
            metrics.REFUSALS.labels(error.code).inc()


def _job_in(text: bytes, presets: Mapping[str, Recipe], *, presets_only: bool, has_parts: bool) -> JobRequest:
    """Raises BodyInvalid, ClassicJob, RequestInvalid, PresetsOnly."""
    value = object_in(text)
    if is_job(value):
        raise ClassicJob("a job of the classic protocol is posted to /", "imgserve submit of this version does so")
    return parse_job(value, presets, presets_only=presets_only, now=time.time(), has_parts=has_parts)


def _options_of(scope: Scope) -> tuple[str | None, bool]:
    """The Idempotency-Key, and whether nothing is to be done. Raises RequestInvalid."""
    faults = Faults()
    query = faults.attempt((), query_of, scope, {"dry_run": ""}) or {}
    is_dry_run = faults.attempt(("query", "dry_run"), switch_of, query.get("dry_run", "false"))
    key = faults.attempt((), idempotency.key_of, scope["headers"])
    faults.raise_any()
    return key, bool(is_dry_run)


def _status_of(error: ImgserveError) -> int:
    """Nobody waits for a picture here, so this is no gateway: what others did wrong is a fault of the job."""
    return 422 if error.status == 502 else error.status
