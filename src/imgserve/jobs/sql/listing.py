"""Reads for people: lists of jobs, and single ones."""

import os
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from imgserve.jobs.event_views import EventPage, EventQuery, WebhookDelivery
from imgserve.jobs.faults import NoSuchJob, no_such_job
from imgserve.jobs.model import KEY_MEMORY_S, Bound
from imgserve.jobs.protocol import Counts, KeptUpload, UploadBytes
from imgserve.jobs.shown import WallOf
from imgserve.jobs.sql import feed, search, uploads, webhooks
from imgserve.jobs.sql.database import Reader, rows
from imgserve.jobs.sql.queries import load
from imgserve.jobs.sql.reading import read, read_all
from imgserve.jobs.views import JobPage, JobQuery, NodeView, OperatorJobView, time_of

SQL = load("listing")

T = TypeVar("T")


class Snapshots(Protocol):
    """Where reads are carried out, beside the commits: each sees committed rows only, all of the same moment."""

    async def run(self, query: Callable[[Reader], T]) -> T:
        """Raises StorageFailing."""

    async def aclose(self) -> None:
        """A read that is under way ends at once."""


class Listing:
    """``wall_of`` converts a stored time to the wall clock's."""

    def __init__(self, snapshots: Snapshots, wall_of: WallOf = float) -> None:
        self._run = snapshots.run
        self.aclose = snapshots.aclose
        self._wall_of = wall_of

    async def page(self, query: JobQuery) -> JobPage:
        return await self._run(lambda db: _page(db, query, self._wall_of))

    async def job(self, job_id: str, principal: str | None = None) -> OperatorJobView:
        """Raises NoSuchJob."""
        return await self._run(lambda db: _job(db, job_id, principal, self._wall_of))

    async def binding_of(self, principal: str, key: str, now: float) -> Bound | None:
        return await self._run(lambda db: _bound(db, principal, key, now))

    async def newest_event(self) -> int:
        return await self._run(feed.newest)

    async def events_after(self, query: EventQuery, now: float) -> EventPage:
        return await self._run(lambda db: feed.page(db, query, now, self._wall_of))

    async def webhook_log(self, job_id: str, principal: str | None = None) -> tuple[WebhookDelivery, ...]:
        """Raises NoSuchJob."""
        return await self._run(lambda db: _webhook_log(db, job_id, principal, self._wall_of))

    async def uploads(self) -> tuple[KeptUpload, ...]:
        return await self._run(uploads.kept)

    async def upload_bytes(self, principal: str) -> UploadBytes:
        return await self._run(lambda db: uploads.size(db, principal))

    async def has_ended(self, job_id: str) -> bool:
        """True also when there is no such job."""
        return await self._run(lambda db: db.execute(SQL["has_ended"], (job_id,)).get != 0)

    async def counts(self) -> Counts:
        return await self._run(lambda db: counts(db, self._wall_of))

    async def nodes(self, since: float) -> tuple[NodeView, ...]:
        """Those that were seen since then are alive."""
        return await self._run(lambda db: nodes(db, since, self._wall_of))


def counts(db: Reader, wall_of: WallOf) -> Counts:
    stored = Counts(*db.execute(SQL["counts"]).get)
    oldest_at, due_at = (None if at is None else wall_of(at) for at in (stored.oldest_at, stored.due_at))
    return msgspec.structs.replace(stored, oldest_at=oldest_at, due_at=due_at)


def node_name() -> str:
    return f"{os.uname().nodename}:{os.getpid()}"


def nodes(db: Reader, since: float, wall_of: WallOf) -> tuple[NodeView, ...]:
    return tuple(
        NodeView(
            name=name or node_name(), role=role, version=version, started_at=time_of(wall_of(started_at)),
            seen_at=time_of(wall_of(seen_at)), running=running, is_alive=seen_at >= since,
        )
        for name, role, version, started_at, seen_at, running in rows(db, SQL["nodes"])
    )  # fmt: skip


def _page(db: Reader, query: JobQuery, wall_of: WallOf) -> JobPage:
    found = search.find(db, query, ahead_s=-wall_of(0.0))
    readings = read_all(db, found.numbers, wall_of)
    return JobPage(tuple(readings[number].job for number in found.numbers), found.next)


def _job(db: Reader, job_id: str, principal: str | None, wall_of: WallOf) -> OperatorJobView:
    """Raises NoSuchJob."""
    matches = rows(db, SQL["find"], (job_id, principal))
    if not matches and job_id and principal is None:
        matches = rows(db, SQL["begins_with"], (job_id,))
    if len(matches) > 1:
        raise NoSuchJob(f"several jobs have ids that begin with {job_id[:64]!r}", "give more of the id")
    if matches:
        return read(db, matches[0][0], wall_of, has_timeline=True).job
    if principal is not None:
        raise no_such_job(job_id)
    hint = "jobs list shows what there is; ended jobs are listed for keep_ended_s, failed ones for keep_failed_s"
    raise NoSuchJob(f"no job has an id that begins with {job_id[:64]!r}", hint)


def _webhook_log(db: Reader, job_id: str, principal: str | None, wall_of: WallOf) -> tuple[WebhookDelivery, ...]:
    number: int | None = db.execute(SQL["find"], (job_id, principal)).get
    if number is None:
        raise no_such_job(job_id)
    return webhooks.deliveries(db, number, wall_of)


def _bound(db: Reader, principal: str, key: str, now: float) -> Bound | None:
    row = db.execute(SQL["bound"], (key, principal, now - KEY_MEMORY_S)).fetchone()
    return None if row is None else Bound(row[0], row[1], bool(row[2]))
