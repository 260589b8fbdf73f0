"""Jobs as people see them: the answers of listing, without credentials.

The engines build them, and every API sends them as they are. Times are UTC.
"""

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from imgserve.jobs.model import JobStatus, OutboxKind, OutboxState, OutputStatus, PlaceholderState
from imgserve.request import url
from imgserve.request.encode import Format

MAX_LISTED = 200
MAX_REFUSALS = 1000
Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LISTED)]
_LAST_S = 253_402_300_799.0  # of the year 9999


class JobQuery(msgspec.Struct, frozen=True):
    """Selects jobs, newest first. ``destination``: a part of one; ``after``: numbers below this one.

    ``principal`` None: the jobs of all.
    """

    statuses: tuple[JobStatus, ...] = ()
    destination: str = ""
    created_before: float | None = None
    after: int | None = None
    limit: Limit = 50
    principal: str | None = None


class OutboxView(msgspec.Struct, frozen=True):
    """An entry of the outbox: what is still to be done for a destination after the job's end, or was done."""

    kind: OutboxKind
    state: OutboxState


class OutputView(msgspec.Struct, frozen=True):
    """``due_at`` is set while the output waits for its next attempt."""

    destination: str
    status: OutputStatus
    placeholder: PlaceholderState
    outbox: tuple[OutboxView, ...]
    attempts: int
    crashes: int
    due_at: datetime | None
    error: str
    detail: str
    width_px: int | None = None
    height_px: int | None = None
    format: Format | None = None


class WarningView(msgspec.Struct, frozen=True):
    """``path`` names the part of the job, as ``outputs[0]``."""

    path: str
    code: str
    detail: str


class JobView(msgspec.Struct, frozen=True):
    """``due_at`` is set while the job waits for its first or next attempt.

    ``attempts`` and ``crashes`` are those of the output with most, ``error`` and ``detail`` the first output's.
    """

    id: str
    number: int
    status: JobStatus
    source: str
    created_at: datetime
    deadline_at: datetime
    due_at: datetime | None
    ended_at: datetime | None
    attempts: int
    crashes: int
    error: str
    detail: str
    outputs: tuple[OutputView, ...]
    warnings: tuple[WarningView, ...] = ()


class JobPage(msgspec.Struct, frozen=True):
    """``next``: the ``after`` of the page that follows; None on the last one."""

    jobs: tuple[JobView, ...]
    next: int | None


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


def redacted_key(key: str) -> str:
    """A destination's or source's key for people. A query may hold a secret, so a mark replaces it."""
    page, hash_sign, name = key.partition("#")
    place, question_mark, _ = page.partition("?")
    return f"{place}{HIDDEN_QUERY if question_mark else ''}{hash_sign}{name}"


def as_time(epoch_s: float | None) -> datetime | None:
    return None if epoch_s is None else time_of(epoch_s)


def time_of(epoch_s: float) -> datetime:
    """A damaged row's may be any number."""
    return datetime.fromtimestamp(min(max(epoch_s, 0.0), _LAST_S), UTC)
