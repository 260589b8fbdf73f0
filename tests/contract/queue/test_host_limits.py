"""A full queue: its refusal, its exact count; and jobs for hosts without room, which delay no others."""

import asyncio
import itertools
import random

import msgspec
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.faults import QueueFull
from imgserve.jobs.model import Accepted, Claim, ResultStatus
from imgserve.jobs.protocol import HostRoom, Queue, Work
from imgserve.request.job import ResolvedOutput
from tests.support.queues import KEY, START, House, accepted, claimed, ended, new_job, output, released, states_of

SLOW, FAST = "http://slow.test:80", "http://fast.test:80"
INFINITY = float("inf")
NAMES = itertools.count()
LEASE_S = Config().lease_s
FEW = Config(max_waiting=3, min_free_disk_bytes=0)


def to(host: str, name: object) -> ResolvedOutput:
    return output(f"{host}/{name}.png")


async def taken(queue: Queue, jobs: int, now: float = START, most: int = 99, **left: int) -> Work:
    """``left`` says what the two hosts may still have."""
    hosts = {{"slow": SLOW, "fast": FAST}[name]: count for name, count in left.items()}
    return await queue.take_work(jobs, now, hosts=HostRoom(most, hosts))


def numbers(*found: Claim | Accepted) -> list[int]:
    return [each.number for each in found]


async def test_jobs_for_a_full_host_let_the_others_pass(queue: Queue) -> None:
    slow = [await released(queue, to(SLOW, n)) for n in range(5)]
    fast = [await released(queue, to(FAST, n)) for n in range(2)]
    assert numbers(*(await taken(queue, 2, slow=0)).claims) == numbers(*fast)
    assert (await taken(queue, 9, slow=0)).claims == ()
    assert numbers(*(await taken(queue, 2, slow=1)).claims) == numbers(slow[0])
    assert numbers(*(await taken(queue, 9)).claims) == numbers(*slow[1:]), "in their order, and at once"


async def test_a_host_gets_no_more_than_its_room(queue: Queue) -> None:
    slow = [await released(queue, to(SLOW, n)) for n in range(5)]
    fast = [await released(queue, to(FAST, n)) for n in range(5)]
    assert numbers(*(await taken(queue, 9, most=3, slow=2)).claims) == numbers(*slow[:2], *fast[:3])
    assert numbers(*(await taken(queue, 9, most=1)).claims) == numbers(slow[2], fast[3])


async def test_what_is_passed_over_is_told_and_not_due(queue: Queue) -> None:
    """Or who asks would ask again at once, and for ever."""
    await released(queue, to(SLOW, "a"))
    work = await taken(queue, 9, slow=0)
    assert (work.claims, work.due_at, work.is_held_back) == ((), None, True)
    await released(queue, to(FAST, "a"), now=START + 7)
    work = await taken(queue, 9, slow=0)
    assert (work.claims, work.due_at, work.is_held_back) == ((), START + 7, True)
    work = await taken(queue, 1, START + 8, slow=1)
    assert (len(work.claims), work.due_at, work.is_held_back) == (1, START + 7, False)


async def test_a_host_that_this_very_claim_fills_is_full(queue: Queue) -> None:
    for n in range(3):
        await released(queue, to(SLOW, n))
    work = await taken(queue, 9, slow=2)
    assert (len(work.claims), work.is_held_back) == (2, True)
    assert work.due_at == START + LEASE_S, "the lease of what was claimed"


async def test_a_full_host_is_full_for_every_principal(queue: Queue) -> None:
    for principal in "aab":
        job = msgspec.structs.replace(new_job(to(SLOW, next(NAMES))), principal=principal)
        entry = await queue.enqueue(job, START)
        assert isinstance(entry, Accepted)
        await queue.activate(entry.number, states_of(entry, *job.outputs, state="unknown"), START)
    work = await taken(queue, 9, slow=2)
    assert sorted(claim.principal for claim in work.claims) == ["a", "b"]
    assert work.is_held_back


async def test_a_job_for_two_hosts_needs_room_at_both(queue: Queue) -> None:
    both = await released(queue, to(FAST, "a"), to(SLOW, "a"))
    fast = await released(queue, to(FAST, "b"))
    assert numbers(*(await taken(queue, 9, slow=0)).claims) == numbers(fast)
    work = await taken(queue, 9, slow=1)
    assert numbers(*work.claims) == numbers(both)
    done = ended(work.claims[0], "delivered", "retry", retry_at=START)
    await queue.settle(done, START)
    assert numbers(*(await taken(queue, 9, fast=0)).claims) == numbers(both), "what it has done holds it up no more"


async def test_a_retried_job_waits_for_its_hosts(queue: Queue) -> None:
    await released(queue, to(SLOW, "a"))
    claim = await claimed(queue)
    await queue.settle(ended(claim, "failed"), START)
    await queue.retry(claim.id, None, 86_400.0, START)
    assert (await taken(queue, 9, slow=0)).claims == ()
    assert numbers(*(await taken(queue, 9)).claims) == numbers(claim)


