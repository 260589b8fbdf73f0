"""Nodes lose their database while they take jobs and carry them out: nothing accepted is lost, each job ends once."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.chaos.cluster import LEASE_S, LOOPBACK, Cluster, Pair
from tests.chaos.lane import KINDS, Place
from tests.chaos.test_kills import Callers, Order
from tests.support.daemon import wait_until
from tests.support.netns import Link, Namespace
from tests.support.sizes import PATIENCE_S, Figures, sized

SEED = 1305
CALLERS = 4
HELD = 6
# Of one time that it is away.
JOBS = sized(12, 40)
KILLS = sized(1, 20)
PROMOTIONS, CLAIMS = sized(1, 5), sized(16, 200)
PARTITIONS, FREEZES = sized(1, 5), sized(1, 5)
BROKEN_PER_CENT = 6
PLACES_OF_A_KIND = sized(3, 12)
LONGEST_PAUSE_S = sized(0.1, 2.0)
# The time-outs end within a lease.
FROZEN_S = sized(0.5, 1.5) * LEASE_S
LOCKED = """
import sys, time
from imgserve.jobs.postgres.address import Address
from imgserve.jobs.postgres.link import connect
link = connect(Address(sys.argv[1]))
with link.pipeline():
    print(link.execute("SELECT 'locked' FROM pg_advisory_xact_lock(7)").fetchone()[0], flush=True)
    time.sleep(120)
"""


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace | None]:
    """One link to the database, and one to all others. None: this user cannot have it."""
    if os.geteuid() != 0:
        yield None
        return
    with Namespace(links=2) as namespace:
        yield namespace


@pytest.fixture(scope="module")
def cluster(namespace: Namespace | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    host = LOOPBACK if namespace is None else namespace.links[0].outside
    with ExitStack() as held:
        pair = held.enter_context(Pair(host))
        yield held.enter_context(Cluster(tmp_path_factory.mktemp("cluster"), pair, namespace))


@pytest.fixture
def database(namespace: Namespace | None) -> Link:
    """The second node's."""
    if namespace is None:
        pytest.skip("only root can make a network namespace")
    return namespace.links[0]


class Trial:
    """Jobs that come while the database goes away and comes back, and what became of them."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.chance = random.Random(seed)
        self.numbers: list[int] = []
        self._refused_before = cluster.refused

    def round(self, jobs: int, away: Callable[[], None], back: Callable[[], None]) -> None:
        """Some jobs are running when it goes. Their sources, which are held, come while it is away."""
        held = [self._order(f"held-{len(self.numbers)}", "held/good") for _ in range(HELD)]
        self._callers(held).call()
        wait_until(lambda: all(self.cluster.running_on(node) for node in self.cluster.nodes))
        callers = self._callers([self._order(self._place(), self._source()) for _ in range(jobs)])
        with ThreadPoolExecutor(CALLERS) as threads:
            calls = [threads.submit(callers.call) for _ in range(CALLERS)]
            callers.wait_for(self.chance.randrange(1, jobs // 2), 0.003)
            away()
            for order in held:
                self.cluster.sources.release(f"good-{order.number}.png")
            time.sleep(self.chance.uniform(0, LONGEST_PAUSE_S))
            back()
            for call in calls:
                call.result(PATIENCE_S)
        assert callers.refused == []
        assert callers.dropped == 0, "a node has ended"

    def _callers(self, orders: list[Order]) -> Callers:
        callers = Callers(self.cluster, orders)
        callers.server_is_up.set()
        return callers

    def judge(self, figures: Figures) -> None:
        self.cluster.until_ended(self.numbers, timeout_s=3 * PATIENCE_S)
        faults = self.cluster.faults(self.numbers)
        assert not faults, "\n".join(faults)
        ends = Counter(entry.status for entry in self.cluster.entries(self.numbers))
        assert set(ends) <= {"succeeded", "failed", "superseded"}, ends
        figures("jobs", dict(ends))
        figures("posts that were to come again", self.refused)

    @property
    def refused(self) -> int:
        return self.cluster.refused - self._refused_before

    def _source(self) -> str:
        return f"plain/{'broken' if self.chance.randrange(100) < BROKEN_PER_CENT else 'good'}"

    def _place(self) -> str:
        return str(self.chance.randrange(PLACES_OF_A_KIND))

    def _order(self, place: str, source: str) -> Order:
        number = len(self.cluster.posted)
        self.numbers.append(number)
        kind = self.chance.choice(KINDS)
        there = self.cluster.place(kind, f"{kind}-{self.numbers[0]}-{place}")
        return Order(number, self.cluster.job(number, there, f"{source}-{number}.png"))


def test_jobs_survive_kills_of_the_database(cluster: Cluster, figures: Figures) -> None:
    """Its recovery brings back each commit that it has confirmed."""
    trial = Trial(cluster, SEED)
    for _ in range(KILLS):
        trial.round(JOBS, cluster.pair.primary.kill, cluster.pair.primary.start)
    trial.judge(figures)
    assert trial.refused, "no post came while it was away"
    figures("kills", KILLS)


def test_jobs_survive_a_database_that_stands_still(cluster: Cluster, figures: Figures) -> None:
    """Its connections stay open, and nobody answers until all nodes' leases are over."""
    trial = Trial(cluster, SEED + 1)
    connections = cluster.connections()

    def freeze() -> None:
        cluster.pair.primary.freeze()
        time.sleep(FROZEN_S)

    for _ in range(FREEZES):
        trial.round(JOBS, freeze, cluster.pair.primary.thaw)
    trial.judge(figures)
    assert cluster.connections() != connections, "nobody noticed"
    figures("stood still", f"{FREEZES} times for {FROZEN_S:g} s")


