"""Reads for people: lists of jobs, and single ones. A connection and a thread of their own run them, so that a long
search delays no commit. They see committed rows only.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec

from imgserve.jobs.faults import NoSuchJob
from imgserve.jobs.model import JobStatus
from imgserve.jobs.protocol import Counts
from imgserve.jobs.shown import (
    StoredEntry,
    StoredEvent,
    StoredJob,
    StoredOutput,
    WallOf,
    shown_destination,
    timeline_of,
    view_of,
)
from imgserve.jobs.sqlite.breakage import STORAGE_ERRORS, storage_failing
from imgserve.jobs.sqlite.connection import rows
from imgserve.jobs.sqlite.queries import load
from imgserve.jobs.sqlite.texts import as_text
from imgserve.jobs.stored import UNREADABLE, decode_output
from imgserve.jobs.views import HIDDEN_QUERY, MAX_TIMELINE, JobPage, JobQuery, OperatorJobView

SQL = load("listing")

T = TypeVar("T")
OPEN: tuple[JobStatus, ...] = ("accepting", "queued", "running")
ENDED: tuple[JobStatus, ...] = ("succeeded", "failed", "cancelled", "superseded")
NEWEST = 2**63 - 1
_PARTS = re.compile(f"://|{re.escape(HIDDEN_QUERY)}")


class Listing:
    """A read-only connection, opened by the first read. ``wall_of`` converts a stored time to the wall clock's."""

    def __init__(self, path: Path, wall_of: WallOf = float) -> None:
        self._path = path
        self._wall_of = wall_of
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="listing")
        self._connection: apsw.Connection | None = None

    async def page(self, query: JobQuery) -> JobPage:
        return await self._run(lambda db: _page(db, query, self._wall_of))

    async def job(self, job_id: str) -> OperatorJobView:
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


def _job(db: apsw.Connection, job_id: str, wall_of: WallOf) -> OperatorJobView:
    """Raises NoSuchJob."""
    matches = rows(db, SQL["find"], (job_id,)) or (job_id and rows(db, SQL["begins_with"], (job_id,)))
    if not matches:
        hint = "jobs list shows what there is; ended jobs are listed for keep_ended_s, failed ones for keep_failed_s"
        raise NoSuchJob(f"no job has an id that begins with {job_id[:64]!r}", hint)
    if len(matches) > 1:
        raise NoSuchJob(f"several jobs have ids that begin with {job_id[:64]!r}", "give more of the id")
    return _view(db, matches[0][0], wall_of, has_timeline=True)


def _view(db: apsw.Connection, number: int, wall_of: WallOf, *, has_timeline: bool = False) -> OperatorJobView:
    job = StoredJob(*db.execute(SQL["job"], (number,)).get)
    outputs = [StoredOutput(*row) for row in rows(db, SQL["outputs"], (number,))]
    entries = [StoredEntry(*row) for row in rows(db, SQL["entries"], (number,))]
    view = view_of(job, outputs, entries, wall_of)
    if not has_timeline:
        return view
    names = {output.id: seen.name for output, seen in zip(outputs, view.outputs, strict=True)}
    events = [StoredEvent(*row) for row in reversed(rows(db, SQL["newest_events"], (number, MAX_TIMELINE)))]
    return msgspec.structs.replace(view, timeline=timeline_of(job, names, events, wall_of))


def _is_shown(spec: Any, piece: Any) -> bool:
    try:
        return piece in shown_destination(decode_output(spec).placement.destination)
    except UNREADABLE:
        return False
