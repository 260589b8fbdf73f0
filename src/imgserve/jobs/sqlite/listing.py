"""Reads for people: lists of jobs, single ones. On a connection and a thread of their own, so that a long search holds
up no commit; it sees committed rows only.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
from imgserve.jobs.stored import UNREADABLE, decode_output, decode_source
from imgserve.jobs.views import (
    HIDDEN_QUERY,
    JobPage,
    JobQuery,
    JobView,
    OutboxView,
    OutputView,
    as_time,
    posted_place,
    shown_place,
    time_of,
)

SQL = load("listing")

T = TypeVar("T")
WallOf = Callable[[float], float]

OPEN: tuple[JobStatus, ...] = ("accepting", "queued", "running")
ENDED: tuple[JobStatus, ...] = ("succeeded", "failed", "cancelled", "superseded")
NEWEST = 2**63 - 1
_PARTS = re.compile(f"://|{re.escape(HIDDEN_QUERY)}")
NOT_READ = "(written by another version)"

# Pending, abandoned after ``outbox_s``, and abandoned because the stored output cannot be read.
COUNT_OUTBOX = (SQL["pending_entries"], SQL["given_up_entries"], SQL["unreadable_entries"])
# Each walks down one index and stops at the limit. ?1 status or statuses, ?2 numbers below, ?3 made before.
_OPEN_JOBS = SQL["open_jobs"]
_ENDED_JOBS = SQL["ended_jobs"]
_JOBS_OF_PLACE = SQL["jobs_of_place"]
_JOBS_OF_PRINCIPAL = SQL["jobs_of_principal"]


class Listing:
    """A read-only connection, opened when it is first asked. ``wall_of`` shows a stored time as people read it."""

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
        seen = await self._run(_counts)
        oldest_at, due_at = (None if at is None else self._wall_of(at) for at in (seen.oldest_at, seen.due_at))
        return msgspec.structs.replace(seen, oldest_at=oldest_at, due_at=due_at)

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


def _page(db: apsw.Connection, query: JobQuery, wall_of: WallOf) -> JobPage:
    numbers = _numbers(db, query)
    shown = numbers[: query.limit]
    jobs = tuple(_view(db, number, wall_of) for number in shown)
    return JobPage(jobs, shown[-1] if len(numbers) > len(shown) else None)


def _numbers(db: apsw.Connection, query: JobQuery) -> list[int]:
    """The newest, one more than asked for."""
    wanted = query.statuses or (*OPEN, *ENDED)
    before = float("inf") if query.created_before is None else query.created_before
    bounds = (NEWEST if query.after is None else query.after, before, query.limit + 1)
    if query.destination:
        # Few specs hold these bytes; only they are decoded. A login and a query stand between the parts that are shown.
        piece = max(_PARTS.split(query.destination), key=len)
        values = (
            msgspec.json.encode(wanted).decode(),
            *bounds,
            query.destination,
            msgspec.json.encode(piece)[1:-1],
            query.principal,
        )
        found = rows(db, _JOBS_OF_PLACE, values)
    elif query.principal is not None:
        found = rows(db, _JOBS_OF_PRINCIPAL, (msgspec.json.encode(wanted).decode(), *bounds, query.principal))
    else:
        found = rows(db, _OPEN_JOBS, (msgspec.json.encode([s for s in OPEN if s in wanted]).decode(), *bounds))
        for status in ENDED:
            if status in wanted:
                found += rows(db, _ENDED_JOBS, (status, *bounds))
    return sorted((int(row[0]) for row in found), reverse=True)[: query.limit + 1]


def _counts(db: apsw.Connection) -> Counts:
    """Each figure is answered from one partial index alone."""

    def one(sql: str) -> Any:
        return db.execute(sql).get

    pending, abandoned, unreadable = map(one, COUNT_OUTBOX)
    queued = one(SQL["count_queued"])
    running = one(SQL["count_running"])
    return Counts(
        accepting=one(SQL["count_open"]) - queued - running,
        queued=queued,
        running=running,
        pending=pending,
        abandoned=abandoned,
        unreadable=unreadable,
        oldest_at=one(SQL["oldest_at"]),
        due_at=one(SQL["due_at"]),
    )


def _job(db: apsw.Connection, job_id: str, wall_of: WallOf) -> JobView:
    """Raises NoSuchJob."""
    # No id goes on with "g" or higher: its letters are hexadecimal.
    beginning = SQL["begins_with"]
    found = rows(db, SQL["find"], (job_id,)) or (job_id and rows(db, beginning, (job_id,)))
    if not found:
        hint = "jobs list shows what there is; ended jobs are listed for keep_ended_s, failed ones for keep_failed_s"
        raise NoSuchJob(f"no job has an id that begins with {job_id[:64]!r}", hint)
    if len(found) > 1:
        raise NoSuchJob(f"several jobs have ids that begin with {job_id[:64]!r}", "give more of the id")
    return _view(db, found[0][0], wall_of)


def _view(db: apsw.Connection, number: int, wall_of: WallOf) -> JobView:
    row: tuple[Any, ...] | None = db.execute(SQL["job"], (number,)).fetchone()
    assert row is not None
    job_id, status, source, created_at, deadline_at, run_at, ended_at = row
    outputs = rows(db, SQL["outputs"], (number,))
    entries = rows(db, SQL["entries"], (number,))
    owed = [(output_id, OutboxView(kind, state)) for output_id, kind, state in entries]
    shown = tuple(_output(tuple(row), owed, wall_of, is_waiting=status == "queued") for row in outputs)
    error, detail = next(((each.error, each.detail) for each in shown if each.error), ("", ""))
    return JobView(
        id=job_id,
        number=number,
        status=status,
        source=_shown_source(source),
        created_at=time_of(wall_of(created_at)),
        deadline_at=time_of(wall_of(deadline_at)),
        due_at=as_time(wall_of(run_at) if status == "queued" else None),
        ended_at=as_time(None if ended_at is None else wall_of(ended_at)),
        attempts=max((each.attempts for each in shown), default=0),
        crashes=max((each.crashes for each in shown), default=0),
        error=error,
        detail=detail,
        outputs=shown,
    )


def _shown_source(stored: bytes) -> str:
    try:
        return posted_place(decode_source(stored).url)
    except UNREADABLE:
        return NOT_READ


def _is_shown(spec: Any, piece: Any) -> bool:
    try:
        place = decode_output(spec).placement.destination
    except UNREADABLE:
        return False
    return piece in posted_place(place.shown, is_page=place.writing.is_page)


def _output(
    row: tuple[Any, ...], owed: list[tuple[int, OutboxView]], wall_of: WallOf, *, is_waiting: bool
) -> OutputView:
    destination, status, placeholder, spec, output_id, attempts, crashes, due_at, error, detail = row
    place, width_px, height_px, chosen = shown_place(destination), None, None, None
    with contextlib.suppress(*UNREADABLE):
        resolved = decode_output(spec)
        written_to, size, chosen = resolved.placement.destination, resolved.rendering.size, resolved.rendering.format
        place = posted_place(written_to.shown, is_page=written_to.writing.is_page)
        width_px, height_px = size.width_px, size.height_px
    return OutputView(
        destination=place,
        status=status,
        placeholder=placeholder,
        outbox=tuple(entry for owner, entry in owed if owner == output_id),
        attempts=attempts,
        crashes=crashes,
        due_at=as_time(wall_of(due_at) if is_waiting and status in OPEN_OUTPUT else None),
        error=error,
        detail=detail,
        width_px=width_px,
        height_px=height_px,
        format=chosen,
    )
