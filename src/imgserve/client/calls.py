"""The calls of the native API as plain values: arguments in, a request and a reader of its reply out. No I/O."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote

import msgspec

from imgserve.client.answers import Facts, Job, JobPage, JobStatus, Picture, Preview, WebhookLog
from imgserve.client.content import JSON, Object, Source, content_of
from imgserve.client.errors import AnswerInvalid
from imgserve.request.encode import Encode
from imgserve.request.job import Priority
from imgserve.request.job_body import OutputBody
from imgserve.request.native_webhook import WebhookBody
from imgserve.request.recipe import LoadOptions, Operation

T = TypeVar("T")
Pairs = tuple[tuple[str, str], ...]
Outputs = Sequence[OutputBody | Object]
Names = str | Iterable[str]
"""One, or several."""

LOCAL = "http://127.0.0.1:8602"
PAGE = 100
LONGEST_WAIT_S = 60
"""The server holds an answer back for no longer."""
_KEY = re.compile(r"[!-~]{1,255}")


class Request(msgspec.Struct, frozen=True):
    """``wait_s``: the server may hold its answer back for so long."""

    method: str
    path: str
    query: Pairs = ()
    headers: Pairs = ()
    body: bytes = b""
    wait_s: int = 0


class Reply(msgspec.Struct, frozen=True):
    """Names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Call(msgspec.Struct, Generic[T], frozen=True):
    """``read`` makes the result of a reply below 400. ``is_repeatable``: to send the request twice is to send it once,
    so it may be sent again after a lost answer.
    """

    request: Request
    read: Callable[[Reply], T]
    is_repeatable: bool = True


class Held(msgspec.Struct, frozen=True):
    """A job, and whether the server held its answer back as it was asked to."""

    job: Job
    is_held: bool


class JobOptions(TypedDict, total=False):
    """The further fields of a job."""

    webhook: str | WebhookBody | Object
    priority: Priority
    not_before: datetime | str
    deadline_s: float
    metadata: Mapping[str, str]


class JobFilters(TypedDict, total=False):
    """``destination`` is the beginning of one; times have a time zone."""

    status: JobStatus | Iterable[JobStatus]
    destination: str
    created_after: datetime
    created_before: datetime
    idempotency_key: str


class RecipeOptions(TypedDict, total=False):
    """A recipe: the name of a preset, or operations; how the source is read and the result written."""

    preset: str
    operations: Sequence[Operation | Object]
    load: LoadOptions | Object
    encode: Encode | Object


def submit(source: Source, outputs: Outputs, key: str, options: JobOptions) -> Call[Job]:
    """``key``: the Idempotency-Key, which makes it repeatable. Raises ValueError for one that no header can hold."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"expected an idempotency key of 1 to 255 visible ASCII characters, got {key!r}")
    media_type, body = content_of(source, {"outputs": outputs, **options})
    headers = (("idempotency-key", key), media_type)
    return Call(Request("POST", "/v1/jobs", (), headers, body), _reader(Job))


def preview(source: Source, outputs: Outputs, options: JobOptions) -> Call[Preview]:
    media_type, body = content_of(source, {"outputs": outputs, **options})
    return Call(Request("POST", "/v1/jobs", (("dry_run", "true"),), (media_type,), body), _reader(Preview))


def render(source: Source, recipe: RecipeOptions) -> Call[Picture]:
    def read(reply: Reply) -> Picture:
        return Picture(reply.body, reply.headers.get("content-type", ""))

    media_type, body = content_of(source, dict(recipe))
    return Call(Request("POST", "/v1/render", (), (media_type,), body), read)


def info(source: Source, include: Names) -> Call[Facts]:
    media_type, body = content_of(source, {})
    query = (("include", ",".join(names)),) if (names := names_in(include)) else ()
    return Call(Request("POST", "/v1/info", query, (media_type,), body), _reader(Facts))


def job(job_id: str, wait_s: int = 0) -> Call[Held]:
    """``wait_s``: how long the answer may be held back until the job has ended."""

    def read(reply: Reply) -> Held:
        return Held(_read(reply, Job), "preference-applied" in reply.headers)

    headers = (("prefer", f"wait={wait_s}"),) if wait_s else ()
    return Call(Request("GET", path_of(job_id), (), headers, b"", wait_s), read)


def cancel(job_id: str) -> Call[Job]:
    return Call(Request("POST", path_of(job_id, "cancel")), _reader(Job))


def retry(job_id: str, outputs: Names | None) -> Call[Job]:
    """It starts a new count of attempts each time, so it is not repeated after a lost answer."""
    body = b"" if outputs is None else msgspec.json.encode({"outputs": names_in(outputs)})
    return Call(Request("POST", path_of(job_id, "retry"), (), (JSON,) if body else (), body), _reader(Job), False)


def webhooks(job_id: str) -> Call[WebhookLog]:
    return Call(Request("GET", path_of(job_id, "webhooks")), _reader(WebhookLog))


def replay_webhooks(job_id: str) -> Call[WebhookLog]:
    """Each request sends them once more, so it is not repeated after a lost answer."""
    return Call(Request("POST", path_of(job_id, "webhooks", "replay")), _reader(WebhookLog), False)


def page(filters: JobFilters, cursor: str | None) -> Call[JobPage]:
    query = {name: _text_of(value) for name, value in filters.items()}
    query |= {"limit": str(PAGE)} | ({} if cursor is None else {"cursor": cursor})
    return Call(Request("GET", "/v1/jobs", tuple(query.items())), _reader(JobPage))


def _text_of(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else ",".join(names_in(value))


def path_of(job_id: str, *beneath: str) -> str:
    """The path of a job, or of a page beneath it."""
    return "/".join(("/v1/jobs", quote(job_id, safe=""), *beneath))


def names_in(value: Names) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _reader(answer: type[T]) -> Callable[[Reply], T]:
    return lambda reply: _read(reply, answer)


def _read(reply: Reply, answer: type[T]) -> T:
    """Raises AnswerInvalid."""
    try:
        return msgspec.json.decode(reply.body, type=answer)
    except msgspec.DecodeError as error:
        detail = f"the answer is {reply.status} with something that this client cannot read: {error}"
        raise AnswerInvalid(detail, "is it an imgserve that answers at this URL?") from error
