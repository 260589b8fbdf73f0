"""Pages of the job list, and claims a second, behind many jobs, on each engine; see README.md beside this.

python -m bench.backlog [--jobs N] [--queued] [--engine sqlite|postgresql] [--rounds N] [--data-dir DIR]
"""

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple
from uuid import uuid4

import msgspec
import psycopg
from bench.figures import verdict
from tests.support.postgres import Postgres
from tests.support.queues import KEY, Maker, output, states_of

from imgserve.jobs.config import Config
from imgserve.jobs.model import Accepted, JobStatus, NewJob
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.queue import PostgresQueue
from imgserve.jobs.protocol import Queue
from imgserve.jobs.sqlite.connection import connect
from imgserve.jobs.sqlite.queue import FILE_NAME, SqliteQueue
from imgserve.jobs.sqlite.schema import migrate
from imgserve.jobs.stored import encode_info, encode_output, encode_source
from imgserve.jobs.views import JobQuery
from imgserve.request.destination import hosts_of

ENDED: tuple[JobStatus, ...] = ("succeeded", "failed", "cancelled", "superseded")
OPEN: tuple[JobStatus, ...] = ("queued", "running", "accepting")
MANY, FEW = "many", "few"
FEW_JOBS = 100
PAGE_TARGET_MS, CLAIMS_TARGET = 50.0, 0.9
CLAIMS, CLAIMED_AT_ONCE, TOGETHER = 2000, 4, 200
# Nothing is pruned meanwhile.
CONFIG = Config(min_free_disk_bytes=0, max_waiting=10**9, keep_ended_s=1e12, keep_failed_s=1e12)
# Of a full queue and an empty one.
Queues = tuple[Queue, Queue]


class Filling(NamedTuple):
    """Jobs made a second apart, ``FEW_JOBS`` of them another principal's: ended in all ways, or queued."""

    jobs: int
    is_queued: bool


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.backlog", description="Lists and claims behind many jobs.")
    parser.add_argument("--jobs", type=int, default=1_000_000, help="in the full queue (default: %(default)s)")
    parser.add_argument("--queued", action="store_true", help="they wait, instead of having ended")
    parser.add_argument("--engine", choices=sorted(ENGINES), default="sqlite", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="of claims (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="on the disk to measure (default: a temporary directory)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.data_dir) as top:
        asyncio.run(_measure(Path(top), given.engine, Filling(given.jobs, given.queued), given.rounds))


async def _measure(top: Path, engine: str, filling: Filling, rounds: int) -> None:
    async with ENGINES[engine](top, filling) as queues:
        pages_ms = [await _page_ms(queues[0], query) for query in _queries(filling)]
        slowest_ms = max(pages_ms)
        state = "queued" if filling.is_queued else "ended"
        print(f"{engine}: {len(pages_ms)} pages of 50 among {filling.jobs:,} {state} jobs: median", end=" ")
        print(f"{median(pages_ms):.1f} ms, slowest {slowest_ms:.1f} ms,", end=" ")
        print(f"target < {PAGE_TARGET_MS:g}: {verdict(slowest_ms < PAGE_TARGET_MS)}")
        rates = [await _claim_rates(queues, filling) for _ in range(rounds + 1)][1:]  # the first warms up
    behind, alone = (median(rate.a_second for rate in column) for column in zip(*rates, strict=True))
    ratio = median(one.a_second / other.a_second for one, other in rates)
    cpu_ratio = median(other.cpu_us / one.cpu_us for one, other in rates)
    print(f"claims a second: {behind:,.0f}, in an empty queue {alone:,.0f};", end=" ")
    print(f"ratio {ratio:.2f}, target >= {CLAIMS_TARGET:g}:", end=" ")
    print(f"{verdict(ratio >= CLAIMS_TARGET)}; by CPU time {cpu_ratio:.2f}")