class Model:
    """A model of one principal's queue in plain values: jobs for four hosts and pairs of them."""

    HOSTS = tuple(f"http://h{n}.test:80" for n in range(4))

    def __init__(self, queue: Queue, seed: int) -> None:
        self.queue = queue
        self.chance = random.Random(seed)
        self.now = START
        self.waiting: dict[int, tuple[float, frozenset[str]]] = {}
        self.running: dict[int, tuple[float, Claim]] = {}

    async def post(self) -> None:
        hosts = self.chance.sample(self.HOSTS, self.chance.choice((1, 1, 2)))
        entry = await released(self.queue, *(to(host, next(NAMES)) for host in hosts), now=self.now)
        self.waiting[entry.number] = (self.now, frozenset(hosts))

    async def take(self) -> None:
        for lease_until, claim in list(self.running.values()):
            if lease_until < self.now:
                self.back(claim, self.now)
        most, places = self.chance.choice((1, 2, 9)), self.chance.randrange(5)
        left = {host: self.chance.randrange(3) for host in self.chance.sample(self.HOSTS, 2)}
        work = await self.queue.take_work(places, self.now, hosts=HostRoom(most, left))
        room = {host: left.get(host, most) for host in self.HOSTS}
        assert numbers(*work.claims) == sorted(self.expected(places, room))
        for claim in work.claims:
            del self.waiting[claim.number]
            self.running[claim.number] = (self.now + LEASE_S, claim)
        free = [at for at, hosts in self.waiting.values() if all(room[host] > 0 for host in hosts)]
        leases = [lease_until for lease_until, _ in self.running.values()]
        assert work.due_at == min(free + leases, default=None)
        passed_over = [at for at, hosts in self.waiting.values() if any(room[host] <= 0 for host in hosts)]
        assert passed_over or not work.is_held_back
        assert work.is_held_back or min(passed_over, default=INFINITY) >= min(free, default=INFINITY)

    def expected(self, places: int, room: dict[str, int]) -> list[int]:
        """The oldest due ones; each takes its part of ``room``."""
        chosen: list[int] = []
        due = sorted((at, number, hosts) for number, (at, hosts) in self.waiting.items() if at <= self.now)
        for _, number, hosts in due:
            if len(chosen) < places and all(room[host] > 0 for host in hosts):
                chosen.append(number)
                for host in hosts:
                    room[host] -= 1
        return chosen

    def back(self, claim: Claim, run_at: float) -> None:
        del self.running[claim.number]
        self.waiting[claim.number] = (
            run_at,
            frozenset(place.spec.placement.destination.origin for place in claim.outputs),
        )

    async def settle(self) -> None:
        if not self.running:
            return
        _, claim = self.running[self.chance.choice(list(self.running))]
        retry_at = self.now + self.chance.randrange(5) if self.chance.random() < 0.7 else None
        status: ResultStatus = "delivered" if retry_at is None else "retry"
        assert await self.queue.settle(ended(claim, status, retry_at=retry_at), self.now)
        if retry_at is None:
            del self.running[claim.number]
        else:
            self.back(claim, retry_at)

    async def let_time_pass(self) -> None:
        self.now += self.chance.choice((1, 3, 30))


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_the_oldest_with_room_are_next(queue: Queue, seed: int) -> None:
    model = Model(queue, seed)
    steps = (model.post, model.take, model.settle, model.let_time_pass)
    for step in model.chance.choices(steps, (4, 4, 2, 1), k=150):
        await step()


async def test_a_full_queue_has_room_again_for_each_that_ends(house: House) -> None:
    queue = await house.open(config=FEW)
    entries = [await released(queue, output(f"{KEY}{n}")) for n in range(3)]
    with pytest.raises(QueueFull):
        await queue.enqueue(new_job(), START)
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    late = await accepted(queue, output(f"{KEY}late"))
    with pytest.raises(QueueFull) as full:
        await queue.enqueue(new_job(), START)
    assert full.value.retry_after_s is not None
    assert 1 <= full.value.retry_after_s <= 600
    await queue.refuse(late.number, (), "delivery_failed", "refused", START)
    await released(queue, output(f"{KEY}1"))  # it supersedes the older job of its place
    await released(queue, output(f"{KEY}1"))
    assert entries
    await house.crash()


async def test_what_was_undone_does_not_count(house: House) -> None:
    queue = await house.open(config=FEW)
    ends = await asyncio.gather(
        *(queue.enqueue(new_job(output(f"{KEY}{n}")), START) for n in range(9)), return_exceptions=True
    )
    assert [type(end) for end in ends] == [Accepted] * 3 + [QueueFull] * 6
    queue = await house.open(START + 100, FEW)
    with pytest.raises(QueueFull):
        await queue.enqueue(new_job(), START)
    await house.crash()
