"""Reads for people: lists of jobs, single ones. On a connection and a thread of their own, so that a long search holds
up no commit; what it sees is what has been committed.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec

from imgserve.jobs.committer import REMEDY, STORAGE_ERRORS, rows
from imgserve.jobs.job import JobStatus
from imgserve.jobs.queue import StorageFailing
from imgserve.jobs.view import JobPage, JobQuery, JobView, NoSuchJob, OutputView, as_time, shown_place
from imgserve.spec.request import FixedOutput
from imgserve.spec.source import Source, source_key

T = TypeVar("T")

OPEN: tuple[JobStatus, ...] = ("accepting", "queued", "running")
ENDED: tuple[JobStatus, ...] = ("succeeded", "failed", "cancelled", "superseded")
NEWEST = 2**63 - 1
UNREADABLE = "(written by another version)"

_decode_source = msgspec.json.Decoder(Source).decode
_decode_output = msgspec.json.Decoder(FixedOutput).decode

_RANGE = (
    " AND number < ?2 AND created_at <= ?3 AND (?4 = ''"
    " OR EXISTS (SELECT 1 FROM output WHERE output.job = job.number AND instr(destination, ?4)))"
    " ORDER BY number DESC LIMIT ?5"
)
_OPEN_JOBS = f"SELECT number FROM job WHERE ended_at IS NULL AND status IN (SELECT value FROM json_each(?1)){_RANGE}"  # noqa: S608
_ENDED_JOBS = f"SELECT number FROM job INDEXED BY job_end WHERE ended_at IS NOT NULL AND status = ?1{_RANGE}"  # noqa: S608


class Listing:
    """A read-only connection, opened when it is first asked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="listing")
        self._connection: apsw.Connection | None = None

    async def page(self, query: JobQuery) -> JobPage:
        return await self._run(lambda db: _page(db, query))

    async def job(self, job_id: str) -> JobView:
        """Raises NoSuchJob."""
        return await self._run(lambda db: view(db, job_id))

    async def aclose(self) -> None:
        if self._connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()

    async def _run(self, read: Callable[[apsw.Connection], T]) -> T:
        """Raises StorageFailing."""

        def transaction() -> T:
            if self._connection is None:
                self._connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
                self._connection.set_busy_timeout(2000)
            with self._connection as snapshot:
                result = read(snapshot)
            return result  # noqa: RET504 - the end of the snapshot may raise, and mypy knows it may swallow

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)
        except STORAGE_ERRORS as error:
            raise StorageFailing(f"the queue cannot be read: {error}", REMEDY) from error


def _page(db: apsw.Connection, query: JobQuery) -> JobPage:
    """One index scan for each end, and one over what is open; the newest of all of them."""
    wanted = query.statuses or (*OPEN, *ENDED)
    before = float("inf") if query.created_before is None else query.created_before
    bounds = (NEWEST if query.after is None else query.after, before, query.destination, query.limit + 1)
    found = rows(db, _OPEN_JOBS, (msgspec.json.encode([s for s in OPEN if s in wanted]).decode(), *bounds))
    for status in ENDED:
        if status in wanted:
            found += rows(db, _ENDED_JOBS, (status, *bounds))
    numbers = sorted((int(row[0]) for row in found), reverse=True)
    shown = numbers[: query.limit]
    return JobPage(
        tuple(_view(db, number) for number in shown), shown[-1] if len(numbers) > query.limit and shown else None
    )


def view(db: apsw.Connection, job_id: str) -> JobView:
    """Raises NoSuchJob."""
    row = db.execute("SELECT number FROM job WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise NoSuchJob(
            f"no job has the id {job_id[:64]!r}", "jobs list shows what there is; ended jobs are kept a day"
        )
    return _view(db, row[0])


def _view(db: apsw.Connection, number: int) -> JobView:
    row: tuple[Any, ...] | None = db.execute(
        "SELECT id, status, source, created_at, deadline_at, run_at, ended_at, attempts, crashes, error, detail"
        " FROM job WHERE number = ?",
        (number,),
    ).fetchone()
    assert row is not None
    job_id, status, source, created_at, deadline_at, run_at, ended_at, attempts, crashes, error, detail = row
    outputs = rows(
        db, "SELECT destination, status, placeholder, debt, spec FROM output WHERE job = ? ORDER BY id", (number,)
    )
    return JobView(
        id=job_id,
        number=number,
        status=status,
        source=_shown_source(source),
        created_at=datetime.fromtimestamp(created_at, UTC),
        deadline_at=datetime.fromtimestamp(deadline_at, UTC),
        due_at=as_time(run_at if status == "queued" else None),
        ended_at=as_time(ended_at),
        attempts=attempts,
        crashes=crashes,
        error=error,
        detail=detail,
        outputs=tuple(_output(*output) for output in outputs),
    )


def _shown_source(stored: bytes) -> str:
    try:
        return shown_place(source_key(_decode_source(stored)))
    except msgspec.DecodeError:
        return UNREADABLE


def _output(destination: str, status: Any, placeholder: Any, debt: Any, spec: bytes) -> OutputView:
    place = shown_place(destination)
    try:
        fixed = _decode_output(spec)
    except msgspec.DecodeError:
        return OutputView(place, status, placeholder, debt)
    size, chosen = fixed.size, fixed.recipe.output.format
    return OutputView(place, status, placeholder, debt, size.width_px, size.height_px, chosen)
