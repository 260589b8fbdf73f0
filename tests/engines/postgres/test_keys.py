"""One Idempotency-Key at several servers at once."""

import asyncio
import contextlib

import msgspec

from imgserve.jobs.config import Config
from imgserve.jobs.faults import IdempotencyKeyReused
from imgserve.jobs.model import Accepted, Answer, Binding, NewJob
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.queue import PostgresQueue
from imgserve.jobs.views import JobQuery
from tests.support.postgres import Postgres
from tests.support.postgres_house import empty_queue
from tests.support.queues import KEY, START, new_job, output

NODES, REQUESTS, KEYS = 3, 100, 3
OTHER_PLACE = "http://place.test:80/b.png"


async def test_a_hundred_requests_with_one_key_make_one_job(postgres: Postgres) -> None:
    with empty_queue(postgres) as url:
        async with contextlib.AsyncExitStack() as opened:
            nodes = [await PostgresQueue.open(Address(url), Config(), START) for _ in range(NODES)]
            for node in nodes:
                opened.push_async_callback(node.aclose)
            for key in map(str, range(KEYS)):
                await check_key(nodes, key)
            assert len((await nodes[0].page(JobQuery())).jobs) == KEYS


async def check_key(nodes: list[PostgresQueue], key: str) -> None:
    """Two requests in turns, for two places: the lock of a place keeps only equal requests apart."""
    jobs = [keyed(key, (KEY, OTHER_PLACE)[number // NODES % 2]) for number in range(REQUESTS)]
    calls = (nodes[number % NODES].enqueue(job, START) for number, job in enumerate(jobs))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    (first,) = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    stored = next(job for job in jobs if job.id == first.id)
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.binding == stored.binding:
            assert isinstance(outcome, Accepted | Answer), outcome
            assert outcome.number == first.number
        else:
            assert isinstance(outcome, IdempotencyKeyReused), outcome


def keyed(key: str, place: str) -> NewJob:
    job = new_job(output(place), digest=f"principal and {key}".encode())
    return msgspec.structs.replace(job, binding=Binding(key, place.encode()))
