"""Jobs as people see them: the answers of listing, without credentials.

The engines build them, and every API sends them as they are. Times are UTC; None (JSON's null) stands for a value that
is not known, or not yet.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from typing import Annotated, Literal, TypeVar

import msgspec

from imgserve.jobs.config import Role
from imgserve.jobs.model import EventType, JobStatus, OutboxKind, OutboxState, OutputStatus
from imgserve.request import url
from imgserve.request.destination import Destination
from imgserve.request.encode import Format
from imgserve.request.imageinfo import SourceFormat
from imgserve.request.instant import instant_text
from imgserve.request.job import Priority, Protocol
from imgserve.request.presigned import expiry_of
from imgserve.request.source import Source
from imgserve.request.webhook import Webhook, WebhookEvent

MAX_LISTED = 200
MAX_REFUSALS = 1000
MAX_TIMELINE = 200
Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LISTED)]
PlaceholderView = Literal["written", "unknown", "kept", "none"]
Owed = Literal["error_image", "deletion"]
# Times are shown to the millisecond: two servers of one queue may differ by a few microseconds.
SHOWN_S = 0.001
_LAST_S = 253_402_300_799.0  # of the year 9999


class JobQuery(msgspec.Struct, frozen=True):
    """Selects jobs, newest first. ``after``: numbers below this one.

    ``destination`` is a part of one, as shown or as its key has it, ``destination_prefix`` its beginning.
    Times are the wall clock's: shown as ``created_after`` or later, as earlier than ``created_before``. ``principal``
    None: the jobs of all.
    """

    statuses: tuple[JobStatus, ...] = ()
    destination: str = ""
    created_before: float | None = None
    after: int | None = None
    limit: Limit = 50
    principal: str | None = None
    destination_prefix: str = ""
    created_after: float | None = None
    idempotency_key: str = ""


class SourceView(msgspec.Struct, frozen=True):
    """By the header that intake read. Sides are pixels after orientation; an SVG's may be fractions. ``size_bytes`` is
    null if the host did not tell it by then, ``url`` if the picture came with its request.
    """

    url: str | None
    format: SourceFormat | None = None
    width: int | float | None = None
    height: int | float | None = None
    frames: int | None = None
    size_bytes: int | None = None


class ErrorView(msgspec.Struct, frozen=True):
    """``retryable``: time alone may heal it."""

    code: str
    detail: str
    hint: str
    retryable: bool

    def sentence(self) -> str:
        """For a terminal."""
        return f"{self.code}: {self.detail}" + (f" ({self.hint})" if self.hint else "")


class OutputView(msgspec.Struct, frozen=True, kw_only=True):
    """``url`` is where a browser finds the result. ``attempts`` have ended, since the last retry by request if there
    was one; ``error`` is the last one's.

    ``next_attempt_at`` is set while the output waits. ``owed``: what is still to be done about its placeholder.
    """

    name: str
    status: OutputStatus
    destination: str
    url: str | None = None
    width: int | None = None
    height: int | None = None
    format: Format | None = None
    placeholder: PlaceholderView | None
    size_bytes: int | None = None
    sha256: str | None = None
    attempts: int
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    error: ErrorView | None
    owed: Owed | None


class WarningView(msgspec.Struct, frozen=True):
    """``path`` names the part of the job, as ``outputs[0]``."""

    path: str
    code: str
    detail: str


class TimelineEntry(msgspec.Struct, frozen=True):
    """``output`` is a name. ``duration_ms`` is that of what has ended: placeholder, attempt or job."""

    at: datetime
    output: str | None
    event: EventType
    code: str | None
    duration_ms: int | None


class WebhookView(msgspec.Struct, frozen=True):
    """``url`` without user name and query."""

    url: str
    events: tuple[WebhookEvent, ...]


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """``timeline`` comes with single jobs only, with the newest ``MAX_TIMELINE`` entries."""

    id: str
    protocol: Protocol
    status: JobStatus
    created_at: datetime
    not_before: datetime | None
    deadline_at: datetime
    ended_at: datetime | None
    superseded_by: str | None
    priority: Priority
    metadata: Mapping[str, str]
    retries: int
    source: SourceView
    outputs: tuple[OutputView, ...]
    warnings: tuple[WarningView, ...] = ()
    webhook: WebhookView | None = None
    timeline: tuple[TimelineEntry, ...] | msgspec.UnsetType = msgspec.UNSET

    @property
    def error(self) -> ErrorView | None:
        """The first output's that has one."""
        return next((output.error for output in self.outputs if output.error is not None), None)


class OutboxView(msgspec.Struct, frozen=True):
    """An entry of the outbox: what is still to be done for a destination after the job's end, or was done."""

    kind: OutboxKind
    state: OutboxState


