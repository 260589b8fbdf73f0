"""Reads for people: lists of jobs, and single ones. A connection and a thread of their own run them, so that a long
search delays no commit. They see committed rows only.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec

from imgserve.jobs.faults import NoSuchJob
from imgserve.jobs.model import OPEN as OPEN_OUTPUT
from imgserve.jobs.model import JobStatus
from imgserve.jobs.protocol import Counts
from imgserve.jobs.sqlite.breakage import STORAGE_ERRORS, storage_failing
from imgserve.jobs.sqlite.connection import rows
from imgserve.jobs.sqlite.queries import load
from imgserve.jobs.sqlite.texts import as_text
from imgserve.jobs.stored import UNREADABLE, decode_output, decode_source, decode_warnings
from imgserve.jobs.views import (
    HIDDEN_QUERY,
    JobPage,
    JobQuery,
    JobView,
    OutboxView,
    OutputView,
    WarningView,
    redacted_key,
    redacted_url,
    time_of,
)
from imgserve.request.destination import Destination

SQL = load("listing")

T = TypeVar("T")
WallOf = Callable[[float], float]

OPEN: tuple[JobStatus, ...] = ("accepting", "queued", "running")
ENDED: tuple[JobStatus, ...] = ("succeeded", "failed", "cancelled", "superseded")
NEWEST = 2**63 - 1
_PARTS = re.compile(f"://|{re.escape(HIDDEN_QUERY)}")
UNREADABLE_SOURCE = "(written by another version)"


class Listing:
    """A read-only connection, opened by the first read. ``wall_of`` converts a stored time to the wall clock's."""

    def __init__(self, path: Path, wall_of: WallOf = float) -> None:
        self._path = path
        self._wall_of = wall_of
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="listing")
        self._connection: apsw.Connection | None = None

    async def page(self, query: JobQuery) -> JobPage:
        return await self._run(lambda db: _page(db, query, self._wall_of))

    async def job(self, job_id: str) -> JobView:
        """Raises NoSuchJob."""
        return await self._run(lambda db: _job(db, job_id, self._wall_of))

    async def counts(self) -> Counts:
        return await self._run(lambda db: counts(db, self._wall_of))

    async def aclose(self) -> None:
        if self._connection is not None:
            self._connection.interrupt()  # a long search
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()

    async def _run(self, read: Callable[[apsw.Connection], T]) -> T:
        """Raises StorageFailing."""

        def transaction() -> T:
            if self._connection is None:
                self._connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
                self._connection.set_busy_timeout(2000)
                self._connection.create_scalar_function("is_shown", lambda *row: _is_shown(*row), 2)
                self._connection.create_scalar_function("as_text", lambda *row: as_text(*row), 1)
            with self._connection as snapshot:
                result = read(snapshot)
            return result  # noqa: RET504 - the end of the snapshot may raise, and mypy knows it may swallow

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)
        except STORAGE_ERRORS as error:
            raise storage_failing(error, "the queue cannot be read", self._path) from error


def counts(db: apsw.Connection, wall_of: WallOf) -> Counts:
    stored = Counts(*db.execute(SQL["counts"]).get)
    oldest_at, due_at = (None if at is None else wall_of(at) for at in (stored.oldest_at, stored.due_at))
    return msgspec.structs.replace(stored, oldest_at=oldest_at, due_at=due_at)


def _page(db: apsw.Connection, query: JobQuery, wall_of: WallOf) -> JobPage:
    numbers = _numbers(db, query)
    page = numbers[: query.limit]
    jobs = tuple(_view(db, number, wall_of) for number in page)
    return JobPage(jobs, page[-1] if len(numbers) > len(page) else None)