def test_jobs_survive_a_partition(cluster: Cluster, database: Link, figures: Figures) -> None:
    """One node loses the database for longer than its lease. The other one does its jobs before it comes back."""
    trial = Trial(cluster, SEED + 2)
    taken_over = [number for _ in range(PARTITIONS) for number in partitioned(trial, database)]
    trial.judge(figures)
    places = [cluster.posted[number] for number in taken_over]
    held = [place for place in places if "held" in place.name]  # others may have been written before
    assert {len(finals(cluster, place)) for place in held} == {1}, "it wrote without a claim"
    figures("partitions", PARTITIONS)
    figures("jobs taken over", len(taken_over))


def partitioned(trial: Trial, database: Link) -> set[int]:
    """The jobs that the second node was carrying out."""
    cluster, (_, second) = trial.cluster, trial.cluster.nodes
    lost: set[int] = set()

    def away() -> None:
        database.cut()
        lost.update(cluster.running_on(second))
        assert lost
        wait_until(lambda: not cluster.running_on(second))

    def back() -> None:
        cluster.until_ended(lost)
        database.mend()

    trial.round(JOBS, away, back)
    return lost


@pytest.mark.full_size
def test_locks_of_a_cut_connection_are_given_up(cluster: Cluster, namespace: Namespace | None, database: Link) -> None:
    """Also in the middle of a pipeline, where the database's own time-outs do not run."""
    assert namespace is not None
    program = [*namespace.command, sys.executable, "-c", LOCKED, cluster.pair.url]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"locked\n"
            database.cut()
            wait_until(lambda: cluster.stored.select("SELECT pg_try_advisory_lock(7)") == [(True,)], 30)
        finally:
            database.mend()
            holder.kill()


def finals(cluster: Cluster, place: Place) -> list[int]:
    return [write.job for write in cluster.writes_to(place) if write.kind == "final"]


def test_jobs_survive_the_promotion_of_the_standby(cluster: Cluster, figures: Figures) -> None:
    """The primary does not come back: its place is a new standby's."""
    trial = Trial(cluster, SEED + 4)
    for _ in range(PROMOTIONS):
        cluster.pair.add_standby()
        trial.round(CLAIMS, cluster.pair.primary.kill, cluster.pair.promote)
    trial.judge(figures)
    assert trial.refused, "no post came while there was none"
    figures("promotions", PROMOTIONS)
