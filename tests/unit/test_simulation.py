"""The simulation of ``bench.scale`` against queues whose times are known exactly."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from statistics import mean

import pytest
from bench.cluster import Demand, Layout, Times, predicted
from bench.simulation import Batches, Process, Processors, run

CUSTOMERS = 10_000
TIMES = Times(
    api_cpu_ms=1,
    intake_worker_cpu_ms=1,
    runner_cpu_ms=2,
    worker_cpu_ms=10,
    harness_cpu_ms=0,
    transaction_cpu_ms=0.1,
    commit_cpu_ms=0.1,
    empty_claim_cpu_ms=0.1,
    round_trips=2,
    round_trip_ms=0.05,
    flush_ms=0.5,
    notify_cpu_ms=0.05,
    listener_us=12,
)


async def times_at(station: Callable[[float], Awaitable[None]], per_second: float) -> list[float]:
    """How long each customer stays whose arrivals are Poisson and whose work is exponential, one second on average."""
    loop, chance = asyncio.get_running_loop(), random.Random(5)

    async def customer() -> float:
        came_at = loop.time()
        await station(chance.expovariate(1.0))
        return loop.time() - came_at

    customers = []
    for _ in range(CUSTOMERS):
        await asyncio.sleep(chance.expovariate(per_second))
        customers.append(asyncio.create_task(customer()))
    return await asyncio.gather(*customers)


def erlang_c(servers: int, load: float) -> float:
    """The probability that a customer of M/M/c waits (Erlang 1917); ``load`` is arrivals by service time."""
    waiting = load**servers / math.factorial(servers) * servers / (servers - load)
    return waiting / (sum(load**n / math.factorial(n) for n in range(servers)) + waiting)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (2, 1.4), (8, 6.0)])
def test_threads_on_cores_enough_wait_as_erlang_says(servers: int, load: float) -> None:
    async def measured() -> list[float]:
        return await times_at(Process(Processors(servers), servers).work, load)

    assert mean(run(measured())) == pytest.approx(1 + erlang_c(servers, load) / (servers - load), rel=0.06)


def test_shared_processors_slow_all_their_tasks() -> None:
    """M/M/1 with processor sharing: the mean is that of first come, first served; long tasks bear their part of it."""

    async def measured() -> list[float]:
        return await times_at(Processors(1).work, 0.6)

    assert mean(run(measured())) == pytest.approx(1 / (1 - 0.6), rel=0.06)


def test_tasks_share_cores_equally() -> None:
    async def ends() -> list[float]:
        cores, loop = Processors(2), asyncio.get_running_loop()

        async def task(cpu_s: float) -> float:
            await cores.work(cpu_s)
            return loop.time()

        return await asyncio.gather(*map(task, (1.0, 2.0, 3.0)))

    # At 2/3 until the first ends; then the two have a core each.
    assert run(ends()) == pytest.approx([1.5, 2.5, 3.5])


def test_what_comes_during_a_commit_shares_the_next() -> None:
    sizes: list[int] = []

    async def commit(kinds: Mapping[str, int]) -> None:
        sizes.append(sum(kinds.values()))
        await asyncio.sleep(1)

    async def ends() -> list[float]:
        batches, loop = Batches(commit, most=3), asyncio.get_running_loop()

        async def entry(at_s: float) -> float:
            await asyncio.sleep(at_s)
            await batches.join("x")
            return loop.time()

        return await asyncio.gather(*map(entry, (0.0, 0.25, 0.25, 0.5, 0.5)))

    assert run(ends()) == pytest.approx([1, 2, 2, 2, 3])
    assert sizes == [1, 3, 1]


def test_coroutines_that_wait_for_each_other_are_an_error() -> None:
    with pytest.raises(RuntimeError, match="stands still"):
        run(asyncio.Event().wait())


def test_a_cluster_of_workers_does_what_they_can() -> None:
    """10 ms of a worker each: two nodes with two workers have a capacity of 400 jobs a second."""
    layout = Layout(2, api_nodes=2, cores=4, workers=2)
    assert predicted(TIMES, layout, Demand(2000, under_way=100)).observed.per_second == pytest.approx(400, rel=0.03)


def test_on_one_machine_the_cores_are_shared() -> None:
    """More runners than cores change nothing but what they cost."""
    two, four = (
        predicted(TIMES, Layout(runners, is_one_machine=True), Demand(2000, under_way=64)).observed
        for runners in (2, 4)
    )
    cpu_ms = 1 + 1 + 2 + 10  # without the database's
    assert 0.9 * 2000 / (cpu_ms + 1.5) < two.per_second < 2000 / cpu_ms
    assert 0.9 * two.per_second < four.per_second <= two.per_second


def test_an_idle_cluster_costs_empty_claims_where_a_job_wakes_all() -> None:
    all_wake, one_wakes = (predicted(TIMES, Layout(20, wakes=wakes), Demand(500, per_second=20.0)) for wakes in (0, 1))
    assert all_wake.empty_claims_per_job > 10
    assert one_wakes.empty_claims_per_job < 2
