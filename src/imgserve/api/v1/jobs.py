"""Reading and steering jobs: ``/v1/jobs``, ``/v1/jobs/{id}``, its ``cancel`` and ``retry``. ``submit`` takes jobs in.

On the TCP listener a principal sees and steers its own jobs; for it there are no others. On the control socket the
operator has those of all, and sees their numbers and principals.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, TypeVar, get_args

import msgspec

from imgserve.api.auth import is_operator
from imgserve.api.http import asgi, body, prefer
from imgserve.api.http.asgi import Headers, Receive, Scope, Send
from imgserve.api.openapi import Call, Parameter, Schema
from imgserve.api.query import number_of, query_of, words_of
from imgserve.api.v1 import cursor
from imgserve.api.v1.cursor import Cursor
from imgserve.api.v1.json_body import object_in, read_json
from imgserve.api.v1.waits import Waits
from imgserve.engine.operator import JobAdmin
from imgserve.jobs.faults import NoSuchJob
from imgserve.jobs.model import JobStatus
from imgserve.jobs.views import MAX_LISTED, SHOWN_S, JobList, JobPage, JobQuery, JobView, OperatorJobView
from imgserve.request.faults import Fault, Faults, RequestInvalid
from imgserve.request.fields import read_struct
from imgserve.request.principal import Principal

T = TypeVar("T")

USUAL_LIMIT = 50
_STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)
_FILTERS = ("status", "destination", "created_after", "created_before", "idempotency_key", "limit", "cursor")
_OPERATORS_FILTERS = ("principal", "destination_contains")


class RetryBody(msgspec.Struct, frozen=True):
    """``outputs`` are names of failed ones; without it all of them are meant."""

    outputs: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] | None = None


_TEXT: Schema = {"type": "string"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_LISTED, "default": USUAL_LIMIT}
_WAIT = "`wait=N`: hold the answer back until the job has ended, at most N seconds (1-60)"
JOB_ID = Parameter("job_id", "the `id` of a job", _TEXT, is_required=True, place="path")
PREFER = Parameter("Prefer", _WAIT, _TEXT, place="header")
APPLIED = {"Preference-Applied": "`wait=N`, if the answer was held back as long as needed"}
CALLS = (
    Call(
        "GET",
        "/v1/jobs",
        "jobs",
        "Your jobs, the newest first; those of the classic protocol too.",
        {"application/json": JobList},
        (401, 422, 503),
        (
            Parameter("status", f"only these, separated by commas: {', '.join(_STATUSES)}", _TEXT),
            Parameter("destination", "only jobs with a destination that begins so", _TEXT),
            Parameter("created_after", "only jobs from this time on", _TIME),
            Parameter("created_before", "only jobs from before this time", _TIME),
            Parameter("idempotency_key", "only the job of this key", _TEXT),
            Parameter("limit", "jobs of a page", _LIMIT),
            Parameter("cursor", "the `next` of the page before", _TEXT),
        ),
    ),
    Call(
        "GET",
        "/v1/jobs/{job_id}",
        "job",
        "One job, with its timeline.",
        {"application/json": JobView},
        (401, 404, 422, 503),
        (JOB_ID, PREFER),
        headers=APPLIED,
    ),
    Call(
        "POST",
        "/v1/jobs/{job_id}/cancel",
        "cancel_job",
        "Cancel each output of which no final is on its way. 409 if there is none.",
        {"application/json": JobView},
        (401, 404, 409, 422, 503),
        (JOB_ID,),
    ),
    Call(
        "POST",
        "/v1/jobs/{job_id}/retry",
        "retry_job",
        "Queue failed outputs again, with a new deadline: all, or those that the body names.",
        {"application/json": JobView},
        (400, 401, 404, 408, 409, 413, 415, 422, 429, 503),
        (JOB_ID,),
        {"application/json": RetryBody},
        (RetryBody,),
        is_body_optional=True,
    ),
)


class Jobs:
    def __init__(self, admin: JobAdmin, waits: Waits) -> None:
        self._admin = admin
        self._waits = waits

    async def page(self, scope: Scope, _receive: Receive, send: Send) -> None:
        principal: Principal = scope["principal"]
        filters = (*_FILTERS, *(_OPERATORS_FILTERS if is_operator(principal) else ()))
        query, place = _job_query(query_of(scope, dict.fromkeys(filters, "")), own(principal))
        page = await self._admin.page(query if place is None else await self._behind(query, place))
        while not page.jobs and page.next is not None:  # a search goes on in steps, so that it delays no other
            page = await self._admin.page(msgspec.structs.replace(query, after=page.next))
        # 200 jobs of 50 outputs each take 16 ms to write, and nothing holds the event loop for more than one.
        text = await asyncio.to_thread(_written, page, principal)
        await asgi.answer(send, 200, asgi.JSON, text)

    async def show(self, scope: Scope, receive: Receive, send: Send) -> None:
        query_of(scope, {})
        job = await self._admin.job(id_in(scope), own(scope["principal"]))
        job, applied = await self.awaited(job, scope, receive)
        await asgi.answer_json(send, shown_to(scope["principal"], job, has_timeline=True), headers=applied)

    async def cancel(self, scope: Scope, _receive: Receive, send: Send) -> None:
        query_of(scope, {})
        job = await self._admin.cancel(id_in(scope), own(scope["principal"]))
        await asgi.answer_json(send, shown_to(scope["principal"], job))

    async def retry(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = await read_json(scope, receive)
        query_of(scope, {})
        wanted = read_struct(object_in(text), RetryBody) if text.strip() else RetryBody()
        job = await self._admin.retry(id_in(scope), wanted.outputs, own(scope["principal"]))
        await asgi.answer_json(send, shown_to(scope["principal"], job))

    async def awaited(self, job: OperatorJobView, scope: Scope, receive: Receive) -> tuple[OperatorJobView, Headers]:
        """The job once it has ended or the client's ``wait`` is over, and the header that says so."""
        seconds = prefer.wait_s(scope["headers"])
        if seconds is None:
            return job, ()
        if job.ended_at is None:
            ended, gone = self._admin.until_ended(job.id, seconds), body.until_gone(receive)
            is_held = await self._waits.hold(scope["principal"], ended, gone)
            job = await self._admin.job(job.id)
            if not is_held and job.ended_at is None:
                return job, ()
        return job, (prefer.applied(seconds),)

    async def _behind(self, query: JobQuery, place: Cursor) -> JobQuery:
        """The query for the jobs behind the last one that was listed, or for those before it was made.

        Another principal's job in a cursor is as one that never was.
        """
        try:
            return msgspec.structs.replace(query, after=(await self._admin.job(place.job_id, query.principal)).number)
        except NoSuchJob:
            before = place.created_at + SHOWN_S  # others may show the same time
            return msgspec.structs.replace(query, created_before=min(before, query.created_before or before))