@asynccontextmanager
async def _sqlite(top: Path, filling: Filling) -> AsyncIterator[Queues]:
    full, empty = top / "full", top / "empty"
    for place in (full, empty):
        place.mkdir()
    fill_file(full / FILE_NAME, filling, Maker()(), KEY)
    queues = [await SqliteQueue.open(place, CONFIG, float(filling.jobs)) for place in (full, empty)]
    yield queues[0], queues[1]
    for queue in queues:
        await queue.aclose()


def fill_file(path: Path, filling: Filling, job: NewJob, key: str) -> None:
    """``job``: source and output of all, with a number in place of ``~``. ``key``: its destination."""
    db = connect(path)
    migrate(db)
    with db:
        db.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
            " INSERT INTO job (id, status, source, info, digest, is_answered, is_activated, epoch, created_at,"
            " deadline_at, run_at, ended_at, principal, hosts) SELECT lower(hex(randomblob(16))),"
            " json_extract(?2, '$[' || (i / 7 % json_array_length(?2)) || ']'), ?3, ?4, x'', 1, 1, 1, i, 1e12, i,"
            " iif(?5, NULL, i), iif(i % ?6 = 0, ?7, ?8), ?9 FROM n",
            (
                filling.jobs, _json(_statuses(filling)), encode_source(job.source), encode_info(job.info),
                filling.is_queued, max(filling.jobs // FEW_JOBS, 1), FEW, MANY, hosts_of((key,)),
            ),
        )  # fmt: skip
        db.execute(
            "INSERT INTO output (job, spec, destination, is_form, status)"
            " SELECT number, CAST(replace(CAST(? AS TEXT), '~', number) AS BLOB), hosts || '/' || number, 0,"
            " iif(?, 'placeholder', 'delivered') FROM job",
            (encode_output(job.outputs[0]), filling.is_queued),
        )
        db.execute("INSERT INTO event (job, at, type) SELECT number, created_at, 'job.accepted' FROM job")
    db.close()


@asynccontextmanager
async def _postgresql(_: Path, filling: Filling) -> AsyncIterator[Queues]:
    """On a server of its own, with its data in the system's temporary directory."""
    with Postgres({"max_wal_size": "8GB"}) as server:
        urls = [server.url(server.database()) for _ in range(2)]
        now = float(filling.jobs)
        for url in urls:  # makes the tables
            await (await PostgresQueue.open(Address(url), CONFIG, now)).aclose()
        _fill_tables(urls[0], filling)
        queues = [await PostgresQueue.open(Address(url), CONFIG, now) for url in urls]
        yield queues[0], queues[1]
        for queue in queues:
            await queue.aclose()


