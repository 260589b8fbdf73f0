"""Pages of the job list, and claims a second, behind many ended jobs; see README.md beside this.

python -m bench.backlog [--jobs N] [--rounds N] [--data-dir DIR]
"""

import argparse
import asyncio
import itertools
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple
from uuid import uuid4

import msgspec
from bench.figures import verdict
from tests.support.queues import Maker, output, states_of

from imgserve.jobs.config import Config
from imgserve.jobs.model import Accepted, JobStatus
from imgserve.jobs.sqlite.connection import connect
from imgserve.jobs.sqlite.queue import FILE_NAME, SqliteQueue
from imgserve.jobs.sqlite.schema import migrate
from imgserve.jobs.stored import encode_info, encode_output, encode_source
from imgserve.jobs.views import JobQuery

STATUSES: tuple[JobStatus, ...] = ("succeeded", "failed", "cancelled", "superseded")
MANY, FEW = "many", "few"
FEW_JOBS = 100
PAGE_TARGET_MS, CLAIMS_TARGET = 50.0, 0.9
CLAIMS, CLAIMED_AT_ONCE, TOGETHER = 2000, 4, 200
# Nothing is pruned meanwhile.
CONFIG = Config(min_free_disk_bytes=0, max_waiting=10 * CLAIMS, keep_ended_s=1e12, keep_failed_s=1e12)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.backlog", description="Lists and claims behind ended jobs.")
    parser.add_argument("--jobs", type=int, default=1_000_000, help="ended jobs (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of claims (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="on the disk to measure (default: a temporary directory)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.data_dir) as top:
        asyncio.run(_measure(Path(top), given.jobs, given.rounds))


async def _measure(top: Path, jobs: int, rounds: int) -> None:
    full, empty = top / "full", top / "empty"
    for place in (full, empty):
        place.mkdir()
    _fill(full / FILE_NAME, jobs)
    queues = [await SqliteQueue.open(place, CONFIG, float(jobs)) for place in (full, empty)]
    pages_ms = [await _page_ms(queues[0], query) for query in _queries(jobs)]
    slowest_ms = max(pages_ms)
    print(f"{len(pages_ms)} pages of 50 among {jobs:,} ended jobs: median {median(pages_ms):.1f} ms,", end=" ")
    print(f"slowest {slowest_ms:.1f} ms, target < {PAGE_TARGET_MS:g}: {verdict(slowest_ms < PAGE_TARGET_MS)}")
    rates = [await _claim_rates(queues, jobs) for _ in range(rounds + 1)][1:]  # the first warms up
    behind, alone = (median(rate.a_second for rate in column) for column in zip(*rates, strict=True))
    ratio = median(one.a_second / other.a_second for one, other in rates)
    cpu_ratio = median(other.cpu_us / one.cpu_us for one, other in rates)
    print(f"claims a second: {behind:,.0f}, in an empty queue {alone:,.0f};", end=" ")
    print(f"ratio {ratio:.2f}, target >= {CLAIMS_TARGET:g}:", end=" ")
    print(f"{verdict(ratio >= CLAIMS_TARGET)}; by CPU time {cpu_ratio:.2f}")
    for queue in queues:
        await queue.aclose()


def _fill(path: Path, jobs: int) -> None:
    """Ended jobs of all statuses, made a second apart, ``FEW_JOBS`` of them another principal's."""
    job = Maker()()
    db = connect(path)
    migrate(db)
    with db:
        db.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
            " INSERT INTO job (id, status, source, info, digest, is_answered, is_activated, epoch, created_at,"
            " deadline_at, run_at, ended_at, principal) SELECT lower(hex(randomblob(16))),"
            " json_extract(?2, '$[' || (i / 7 % 4) || ']'), ?3, ?4, x'', 1, 1, 1, i, i, i, i,"
            " iif(i % ?5 = 0, ?6, ?7) FROM n",
            (
                jobs, msgspec.json.encode(STATUSES).decode(), encode_source(job.source), encode_info(job.info),
                max(jobs // FEW_JOBS, 1), FEW, MANY,
            ),
        )  # fmt: skip
        db.execute(
            "INSERT INTO output (job, spec, destination, is_form, status)"
            " SELECT number, ?, 'http://place.test:80/' || number, 0, 'delivered' FROM job",
            (encode_output(job.outputs[0]),),
        )
        db.execute("INSERT INTO event (job, at, type) SELECT number, ended_at, 'job.' || status FROM job")
    db.close()


def _queries(jobs: int) -> list[JobQuery]:
    """By principal and status, from the newest, from the middle and of a past time."""
    choices = itertools.product((MANY, FEW, None), (*((status,) for status in STATUSES), STATUSES, ()))
    return [
        query
        for principal, statuses in choices
        for query in (
            JobQuery(statuses, principal=principal),
            JobQuery(statuses, principal=principal, after=jobs // 2),
            JobQuery(statuses, principal=principal, after=jobs // 50),
            JobQuery(statuses, principal=principal, created_before=jobs * 0.3),
        )
    ]


async def _page_ms(queue: SqliteQueue, query: JobQuery) -> float:
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


async def _claim_rates(queues: list[SqliteQueue], now: float) -> tuple[Claims, Claims]:
    """Of both queues, A B B A, so that both meet a steady drift of the machine."""
    full, empty = queues
    rates = [await _claims(queue, now) for queue in (full, empty, empty, full)]
    behind, alone = (rates[0], rates[3]), (rates[1], rates[2])
    return _mean(behind), _mean(alone)


def _mean(rates: tuple[Claims, ...]) -> Claims:
    return Claims(*(sum(column) / len(rates) for column in zip(*rates, strict=True)))


async def _claims(queue: SqliteQueue, now: float) -> Claims:
    """Of ``CLAIMS`` due jobs, which are cancelled afterwards."""
    ids: list[str] = []
    while len(ids) < CLAIMS:
        ids += await asyncio.gather(*(_queued(queue, number, now) for number in range(len(ids), len(ids) + TOGETHER)))
    started, cpu_started = time.perf_counter(), time.process_time()
    left = CLAIMS
    while left > 0:
        left -= len((await queue.take_work(CLAIMED_AT_ONCE, now)).claims)
    took_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    await asyncio.gather(*(queue.cancel(job_id, now) for job_id in ids))
    return Claims(CLAIMS / took_s, cpu_s / CLAIMS * 1e6)


async def _queued(queue: SqliteQueue, number: int, now: float) -> str:
    """The id of a new job."""
    place = output(f"http://place.test:80/due/{number}")
    job = msgspec.structs.replace(Maker()(place), id=uuid4().hex, digest=b"", principal=MANY)
    entry = await queue.enqueue(job, now)
    assert isinstance(entry, Accepted)
    await queue.activate(entry.number, states_of(entry, place), now)
    return job.id


if __name__ == "__main__":
    main()