def own(principal: Principal) -> str | None:
    """The principal whose jobs this one may see; None: those of all."""
    return None if is_operator(principal) else principal.id


def shown_to(principal: Principal, job: OperatorJobView, *, has_timeline: bool = False) -> JobView:
    shown = job if has_timeline else msgspec.structs.replace(job, timeline=msgspec.UNSET)
    return shown if is_operator(principal) else shown.public()


def _written(page: JobPage, principal: Principal) -> bytes:
    last = page.jobs[-1] if page.next is not None else None
    following = None if last is None else cursor.dump(Cursor(last.id, last.created_at.timestamp()))
    return msgspec.json.encode(JobList(tuple(shown_to(principal, job) for job in page.jobs), following))


def id_in(scope: Scope) -> str:
    """Of ``/v1/jobs/{job_id}``, and of a path beneath it."""
    job_id: str = scope["path"].strip("/").split("/")[2]
    return job_id


def _job_query(query: dict[str, str], principal: str | None) -> tuple[JobQuery, Cursor | None]:
    """Raises RequestInvalid."""
    faults = Faults()

    def read(name: str, parse: Callable[[str], T]) -> T | None:
        return faults.attempt(("query", name), parse, query[name]) if name in query else None

    found = JobQuery(
        statuses=read("status", lambda text: words_of(text, _STATUSES)) or (),
        destination_prefix=query.get("destination", ""),
        destination=query.get("destination_contains", ""),
        created_after=read("created_after", _moment),
        created_before=read("created_before", _moment),
        idempotency_key=query.get("idempotency_key", ""),
        limit=read("limit", lambda text: number_of(text, 1, MAX_LISTED)) or USUAL_LIMIT,
        principal=query.get("principal", principal),
    )
    place = read("cursor", cursor.parse)
    faults.raise_any()
    return found, place


def _moment(text: str) -> float:
    """Seconds since the epoch. Raises RequestInvalid."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RequestInvalid(Fault("field_invalid", (), "", "a time such as 2026-11-29T12:00:00Z", text))
    return moment.timestamp()
