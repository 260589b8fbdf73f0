"""Reads for people: lists of jobs, single ones. On a connection and a thread of their own, so that a long search holds
up no commit; it sees committed rows only.
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
from imgserve.jobs.sqlite.breakage import STORAGE_ERRORS, storage_failing
from imgserve.jobs.sqlite.committer import rows
from imgserve.jobs.sqlite.texts import as_text
from imgserve.jobs.stored import UNREADABLE, decode_output, decode_source
from imgserve.jobs.views import (
    HIDDEN_QUERY,
    JobPage,
    JobQuery,
    JobView,
    OutputView,
    as_time,
    posted_place,
    shown_place,
    time_of,
)

T = TypeVar("T")
WallOf = Callable[[float], float]

OPEN: tuple[JobStatus, ...] = ("accepting", "queued", "running")
ENDED: tuple[JobStatus, ...] = ("succeeded", "failed", "cancelled", "superseded")
NEWEST = 2**63 - 1
_PARTS = re.compile(f"://|{re.escape(HIDDEN_QUERY)}")
NOT_READ = "(written by another version)"

# Each walks down one index and stops at the limit. ?1 status or statuses, ?2 numbers below, ?3 made before.
_OPEN_JOBS = (
    "SELECT number FROM job WHERE ended_at IS NULL AND status IN (SELECT value FROM json_each(?1))"
    " AND number < ?2 AND created_at <= ?3 ORDER BY number DESC LIMIT ?4"
)
_ENDED_JOBS = (
    "SELECT number FROM job INDEXED BY job_end WHERE ended_at IS NOT NULL AND status = ?1"
    " AND number < ?2 AND created_at <= ?3 ORDER BY number DESC LIMIT ?4"
)
_JOBS_OF_PLACE = (
    "SELECT DISTINCT output.job FROM output INDEXED BY output_of_job CROSS JOIN job ON job.number = output.job"
    " WHERE (instr(destination, ?5) OR (instr(spec, ?6) AND is_shown(spec, ?5)))"
    " AND job.status IN (SELECT value FROM json_each(?1))"
    " AND output.job < ?2 AND created_at <= ?3 ORDER BY output.job DESC LIMIT ?4"
)


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
        values = (msgspec.json.encode(wanted).decode(), *bounds, query.destination, msgspec.json.encode(piece)[1:-1])
        found = rows(db, _JOBS_OF_PLACE, values)
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

    queued = one("SELECT count(*) FROM job INDEXED BY job_due WHERE status = 'queued'")
    running = one("SELECT count(*) FROM job INDEXED BY job_leased WHERE status = 'running'")
    return Counts(
        accepting=one("SELECT count(*) FROM job INDEXED BY job_open WHERE ended_at IS NULL") - queued - running,
        queued=queued,
        running=running,
        owed=one("SELECT count(*) FROM output INDEXED BY output_debt WHERE debt = 'owed'"),
        given_up=one("SELECT count(*) FROM output INDEXED BY output_given_up WHERE debt = 'given_up'"),
        abandoned=one("SELECT count(*) FROM output INDEXED BY output_abandoned WHERE debt = 'abandoned'"),
        oldest_at=one("SELECT created_at FROM job WHERE ended_at IS NULL ORDER BY number LIMIT 1"),
        due_at=one("SELECT min(run_at) FROM job INDEXED BY job_due WHERE status = 'queued'"),
    )


def _job(db: apsw.Connection, job_id: str, wall_of: WallOf) -> JobView:
    """Raises NoSuchJob."""
    # No id goes on with "g" or higher: its letters are hexadecimal.
    beginning = "SELECT number FROM job WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2"
    found = rows(db, "SELECT number FROM job WHERE id = ?", (job_id,)) or (job_id and rows(db, beginning, (job_id,)))
    if not found:
        hint = "jobs list shows what there is; ended jobs are listed for keep_ended_s, failed ones for keep_failed_s"
        raise NoSuchJob(f"no job has an id that begins with {job_id[:64]!r}", hint)
    if len(found) > 1:
        raise NoSuchJob(f"several jobs have ids that begin with {job_id[:64]!r}", "give more of the id")
    return _view(db, found[0][0], wall_of)


def _view(db: apsw.Connection, number: int, wall_of: WallOf) -> JobView:
    row: tuple[Any, ...] | None = db.execute(
        "SELECT as_text(CAST(id AS BLOB)), as_text(CAST(status AS BLOB)), source, created_at, deadline_at, run_at,"
        " ended_at, attempts, crashes, as_text(CAST(error AS BLOB)), as_text(CAST(detail AS BLOB))"
        " FROM job WHERE number = ?",
        (number,),
    ).fetchone()
    assert row is not None
    job_id, status, source, created_at, deadline_at, run_at, ended_at, attempts, crashes, error, detail = row
    outputs = rows(
        db,
        "SELECT as_text(CAST(destination AS BLOB)), as_text(CAST(status AS BLOB)), as_text(CAST(placeholder AS BLOB)),"
        " as_text(CAST(debt AS BLOB)), spec FROM output WHERE job = ? ORDER BY id",
        (number,),
    )
    return JobView(
        id=job_id,
        number=number,
        status=status,
        source=_shown_source(source),
        created_at=time_of(wall_of(created_at)),
        deadline_at=time_of(wall_of(deadline_at)),
        due_at=as_time(wall_of(run_at) if status == "queued" else None),
        ended_at=as_time(None if ended_at is None else wall_of(ended_at)),
        attempts=attempts,
        crashes=crashes,
        error=error,
        detail=detail,
        outputs=tuple(_output(*output) for output in outputs),
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


def _output(key: str, status: Any, placeholder: Any, debt: Any, spec: bytes) -> OutputView:
    try:
        resolved = decode_output(spec)
    except UNREADABLE:
        return OutputView(shown_place(key), status, placeholder, debt)
    destination = resolved.placement.destination
    place = posted_place(destination.shown, is_page=destination.writing.is_page)
    size, chosen = resolved.rendering.size, resolved.rendering.format
    return OutputView(place, status, placeholder, debt, size.width_px, size.height_px, chosen)
