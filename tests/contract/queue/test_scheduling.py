"""Fair scheduling: of several principals with due jobs none waits behind the whole backlog of another."""

import msgspec
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.model import Accepted, Claim
from imgserve.jobs.protocol import HostRoom, Queue
from tests.support.queues import START, House, due_entries, ended, new_job, output, states_of

HOST = "http://place.test:80"


async def queued(queue: Queue, principal: str, now: float = START, host: str = "place.test") -> int:
    job = new_job()
    place = output(f"http://{host}:80/{job.id}")
    entry = await queue.enqueue(msgspec.structs.replace(job, outputs=(place,), principal=principal), now)
    assert isinstance(entry, Accepted)
    await queue.activate(entry.number, states_of(entry, state="written"), now)
    return entry.number


async def taken(queue: Queue, jobs: int, now: float = START, reserved: int = 0) -> tuple[Claim, ...]:
    return (await queue.take_work(jobs, now, reserved=reserved)).claims


def principals_of(claims: tuple[Claim, ...]) -> str:
    return "".join(sorted(claim.principal for claim in claims))


async def test_two_principals_get_half_each(queue: Queue) -> None:
    for principal in "aaaaaabbb":
        await queued(queue, principal)
    assert principals_of(await taken(queue, 4)) == "aabb"
    assert principals_of(await taken(queue, 4)) == "aaab", "b had one more"
    assert principals_of(await taken(queue, 4)) == "a"


async def test_the_principal_with_the_fewest_running_jobs_is_next(queue: Queue) -> None:
    """However long the others have waited."""
    for _ in range(6):
        await queued(queue, "a")
    assert principals_of(await taken(queue, 3)) == "aaa"
    for principal in "bbbbc":
        await queued(queue, principal, START + 1)
    assert principals_of(await taken(queue, 2, START + 1)) == "bc"
    assert principals_of(await taken(queue, 2, START + 1)) == "bb"
    assert principals_of(await taken(queue, 2, START + 1)) == "ab"


async def test_an_ended_job_counts_no_more(queue: Queue) -> None:
    for principal in "aaabbb":
        await queued(queue, principal)
    claims = await taken(queue, 4)
    for claim in claims:
        if claim.principal == "a":
            await queue.settle(ended(claim, "delivered"), START)
    assert [claim.principal for claim in await taken(queue, 1)] == ["a"]


async def test_of_equals_the_oldest_job_is_next(queue: Queue) -> None:
    late, early = await queued(queue, "a", START + 2), await queued(queue, "b", START + 1)
    assert [claim.number for claim in await taken(queue, 1, START + 3)] == [early]
    assert [claim.number for claim in await taken(queue, 1, START + 3)] == [late]


async def test_one_principals_jobs_keep_their_order(queue: Queue) -> None:
    """By when they fell due, then by number."""
    third = await queued(queue, "a", START + 2)
    first, second = [await queued(queue, "a", START + 1) for _ in range(2)]
    await queued(queue, "b", START + 9)
    order = [(await taken(queue, 1, START + 3))[0].number for _ in range(3)]
    assert order == [first, second, third]


async def test_a_job_that_is_not_due_is_not_claimed(queue: Queue) -> None:
    await queued(queue, "a")
    await queued(queue, "b", START + 5)
    work = await queue.take_work(9, START)
    assert (principals_of(work.claims), work.due_at) == ("a", START + 5)


async def test_due_at_is_the_least_of_all_principals(queue: Queue) -> None:
    for principal, at_s in (("a", 8), ("b", 5), ("", 7), ("b", 6)):
        await queued(queue, principal, START + at_s)
    assert (await queue.take_work(9, START)).due_at == START + 5
    await taken(queue, 9, START + 6)
    assert (await queue.take_work(9, START + 6)).due_at == START + 7


async def test_reserved_attempts_are_for_principals_with_fewer_running_jobs(queue: Queue) -> None:
    for principal in "aaaaaaaa":
        await queued(queue, principal)
    assert principals_of(await taken(queue, 6, reserved=2)) == "aaaa"
    assert await taken(queue, 2, reserved=2) == ()
    for principal in "bbb":
        await queued(queue, principal)
    assert principals_of(await taken(queue, 2, reserved=2)) == "bb"
    assert principals_of(await taken(queue, 3, reserved=2)) == "b", (
        "fewer running jobs than a, and one attempt beside the reserved ones"
    )
    assert principals_of(await taken(queue, 3, reserved=2)) == "a"


async def test_a_principal_that_is_alone_leaves_reserved_attempts(queue: Queue) -> None:
    for _ in range(3):
        await queued(queue, "a")
    assert len(await taken(queue, 3, reserved=1)) == 2
    assert len(await taken(queue, 3)) == 1


async def test_jobs_for_a_full_host_cost_their_principal_nothing(queue: Queue) -> None:
    """The jobs for the full host would be the next of either principal."""
    for principal, host in (("a", "place.test"), ("a", "place.test"), ("a", "good.test"), ("b", "place.test")):
        await queued(queue, principal, host=host)
    good = await queued(queue, "b", START + 1, host="good.test")
    claims = (await queue.take_work(2, START + 1, hosts=HostRoom(left={HOST: 0}))).claims
    assert principals_of(claims) == "ab"
    assert good in {claim.number for claim in claims}
    assert principals_of(await taken(queue, 9, START + 60)) == "aab"


@pytest.mark.parametrize("has_lease", [True, False])
async def test_lost_leases_and_dead_servers_leave_nobody_charged(house: House, has_lease: bool) -> None:
    queue = await house.open()
    for principal in "aaab":
        await queued(queue, principal)
    await taken(queue, 3)
    if not has_lease:
        queue = await house.open(config=Config(min_free_disk_bytes=0))
    assert principals_of(await taken(queue, 2, START + 61)) == "ab"


async def test_an_entry_tells_whose_it_is(queue: Queue) -> None:
    await queued(queue, "a")
    (claim,) = await taken(queue, 1)
    await queue.settle(ended(claim, "failed"), START)
    assert [owed.output.principal for owed in await due_entries(queue)] == ["a"]