def _numbers(db: apsw.Connection, query: JobQuery) -> list[int]:
    """The newest, one more than the limit."""
    statuses = query.statuses or (*OPEN, *ENDED)
    statuses_json = msgspec.json.encode(statuses).decode()
    before = float("inf") if query.created_before is None else query.created_before
    bounds = (NEWEST if query.after is None else query.after, before, query.limit + 1)
    if query.destination:
        # Few specs hold these bytes; only they are decoded. A login and a query stand between the parts that are shown.
        piece = msgspec.json.encode(max(_PARTS.split(query.destination), key=len))[1:-1]
        numbers = rows(
            db, SQL["jobs_of_destination"], (statuses_json, *bounds, query.destination, piece, query.principal)
        )
    elif query.principal is not None:
        numbers = rows(db, SQL["jobs_of_principal"], (statuses_json, *bounds, query.principal))
    else:
        numbers = rows(db, SQL["open_jobs"], (statuses_json, *bounds))
        for status in ENDED:
            if status in statuses:
                numbers += rows(db, SQL["ended_jobs"], (status, *bounds))
    return sorted((int(row[0]) for row in numbers), reverse=True)[: query.limit + 1]


def _job(db: apsw.Connection, job_id: str, wall_of: WallOf) -> JobView:
    """Raises NoSuchJob."""
    matches = rows(db, SQL["find"], (job_id,)) or (job_id and rows(db, SQL["begins_with"], (job_id,)))
    if not matches:
        hint = "jobs list shows what there is; ended jobs are listed for keep_ended_s, failed ones for keep_failed_s"
        raise NoSuchJob(f"no job has an id that begins with {job_id[:64]!r}", hint)
    if len(matches) > 1:
        raise NoSuchJob(f"several jobs have ids that begin with {job_id[:64]!r}", "give more of the id")
    return _view(db, matches[0][0], wall_of)


def _view(db: apsw.Connection, number: int, wall_of: WallOf) -> JobView:
    job_id, status, source, created_at, deadline_at, run_at, ended_at = db.execute(SQL["job"], (number,)).get
    entries = rows(db, SQL["entries"], (number,))
    stored = rows(db, SQL["outputs"], (number,))
    outputs = tuple(_output(row[:-1], entries, wall_of, is_waiting=status == "queued") for row in stored)
    error, detail = next(((each.error, each.detail) for each in outputs if each.error), ("", ""))
    return JobView(
        id=job_id,
        number=number,
        status=status,
        source=_source(source),
        created_at=time_of(wall_of(created_at)),
        deadline_at=time_of(wall_of(deadline_at)),
        due_at=time_of(wall_of(run_at)) if status == "queued" else None,
        ended_at=None if ended_at is None else time_of(wall_of(ended_at)),
        attempts=max((each.attempts for each in outputs), default=0),
        crashes=max((each.crashes for each in outputs), default=0),
        error=error,
        detail=detail,
        outputs=outputs,
        warnings=tuple(view for index, row in enumerate(stored) for view in _warnings(f"outputs[{index}]", row[-1])),
    )


def _warnings(path: str, stored: bytes | None) -> Iterator[WarningView]:
    with suppress(*UNREADABLE):
        for warning in decode_warnings(stored or b"[]"):
            yield WarningView(path, warning.code, warning.detail)


def _source(stored: bytes) -> str:
    try:
        return redacted_url(decode_source(stored).url)
    except UNREADABLE:
        return UNREADABLE_SOURCE


def _is_shown(spec: Any, piece: Any) -> bool:
    try:
        return piece in _shown(decode_output(spec).placement.destination)
    except UNREADABLE:
        return False


def _shown(destination: Destination) -> str:
    return redacted_url(destination.shown, is_page=destination.writing.is_page)


def _output(row: tuple[Any, ...], entries: list[tuple[Any, ...]], wall_of: WallOf, *, is_waiting: bool) -> OutputView:
    key, status, placeholder, spec, number, attempts, crashes, due_at, error, detail = row
    view = OutputView(
        destination=redacted_key(key),
        status=status,
        placeholder=placeholder,
        outbox=tuple(OutboxView(kind, state) for output, kind, state in entries if output == number),
        attempts=attempts,
        crashes=crashes,
        due_at=time_of(wall_of(due_at)) if is_waiting and status in OPEN_OUTPUT else None,
        error=error,
        detail=detail,
    )
    try:
        resolved = decode_output(spec)
    except UNREADABLE:
        return view
    size = resolved.rendering.size
    return msgspec.structs.replace(
        view,
        destination=_shown(resolved.placement.destination),
        width_px=size.width_px if size else None,
        height_px=size.height_px if size else None,
        format=resolved.rendering.format,
    )
