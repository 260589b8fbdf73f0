"""Claims: leases, heartbeats, tokens, and how an attempt ends."""

import asyncio

import msgspec

from imgserve.errors import Charge
from imgserve.jobs.model import OutputResult, Settlement
from imgserve.jobs.protocol import Queue
from tests.support.queues import GRANTED, KEY, LOST, START, House, claimed, ended, final_of, output, released
from tests.support.sizes import FOREVER_S, PATIENCE_S

LEASE_S = 60.0
OTHER = "http://place.test:80/b.png"


async def test_a_claimed_job_is_not_claimed_again_while_its_lease_holds(queue: Queue) -> None:
    await released(queue)
    await claimed(queue)
    work = await queue.take_work(10, START + LEASE_S - 1)
    assert work.claims == ()
    assert work.due_at == START + LEASE_S


async def test_an_expired_lease_is_claimed_again_uncharged(queue: Queue) -> None:
    await released(queue)
    old = await claimed(queue)
    new = await claimed(queue, START + LEASE_S + 1)
    assert new.token > old.token
    assert (new.outputs[0].attempts, new.outputs[0].crashes) == (0, 0)


async def test_a_heartbeat_prolongs_a_lease(queue: Queue) -> None:
    await released(queue)
    claim = await claimed(queue)
    assert await queue.heartbeat((claim,), START + 50) == {claim.number}
    assert (await queue.take_work(1, START + 100)).claims == ()
    assert await queue.acquire(final_of(claim), START + 100) == GRANTED


async def test_a_heartbeat_tells_which_claims_are_lost(queue: Queue) -> None:
    await released(queue, output(KEY))
    await released(queue, output(OTHER))
    both = (await queue.take_work(2, START)).claims
    await queue.heartbeat(both[:1], START + 50)
    again = await claimed(queue, START + LEASE_S + 1)
    assert again.number == both[1].number
    assert await queue.heartbeat(both, START + LEASE_S + 2) == {both[0].number}


async def test_a_stale_token_may_do_nothing(queue: Queue) -> None:
    await released(queue)
    stale = await claimed(queue)
    fresh = await claimed(queue, START + LEASE_S + 1)
    now = START + LEASE_S + 2
    assert await queue.acquire(final_of(stale), now) == LOST
    assert not await queue.record(ended(stale, "delivered"), now)
    assert not await queue.settle(ended(stale, "failed"), now)
    assert await queue.heartbeat((stale,), now) == frozenset()
    assert await queue.acquire(final_of(fresh), now) == GRANTED
    assert await queue.settle(ended(fresh, "delivered"), now)


async def test_an_expired_lease_may_not_write_even_if_nobody_took_the_job(queue: Queue) -> None:
    await released(queue)
    claim = await claimed(queue)
    assert await queue.acquire(final_of(claim), START + LEASE_S + 1) == LOST


async def test_a_settled_claim_may_do_nothing_more(queue: Queue) -> None:
    await released(queue)
    claim = await claimed(queue)
    assert await queue.settle(ended(claim, "delivered"), START)
    assert await queue.acquire(final_of(claim), START) == LOST
    assert not await queue.settle(ended(claim, "delivered"), START)


async def test_a_new_owner_voids_leases_at_once_uncharged(house: House) -> None:
    queue = await house.open()
    await released(queue)
    old = await claimed(queue)
    queue = await house.open(START + 1)
    new = await claimed(queue, START + 1)
    assert new.token > old.token
    assert (new.outputs[0].attempts, new.outputs[0].crashes) == (0, 0)
    assert not await queue.settle(ended(old, "delivered"), START + 1)


async def test_a_retry_waits_and_is_charged_as_told(queue: Queue) -> None:
    await released(queue)
    expected: list[tuple[Charge, int, int]] = [("attempt", 1, 0), ("crash", 1, 1), ("none", 1, 1)]
    now = START
    tokens = []
    for charge, attempts, crashes in expected:
        claim = await claimed(queue, now)
        result = OutputResult(claim.outputs[0].id, "retry", charge, now + 10)
        await queue.settle(Settlement(claim.number, claim.token, (result,)), now)
        early = await queue.take_work(1, now + 9)
        assert early.claims == ()
        assert early.due_at == now + 10
        now += 10
        again = await claimed(queue, now)
        tokens += [claim.token, again.token]
        assert (again.outputs[0].attempts, again.outputs[0].crashes) == (attempts, crashes)
        await queue.settle(ended(again, "retry", retry_at=now), now)
    assert tokens == sorted(set(tokens))