class OperatorOutputView(OutputView, frozen=True, kw_only=True):
    crashes: int
    outbox: tuple[OutboxView, ...]


class OperatorJobView(JobView, frozen=True, kw_only=True):
    """A job as the operator sees it. ``public`` is what everybody else may see of it."""

    number: int
    principal: str
    outputs: tuple[OperatorOutputView, ...]

    def public(self) -> JobView:
        outputs = tuple(_without(output, OutputView) for output in self.outputs)
        return msgspec.structs.replace(_without(self, JobView), outputs=outputs)


View = TypeVar("View", bound=msgspec.Struct)


def _without(view: View, base: type[View]) -> View:
    """The fields of ``base``, a base class of the view's."""
    names = base.__struct_fields__
    return base(**dict(zip(names, attrgetter(*names)(view), strict=True)))


class JobPage(msgspec.Struct, frozen=True):
    """``next``: the ``after`` of the page that follows; None on the last one.

    A page of jobs by their destination or key may hold fewer than the limit, even none, and not be the last.
    """

    jobs: tuple[OperatorJobView, ...]
    next: int | None


class JobList(msgspec.Struct, frozen=True):
    """The newest first, without their timelines. ``next`` is the ``cursor`` of the following page; null on the last."""

    jobs: tuple[JobView, ...]
    next: str | None


class OperatorJobList(JobList, frozen=True):
    jobs: tuple[OperatorJobView, ...]


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """A server process of the queue. ``running``: the jobs that it is at work on. ``is_alive``: it was seen within the
    time of a lease; what it had to do is taken over otherwise.
    """

    name: str
    role: Role
    version: str
    started_at: datetime
    seen_at: datetime
    running: int
    is_alive: bool


class Preview(JobView, frozen=True, kw_only=True):
    """The job that a dry run would have made. It has no id."""

    id: None = None  # type: ignore[assignment]


class Refusal(msgspec.Struct, frozen=True):
    """A post that became no job. ``client`` is an address, ``host`` the value of the Host header.

    Source and destinations are empty when the body could not be read as a job.
    """

    at: datetime
    code: str
    classic_code: int | None
    detail: str
    client: str = ""
    host: str = ""
    principal: str = ""
    source: str = ""
    destinations: tuple[str, ...] = ()


class RefusalPage(msgspec.Struct, frozen=True):
    refusals: tuple[Refusal, ...]


HIDDEN_QUERY = "?..."
# A deadline is shown by the wall clock, which may have been set since.
CLOCKS_DIFFER_S = 60.0


def redacted_url(text: str, *, is_page: bool = False) -> str:
    """A source or destination as it was posted, tags filled in, without its possible secrets.

    User name and password are left out, and a query is replaced by a mark. The file name of a form's
    destination stays.
    """
    authority, rest = url.cut(text)
    scheme, _, host = authority.partition("://")
    page, colon, name = rest.rpartition(":") if is_page else (rest, "", "")
    place, question_mark, _ = page.partition("#")[0].partition("?")
    return f"{scheme}://{host.rpartition('@')[2]}{place}{HIDDEN_QUERY if question_mark else ''}{colon}{name}"


def webhook_view(webhook: Webhook | None) -> WebhookView | None:
    return None if webhook is None else WebhookView(redacted_url(webhook.url), webhook.events)


def shown_source(source: Source) -> str | None:
    """None for an upload: its name is that of a file of the server's."""
    return None if source.is_upload else redacted_url(source.url)


def public_url(destination: Destination) -> str | None:
    """Where a browser finds the result, without user name and query; None where no GET would find it."""
    if destination.public_url:
        return destination.public_url
    return redacted_url(destination.url).removesuffix(HIDDEN_QUERY) if destination.writing.is_browsable else None


def expiry_warnings(index: int, destination: Destination, deadline_at: float) -> Iterator[WarningView]:
    """Of a presigned URL that limits the job's time. ``index`` is that of its output."""
    expires_at = expiry_of(destination.url)
    if expires_at is not None and expires_at < deadline_at + CLOCKS_DIFFER_S:
        detail = f"the URL expires at {instant_text(expires_at)}; the job is given up then, if not before"
        yield WarningView(f"outputs[{index}].destination", "destination_expires", detail)


def redacted_key(key: str) -> str:
    """A destination's or source's key for people. A query may hold a secret, so a mark replaces it."""
    page, hash_sign, name = key.partition("#")
    place, question_mark, _ = page.partition("?")
    return f"{place}{HIDDEN_QUERY if question_mark else ''}{hash_sign}{name}"


def as_time(epoch_s: float | None) -> datetime | None:
    return None if epoch_s is None else time_of(epoch_s)


def time_of(epoch_s: float) -> datetime:
    """A damaged row's may be any number."""
    return datetime.fromtimestamp(round(min(max(epoch_s, 0.0), _LAST_S), 3), UTC)
