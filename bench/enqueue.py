"""Durable enqueues a second, and CPU of a job's whole way through the queue, on each engine; see README.md beside this.

python -m bench.enqueue [--jobs N] [--tasks N] [--rounds N] [--data-dir DIR]
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar
from uuid import uuid4

import msgspec
from bench.figures import spread, verdict
from tests.support.postgres import Postgres
from tests.support.queues import Maker, ended, final_of, output, placeholder_of, states_of

from imgserve.jobs.config import Config
from imgserve.jobs.model import Accepted, Claim, NewJob
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.queue import PostgresQueue
from imgserve.jobs.protocol import Granted, Queue
from imgserve.jobs.sqlite.queue import SqliteQueue

T = TypeVar("T")
ENQUEUES_TARGET, CPU_TARGET_MS = 1000, 3.0
CLAIMED_AT_ONCE = 8
NOW = 1_000_000.0
CONFIG = Config(max_waiting=1_000_000, min_free_disk_bytes=0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.enqueue", description="What a job costs at the queue.")
    parser.add_argument("--jobs", type=int, default=2000, help="in each load (default: %(default)s)")
    parser.add_argument("--tasks", type=int, default=50, help="that enqueue at once (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of the engines in turns (default: %(default)s)")
    parser.add_argument(
        "--data-dir", type=Path, help="SQLite's, on the disk to measure (default: a temporary directory)"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.data_dir) as top:
        asyncio.run(_measure(Path(top), given.jobs, given.tasks, given.rounds))


async def _measure(top: Path, jobs: int, tasks: int, rounds: int) -> None:
    async with AsyncExitStack() as stack:
        queues = {name: await stack.enter_async_context(open_engine(top)) for name, open_engine in ENGINES.items()}
        loads: dict[str, list[Load]] = {name: [] for name in queues}
        for number in range(rounds + 1):
            for name in sorted(queues, reverse=number % 2 == 1):  # A B, B A: both meet a steady drift of the machine
                loads[name].append(await _load(queues[name], jobs, tasks))
    for name, (_, *measured) in loads.items():  # the first warms up
        print(f"{name}: {_line(measured)}")
    usual = loads["sqlite"][1:]
    for name in sorted(loads.keys() - {"sqlite"}):
        more_ms = [own.job_ms - other.job_ms for own, other in zip(loads[name][1:], usual, strict=True)]
        print(f"{name}: CPU ms a job above sqlite: {spread(more_ms)}, target <= {CPU_TARGET_MS:g}:", end=" ")
        print(verdict(median(more_ms) <= CPU_TARGET_MS))


@asynccontextmanager
async def _sqlite(top: Path) -> AsyncIterator[Queue]:
    queue = await SqliteQueue.open(top, CONFIG, NOW)
    try:
        yield queue
    finally:
        await queue.aclose()


@asynccontextmanager
async def _postgresql(_: Path) -> AsyncIterator[Queue]:
    """With a server of its own: its commits reach the disk of the system's temporary directory."""
    with Postgres() as server:
        queue = await PostgresQueue.open(Address(server.url(server.database())), CONFIG, NOW)
        try:
            yield queue
        finally:
            await queue.aclose()


ENGINES: Mapping[str, Callable[[Path], AbstractAsyncContextManager[Queue]]] = {
    "postgresql": _postgresql,
    "sqlite": _sqlite,
}


class Load(NamedTuple):
    """CPU milliseconds of this process, so without a database's: of an enqueue, and of a whole job."""

    enqueues_a_second: float
    enqueue_ms: float
    job_ms: float


def _line(loads: list[Load]) -> str:
    rates, enqueue_ms, job_ms = zip(*loads, strict=True)
    is_met = verdict(median(rates) >= ENQUEUES_TARGET)
    rate = f"{spread(rates, 0)} durable enqueues/s, target >= {ENQUEUES_TARGET:,}: {is_met}"
    return f"{rate}; CPU ms an enqueue {spread(enqueue_ms)}, a job {spread(job_ms)}"


async def _load(queue: Queue, count: int, tasks: int) -> Load:
    """So many jobs go from their enqueue to their end: each has a destination of its own and a placeholder."""
    jobs = [_job() for _ in range(count)]
    entries: list[tuple[NewJob, Accepted]] = []

    async def enqueue(job: NewJob) -> None:
        entry = await queue.enqueue(job, NOW)
        assert isinstance(entry, Accepted)
        entries.append((job, entry))

    async def activate(enqueued: tuple[NewJob, Accepted]) -> None:
        job, entry = enqueued
        assert isinstance(await queue.acquire(placeholder_of(entry, place=job.outputs[0]), NOW), Granted)
        await queue.activate(entry.number, states_of(entry, *job.outputs), NOW)
        await queue.answered(entry.number)

    started, cpu_started = time.perf_counter(), time.process_time()
    await _by_tasks(tasks, jobs, enqueue)
    rate, enqueue_s = count / (time.perf_counter() - started), time.process_time() - cpu_started
    await _by_tasks(tasks, entries, activate)
    await _run(queue, count)
    return Load(rate, enqueue_s / count * 1000, (time.process_time() - cpu_started) / count * 1000)


def _job() -> NewJob:
    name = uuid4().hex
    place = output(f"http://place.test:80/{name}")
    return msgspec.structs.replace(Maker()(place), id=name, digest=bytes.fromhex(name), principal="bench")


async def _by_tasks(count: int, items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    left = iter(items)

    async def one() -> None:
        for item in left:
            await work(item)

    await asyncio.gather(*(one() for _ in range(count)))


async def _run(queue: Queue, count: int) -> None:
    async def finish(claim: Claim) -> None:
        assert isinstance(await queue.acquire(final_of(claim), NOW), Granted)
        assert await queue.settle(ended(claim, "delivered"), NOW)

    while count > 0:
        claims = (await queue.take_work(CLAIMED_AT_ONCE, NOW)).claims
        assert claims
        await asyncio.gather(*map(finish, claims))
        count -= len(claims)


if __name__ == "__main__":
    main()
