"""The random walk of the contract over three nodes, each of which may die while the others go on."""

import random
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.model import Accepted, Claim, Intent, NewJob, OutboxEntry
from imgserve.jobs.postgres.queue import PostgresQueue
from imgserve.jobs.protocol import Busy, Denied, Granted, OutboxWork, Queue, Work
from tests.contract.queue.test_random import QUIET_S, World
from tests.support.postgres import Postgres
from tests.support.postgres_nodes import Nodes, nodes_of

NODES = 3
# Together they meet all that ``MET`` has to have.
EVENTFUL = (6, 8)


class Spread:
    """Each call goes to a node at random; those of one that has begun something, to that one.

    ``of_job`` and ``of_claim`` are the nodes of what was begun, the latter by number and token.
    """

    def __init__(self, seed: int) -> None:
        self.queues: list[PostgresQueue] = []
        self.random = random.Random(seed)
        self.of_job: dict[int, int] = {}
        self.of_claim: dict[tuple[int, int], int] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return cast(Callable[..., Any], getattr(self.random.choice(self.queues), name))

    def node_of(self, intent: Intent) -> int:
        return self.of_claim[intent.number, intent.token] if intent.token else self.of_job[intent.number]

    async def enqueue(self, job: NewJob, now: float) -> Accepted:
        index = self.random.randrange(NODES)
        entry = await self.queues[index].enqueue(job, now)
        assert isinstance(entry, Accepted)
        self.of_job[entry.number] = index
        return entry

    async def acquire(self, intent: Intent, now: float) -> Granted | Busy | Denied:
        return await self.queues[self.node_of(intent)].acquire(intent, now)

    async def take_work(self, jobs: int, now: float) -> Work:
        index = self.random.randrange(NODES)
        work = await self.queues[index].take_work(jobs, now)
        self.of_claim |= {(claim.number, claim.token): index for claim in work.claims}
        return work

    async def take_outbox(self, entries: int, now: float) -> OutboxWork:
        index = self.random.randrange(NODES)
        work = await self.queues[index].take_outbox(entries, now)
        self.of_claim |= {(entry.number, entry.token): index for entry in work.entries if entry.message is None}
        return work


class ClusterWorld(World):
    def __init__(self, nodes: Nodes, seed: int) -> None:
        super().__init__(nodes.house, seed)
        self.nodes = nodes
        self.spread = Spread(seed)
        self.queue = cast(Queue, self.spread)

    async def start(self) -> None:
        for _ in range(NODES):
            self.spread.queues.append(await self.nodes.open(now=self.now))

    async def let_time_pass(self) -> None:
        """No node counts as dead by it."""
        left_s = self.random.choice([1.0, 1.0, 5.0, 20.0, 61.0])
        while left_s > 0:
            self.now += min(left_s, Config().lease_s / 2)
            left_s -= Config().lease_s / 2
            for queue in self.spread.queues:
                await queue.heartbeat((), self.now)
        await self.follow()
        await self.queue.heartbeat(tuple(claim for claim, _ in self.claims if self.random.random() < 0.7), self.now)

    async def crash(self) -> None:
        """One node dies, and another takes it over."""
        self.check_ends()
        index = self.random.randrange(NODES)

        def is_lost(held: Claim | OutboxEntry) -> bool:
            return self.spread.of_claim[held.number, held.token] == index

        for job in self.taken:
            if self.spread.of_job[job.entry.number] == index and self.not_before.get(job.entry.number, 0.0) <= self.now:
                self.released.add(job.entry.number)
        for key, intent in tuple(self.in_flight.items()):
            if self.spread.node_of(intent) == index:
                self.log[key].append(self.in_flight.pop(key))
                self.quiet_until[key] = self.now + QUIET_S
                self.happened.add("cut off")
        self.taken = [job for job in self.taken if self.spread.of_job[job.entry.number] != index]
        self.claims = [(claim, answers) for claim, answers in self.claims if not is_lost(claim)]
        self.entries = [(entry, answer) for entry, answer in self.entries if not is_lost(entry)]
        await self.nodes.leave(self.spread.queues[index])
        await self.spread.queues[index - 1].heartbeat((), self.now)
        self.spread.queues[index] = await self.nodes.open(now=self.now)


@pytest.fixture
async def nodes(postgres: Postgres) -> AsyncIterator[Nodes]:
    async with nodes_of(postgres) as opened:
        yield opened


@pytest.mark.parametrize(
    "seed",
    [*EVENTFUL, *(pytest.param(seed, marks=pytest.mark.full_size) for seed in range(12) if seed not in EVENTFUL)],
)
async def test_at_random(nodes: Nodes, seed: int) -> None:
    world = ClusterWorld(nodes, seed)
    await world.start()
    steps = [
        world.enqueue, world.place, world.finish_intake, world.take_work, world.write_final, world.settle, world.pay,
        world.let_time_pass, world.crash, world.cancel, world.retry,
    ]  # fmt: skip
    for step in world.random.choices(steps, (6, 8, 8, 8, 8, 7, 6, 3, 2, 2, 2), k=120):
        await step()
    await world.drive_to_rest()
    world.check_rest()
    await world.check_told()
    MET.update(world.happened)


MET: set[str] = set()


def test_what_the_random_runs_met() -> None:
    """A run in which nothing goes wrong proves nothing."""
    assert {"lost claim", "overtaken", "cut off", "entry done", "cancelled", "retried"} <= MET