def _fill_tables(url: str, filling: Filling) -> None:
    job = Maker()()
    with psycopg.connect(url, options="-c search_path=imgserve -c synchronous_commit=off") as db:
        db.execute(
            "INSERT INTO job (id, status, source, info, digest, is_answered, is_activated, epoch, created_at,"
            " deadline_at, run_at, ended_at, principal, hosts, protocol, priority) SELECT md5(i::text),"
            " (%(statuses)s::text[])[1 + i / 7 %% cardinality(%(statuses)s::text[])], %(source)s, %(info)s, '', 1, 1,"
            " 1, i, 1e12, i, CASE WHEN NOT %(is_queued)s THEN i END,"
            " CASE WHEN i %% %(each)s = 0 THEN %(few)s ELSE %(many)s END, %(hosts)s, 'classic', 'normal'"
            " FROM generate_series(1, %(jobs)s) AS i",
            {
                "statuses": list(_statuses(filling)), "source": encode_source(job.source),
                "info": encode_info(job.info), "is_queued": filling.is_queued, "jobs": filling.jobs,
                "each": max(filling.jobs // FEW_JOBS, 1), "few": FEW, "many": MANY, "hosts": hosts_of((KEY,)),
            },
        )  # fmt: skip
        db.execute(
            "INSERT INTO output (job, spec, destination, is_form, status)"
            " SELECT number, %s, hosts || '/' || number, 0, %s FROM job",
            (encode_output(job.outputs[0]), "placeholder" if filling.is_queued else "delivered"),
        )
        db.execute("INSERT INTO event (job, at, type) SELECT number, created_at, 'job.accepted' FROM job")
        db.execute(
            "INSERT INTO backlog (epoch, principal, priority, jobs)"
            " SELECT 0, principal, priority, count(*) FROM job WHERE ended_at IS NULL GROUP BY principal, priority"
        )
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("VACUUM ANALYZE")  # as autovacuum does after a while


ENGINES: Mapping[str, Callable[[Path, Filling], AbstractAsyncContextManager[Queues]]] = {
    "postgresql": _postgresql,
    "sqlite": _sqlite,
}


def _statuses(filling: Filling) -> tuple[JobStatus, ...]:
    return ("queued",) if filling.is_queued else ENDED


def _json(values: object) -> str:
    return msgspec.json.encode(values).decode()


def _queries(filling: Filling) -> list[JobQuery]:
    """By principal and status, from the newest, from the middle and of a past time."""
    statuses = OPEN if filling.is_queued else ENDED
    choices = itertools.product((MANY, FEW, None), (*((status,) for status in statuses), statuses, ()))
    return [
        query
        for principal, some in choices
        for query in (
            JobQuery(some, principal=principal),
            JobQuery(some, principal=principal, after=filling.jobs // 2),
            JobQuery(some, principal=principal, after=filling.jobs // 50),
            JobQuery(some, principal=principal, created_before=filling.jobs * 0.3),
        )
    ]


async def _page_ms(queue: Queue, query: JobQuery) -> float:
    """The median of three, of which the first may have to read the disk."""
    times_s = []
    for _ in range(3):
        started = time.perf_counter()
        await queue.page(query)
        times_s.append(time.perf_counter() - started)
    return median(times_s) * 1000


class Claims(NamedTuple):
    a_second: float
    cpu_us: float


async def _claim_rates(queues: Queues, filling: Filling) -> tuple[Claims, Claims]:
    """Of both queues, A B B A, so that both meet a steady drift of the machine."""
    full, empty = queues
    now = float(filling.jobs)
    rates = [
        await _claims(queue, now, has_jobs=filling.is_queued and queue is full) for queue in (full, empty, empty, full)
    ]
    behind, alone = (rates[0], rates[3]), (rates[1], rates[2])
    return _mean(behind), _mean(alone)


def _mean(rates: tuple[Claims, ...]) -> Claims:
    return Claims(*(sum(column) / len(rates) for column in zip(*rates, strict=True)))


async def _claims(queue: Queue, now: float, *, has_jobs: bool) -> Claims:
    """Of ``CLAIMS`` due jobs, which are cancelled afterwards. ``has_jobs``: they are there."""
    for first in () if has_jobs else range(0, CLAIMS, TOGETHER):
        await asyncio.gather(*(_enqueue(queue, number, now) for number in range(first, first + TOGETHER)))
    ids: list[str] = []
    started, cpu_started = time.perf_counter(), time.process_time()
    while len(ids) < CLAIMS:
        ids += [claim.id for claim in (await queue.take_work(CLAIMED_AT_ONCE, now)).claims]
    took_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    await asyncio.gather(*(queue.cancel(job_id, now) for job_id in ids))
    return Claims(CLAIMS / took_s, cpu_s / CLAIMS * 1e6)


async def _enqueue(queue: Queue, number: int, now: float) -> None:
    place = output(f"http://place.test:80/due/{number}")
    job = msgspec.structs.replace(Maker()(place), id=uuid4().hex, digest=b"%d" % number, principal=MANY)
    entry = await queue.enqueue(job, now)
    assert isinstance(entry, Accepted)
    await queue.activate(entry.number, states_of(entry, place), now)
    await queue.answered(entry.number)


if __name__ == "__main__":
    main()
