"""Render workers die at random, or are killed at their deadline; jobs end as they should and the others go on."""

import itertools
import os
import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from tests.chaos.gauges import Gauge, Spent
from tests.chaos.lane import KINDS, Lane
from tests.chaos.receiving import RED
from tests.support import pictures
from tests.support.daemon import wait_until
from tests.support.postgres_house import NewQueue
from tests.support.processes import workers
from tests.support.sizes import PATIENCE_S, Figures, sized

SEED = 77
MOST_JOBS = sized(500, 3000)
CALLERS = 3
KILLS = sized(10, 200)
SLOW = "slow.svg"
LARGE = "large.png"  # long enough under way to be hit


def ready_workers(server_pid: int) -> list[int]:
    """Those that have locked themselves in, which is the last thing a worker does before it works."""
    return [pid for pid in workers(server_pid) if is_locked_in(pid)]


def is_locked_in(pid: int) -> bool:
    try:
        return "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


class Killer:
    """SIGKILL to a random worker again and again, ``count`` times so far: KILLS times, and until one has hit a job."""

    def __init__(self, server_pid: int, rng: random.Random, has_hit: Callable[[], bool]) -> None:
        self._server_pid = server_pid
        self._rng = rng
        self._has_hit = has_hit
        self._stop = threading.Event()
        self.count = 0
        self.is_done = False

    def kill(self) -> None:
        while not self._stop.wait(self._rng.uniform(0.05, 0.3)):
            self.is_done = self.count >= KILLS and self._has_hit()
            if self.is_done:
                return
            pids = ready_workers(self._server_pid)
            if pids:
                os.kill(self._rng.choice(pids), signal.SIGKILL)
                self.count += 1

    def stop(self) -> None:
        self._stop.set()


def test_jobs_survive_the_deaths_of_their_workers(tmp_path: Path, figures: Figures, new_queue: NewQueue) -> None:
    large = pictures.encoded(Image.new("RGB", (3000, 2250), RED), "png")
    with (
        Lane(tmp_path / "lane", workers=2, extra_sources={LARGE: large}, queue=new_queue()) as lane,
        ThreadPoolExecutor(CALLERS + 1) as threads,
    ):
        killer = Killer(
            lane.daemon.pid,
            random.Random(SEED),
            lambda: any(entry.crashes for entry in lane.entries(range(MOST_JOBS))),
        )
        jobs = [
            lane.job(number, lane.place(KINDS[number % 4], f"p{number}"), f"plain/{LARGE}")
            for number in range(MOST_JOBS)
        ]
        numbers = itertools.count()

        def call() -> None:
            while not killer.is_done and (number := next(numbers)) < MOST_JOBS:
                insist(lane, jobs[number])

        try:
            killing = threads.submit(killer.kill)
            for caller in [threads.submit(call) for _ in range(CALLERS)]:
                caller.result()
            lane.until_ended(range(MOST_JOBS))
        finally:
            killer.stop()
        killing.result()
        assert killer.count >= KILLS, "too few workers were killed"
        entries = lane.entries(range(MOST_JOBS))
        faults = lane.faults([entry.job for entry in entries])
        assert not faults, "\n".join(faults)
        assert any(entry.crashes for entry in entries), "no death hit a job"
        for entry in entries:
            assert entry.attempts == 0, f"a worker's death was charged to the job: {entry}"
            is_poison = (entry.status, entry.error, entry.crashes) == ("failed", "poison", 3)
            assert is_poison or (entry.status == "succeeded" and entry.crashes < 3), entry
    figures("workers killed", killer.count)
    figures("jobs", len(entries))
    figures("jobs that met a death", sum(entry.crashes > 0 for entry in entries))


def insist(lane: Lane, job: object) -> None:
    """Ask again when the worker died that was to look at the source, as the answer says."""
    while True:
        reply = lane.post(job)
        assert reply is not None
        if "dstURL" in reply.body:
            return
        assert str(reply.body["detail"]).endswith("(try again)"), reply.body


@pytest.mark.parametrize("deadline_s", [PATIENCE_S, 1.0], ids=["before it", "after it"])
def test_a_render_deadline_costs_only_its_own_job(tmp_path: Path, deadline_s: float) -> None:
    """It has one attempt at its picture, since its time for all attempts is over by then."""
    switches = {"svg_timeout_s": deadline_s, "render_timeout_s": PATIENCE_S, "probe_timeout_s": PATIENCE_S}
    switches["deadline_s"] = deadline_s
    with Lane(tmp_path / "lane", workers=2, extra_sources={SLOW: pictures.slow_svg()}, switches=switches) as lane:
        spent = Spent(ready_workers(lane.daemon.pid))
        slow = lane.place("put", "slow")
        lane.accept({**lane.job(0, slow, f"plain/{SLOW}"), "operationType": "rasterize"})
        others = range(1, 9)
        for number in others:
            lane.accept(lane.job(number, lane.place(KINDS[number % 4], f"p{number}"), f"plain/good-{number}.png"))
        with Gauge(spent.look, 0.02):
            lane.until_ended(others if deadline_s == PATIENCE_S else range(9))
        assert {(entry.status, entry.attempts) for entry in lane.entries(others)} == {("succeeded", 0)}
        (end,) = lane.entries([0])
        if deadline_s == PATIENCE_S:
            assert end.status == "running", "the others waited for it"
            return
        assert (end.status, end.error, end.outbox) == ("failed", "deadline", "done")
        assert spent.most_s < 2 * deadline_s, "its worker went on"
        wait_until(lambda: not lane.faults(range(9)))
