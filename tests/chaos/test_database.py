"""Nodes lose their database while they take jobs and carry them out: nothing accepted is lost, each job ends once."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.chaos.cluster import LEASE_S, LOOPBACK, Cluster, Pair
from tests.chaos.lane import KINDS
from tests.chaos.test_kills import Callers, Order
from tests.support.daemon import wait_until
from tests.support.netns import Namespace
from tests.support.sizes import PATIENCE_S, Figures, sized

SEED = 1305
CALLERS = 4
HELD = 6
# Of one time that it is away.
JOBS = sized(12, 40)
KILLS = sized(1, 40)
PROMOTIONS, CLAIMS = sized(1, 10), sized(16, 200)
FREEZES = sized(1, 10)
BROKEN_PER_CENT = 6
PLACES_OF_A_KIND = sized(3, 12)
LONGEST_PAUSE_S = sized(0.1, 2.0)
# The time-outs end within a lease.
FROZEN_S = sized(0.5, 1.5) * LEASE_S


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
        for order in held:
            self.cluster.accept(order.body)
        wait_until(lambda: any(self.cluster.running_on(node) for node in self.cluster.nodes))
        callers = Callers(self.cluster, [self._order(self._place(), self._source()) for _ in range(jobs)])
        callers.server_is_up.set()
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


def test_jobs_survive_the_promotion_of_the_standby(cluster: Cluster, figures: Figures) -> None:
    """The primary does not come back: its place is a new standby's."""
    trial = Trial(cluster, SEED + 2)
    for _ in range(PROMOTIONS):
        cluster.pair.add_standby()
        trial.round(CLAIMS, cluster.pair.primary.kill, cluster.pair.promote)
    trial.judge(figures)
    assert trial.refused, "no post came while there was none"
    figures("promotions", PROMOTIONS)