async def test_an_attempt_given_back_is_due_at_once(queue: Queue) -> None:
    await released(queue)
    claim = await claimed(queue)
    await queue.settle(ended(claim, "retry", retry_at=START), START)
    await queue.wait_for_work(FOREVER_S)
    assert (await claimed(queue)).outputs[0].attempts == 0


async def test_a_repeat_is_remembered_across_reopening(house: House) -> None:
    queue = await house.open()
    await released(queue, state="unknown")
    claim = await claimed(queue)
    assert not claim.outputs[0].is_repeat
    await queue.settle(ended(claim, "repeat", retry_at=START + 60), START)
    queue = await house.open(START + 60)
    again = await claimed(queue, START + 60)
    assert again.outputs[0].is_repeat
    assert await queue.settle(ended(again, "delivered"), START + 60)
    assert (await queue.take_work(10, START + 1e6)).claims == ()


async def test_outputs_that_ended_are_not_run_again(queue: Queue) -> None:
    entry = await released(queue, output(KEY), output(OTHER))
    claim = await claimed(queue)
    assert await queue.settle(ended(claim, "delivered", "retry", retry_at=START), START)
    again = await claimed(queue)
    assert [place.id for place in again.outputs] == [entry.outputs[1].id]
    await queue.settle(ended(again, "delivered"), START)
    assert (await queue.counts()).waiting == 0


async def test_what_was_recorded_survives_the_attempt(house: House) -> None:
    queue = await house.open()
    entry = await released(queue, output(KEY), output(OTHER))
    claim = await claimed(queue)
    first = msgspec.structs.replace(ended(claim, "delivered"), results=ended(claim, "delivered").results[:1])
    assert await queue.record(first, START)
    queue = await house.open()
    assert [place.id for place in (await claimed(queue)).outputs] == [entry.outputs[1].id]


async def test_nothing_is_due_when_everything_has_ended(queue: Queue) -> None:
    await released(queue)
    await queue.settle(ended(await claimed(queue), "delivered"), START)
    assert (await queue.take_work(10, START)).due_at is None


async def test_each_output_has_attempts_and_times_of_its_own(queue: Queue) -> None:
    entry = await released(queue, output(KEY), output("http://far.test:80/b.png"))
    first, second = (place.id for place in entry.outputs)
    claim = await claimed(queue)
    results = (OutputResult(first, "retry", "attempt", START + 10), OutputResult(second, "retry", "crash", START + 5))
    await queue.settle(Settlement(claim.number, claim.token, results), START)
    work = await queue.take_work(1, START + 4)
    assert (work.claims, work.due_at) == ((), START + 5)
    alone = await claimed(queue, START + 6)
    assert [(place.id, place.attempts, place.crashes) for place in alone.outputs] == [(second, 0, 1)]
    await queue.settle(ended(alone, "retry", retry_at=START + 9), START + 6)
    both = await claimed(queue, START + 10)
    assert [place.id for place in both.outputs] == [second], "it was due first, and its time is its own"
    await queue.settle(ended(both, "delivered"), START + 10)
    last = await claimed(queue, START + 10)
    assert [(place.id, place.attempts, place.crashes) for place in last.outputs] == [(first, 1, 0)]


async def test_outputs_for_one_host_share_a_claim_once_they_are_due(queue: Queue) -> None:
    entry = await released(queue, output(KEY), output("http://place.test:80/second.png"))
    claim = await claimed(queue)
    results = tuple(OutputResult(place.id, "retry", "attempt", START + i) for i, place in enumerate(claim.outputs))
    await queue.settle(Settlement(claim.number, claim.token, results), START)
    assert [place.id for place in (await claimed(queue, START + 1)).outputs] == [place.id for place in entry.outputs]


async def test_a_settlement_wakes_the_runner_for_the_outputs_that_wait(queue: Queue) -> None:
    await released(queue, output(KEY), output(OTHER))
    claim = await claimed(queue)
    first, second = (place.id for place in claim.outputs)
    results = (OutputResult(first, "retry", due_at=START + 5), OutputResult(second, "retry", due_at=START + 50))
    await queue.settle(Settlement(claim.number, claim.token, results), START)
    again = await claimed(queue, START + 5)
    await queue.wait_for_work(0.0)
    waiting = asyncio.create_task(queue.wait_for_work(FOREVER_S))
    await queue.settle(ended(again, "delivered"), START + 5)
    await asyncio.wait_for(waiting, PATIENCE_S)
    assert (await queue.take_work(1, START + 5)).due_at == START + 50
