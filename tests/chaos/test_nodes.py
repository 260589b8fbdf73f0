"""Nodes die at every failpoint or stand still beyond their lease; others go on, by what the receivers were sent."""

import itertools
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from imgserve import failpoint
from tests.chaos.fleet import Fleet
from tests.chaos.lane import KINDS, Kind
from tests.chaos.test_kills import CALLERS, Callers, make_orders
from tests.support.postgres_house import NewQueue
from tests.support.sizes import PATIENCE_S, Figures, sized

SEED = 2013
JOBS, KILLS = 600, 40
PLACES: tuple[Kind, ...] = sized(("put",), ("file", "ftp", "put", "s3"))


class Case(NamedTuple):
    point: str
    kind: Kind

    def __str__(self) -> str:
        return "-".join(self)

    @property
    def word(self) -> str:
        """Whether the job ends well, or has a failure picture to send."""
        return "broken" if self.point.startswith("failed_") else "good"


# Messages and uploads have their own tests. A runner's end after the settlement leaves nothing to take over.
POINTS = [point for point in failpoint.NAMES if not point.startswith(("webhook_", "upload_", "cache_"))]
EVERY = [
    Case(point, kind)
    for point, kind in itertools.product(POINTS, (*KINDS, "s3"))
    if point != "file_written" or kind == "file"
]
CASES = sized([Case("placeholder_sent", "file"), Case("final_sent", "put")], EVERY)


@pytest.fixture(scope="module")
def fleet(new_database: NewQueue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet"), new_database(), has_bucket=sized(False, True)) as fleet:
        yield fleet


@pytest.mark.parametrize("case", CASES, ids=str)
def test_others_go_on_where_a_node_died(case: Case, fleet: Fleet) -> None:
    """The client comes back, to another node, once the dead one's jobs are taken over."""
    number = len(fleet.posted)
    job = fleet.job(number, fleet.place(case.kind, str(case)), f"plain/{case.word}-{number}.png")
    fleet.arm(case.point)
    reply = fleet.post(job)
    dead = fleet.until_one_died()
    try:
        fleet.take_over_from(dead)
        if reply is None:
            fleet.accept(job)
        assert len(fleet.entries([number])) == 1, "the second post made a second job"
        fleet.until_ended([number])
        assert fleet.faults([number]) == []
    finally:
        dead.start()


@pytest.mark.parametrize("kind", PLACES)
def test_a_node_that_wakes_after_its_lease_starts_no_write(kind: Kind, fleet: Fleet) -> None:
    number = len(fleet.posted)
    place = fleet.place(kind, f"frozen-{kind}")
    fleet.accept(fleet.job(number, place, f"held/good-{number}.png"))
    fleet.until(number, lambda entry: entry.status == "running")
    (entry,) = fleet.entries([number])
    frozen = fleet.runner_of(entry.number)
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        fleet.take_over_from(frozen)
        fleet.sources.release(f"good-{number}.png")
        fleet.until_ended([number])
    finally:
        fleet.wake(frozen)
    assert [write.kind for write in fleet.writes_to(place)] == ["placeholder", "final"]
    assert fleet.faults([number]) == []


@pytest.mark.full_size
@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("point", ["final_locked", "final_sent"])
def test_a_node_that_stood_still_in_a_write_ends_that_one_at_most(point: str, kind: Kind, fleet: Fleet) -> None:
    """It is the write of the newest job, so that nothing has to be put right."""
    earlier, number = len(fleet.posted), len(fleet.posted) + 1
    place = fleet.place(kind, f"frozen-{point}-{kind}")
    fleet.accept(fleet.job(earlier, place, f"plain/good-{earlier}.png"))
    fleet.until_ended([earlier])
    fleet.arm(f"stop at {point}")
    fleet.accept(fleet.job(number, place, f"plain/good-{number}.png"))
    frozen = fleet.until_one_froze()
    try:
        fleet.take_over_from(frozen)
        fleet.until_ended([number])
    finally:
        fleet.wake(frozen)
    fleet.until_ended([earlier, number])
    assert fleet.faults([earlier, number]) == []
    assert 1 <= [write[1:] for write in fleet.writes_to(place)].count((number, "final")) <= 2


@pytest.mark.parametrize("kind", [kind for kind in PLACES if kind != "s3"])
def test_the_newest_final_is_sent_again_after_a_late_older_one(kind: Kind, fleet: Fleet) -> None:
    """The older write was past its checks when its node froze, and ends over the newer final."""
    older, newer = len(fleet.posted), len(fleet.posted) + 1
    place = fleet.place(kind, f"late-{kind}")
    fleet.arm("stop at final_locked")
    fleet.accept(fleet.job(older, place, f"plain/good-{older}.png"))
    frozen = fleet.until_one_froze()
    try:
        fleet.take_over_from(frozen)
        fleet.accept(fleet.job(newer, place, f"plain/good-{newer}.png"))
        fleet.until_ended([older, newer])
        before = fleet.writes_to(place)
        assert before[-1][1:] == (newer, "final")
    finally:
        fleet.wake(frozen)
    fleet.until_ended([older, newer])
    late = [write[1:] for write in fleet.writes_to(place)[len(before) :]]
    # Its next heartbeat may break the write off.
    assert late in ([], [(newer, "final")], [(older, "final"), (newer, "final")])


@pytest.mark.full_size
def test_jobs_survive_random_kills_of_nodes(new_database: NewQueue, tmp_path: Path, figures: Figures) -> None:
    """kill -9 of an API node or a runner, which comes back when others have taken over. Callers ask again then."""
    rng = random.Random(SEED)
    kill_at = sorted(rng.sample(range(JOBS // 4, JOBS - CALLERS), KILLS))
    with Fleet(tmp_path / "fleet", new_database()) as fleet, ThreadPoolExecutor(CALLERS) as threads:
        callers = Callers(fleet, make_orders(fleet, rng, JOBS))
        callers.server_is_up.set()
        calls = [threads.submit(callers.call) for _ in range(CALLERS)]
        for target in kill_at:
            callers.wait_for(target, every_s=rng.uniform(0.001, 0.05))
            victim = rng.choice(fleet.nodes)
            callers.server_is_up.clear()
            victim.kill()
            fleet.daemon = next(node for node in fleet.api_nodes if node is not victim)
            fleet.take_over_from(victim)
            victim.start()
            callers.server_is_up.set()
        for call in calls:
            call.result(PATIENCE_S)
        assert callers.refused == []
        fleet.until_ended(range(JOBS), timeout_s=3 * PATIENCE_S)
        faults = fleet.faults(range(JOBS))
        assert not faults, "\n".join(faults)
        ends = Counter(entry.status for entry in fleet.entries(range(JOBS)))
    figures("kills", KILLS)
    figures("ends", dict(ends))
    figures("posts that met a kill", callers.dropped)
