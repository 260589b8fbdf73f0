"""Hundreds of jobs and many a kill -9 of the server at random moments; callers ask again until they have an answer."""

import queue
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.chaos.lane import KINDS, Lane
from tests.support.daemon import wait_until
from tests.support.postgres_house import NewQueue
from tests.support.sizes import IS_FULL, PATIENCE_S, Figures, sized

SEED = 2011
JOBS = sized(120, 2000)
KILLS = sized(5, 100)
CALLERS = 8
BROKEN_PER_CENT = 6
PLACES_OF_A_KIND = sized(6, 40)


class Order(NamedTuple):
    number: int
    body: dict[str, object]


class Callers:
    """Posts all orders, some at a time. ``answered`` grows, ``dropped`` counts posts that got no answer."""

    def __init__(self, lane: Lane, orders: list[Order]) -> None:
        self._lane = lane
        self._waiting: queue.SimpleQueue[Order] = queue.SimpleQueue()
        for order in orders:
            self._waiting.put(order)
        self._turn = threading.Lock()
        self.server_is_up = threading.Event()
        self.answered = 0
        self.dropped = 0
        self.refused: list[object] = []

    def call(self) -> None:
        while True:
            try:
                order = self._waiting.get_nowait()
            except queue.Empty:
                return
            self._insist(order)

    def wait_for(self, answered: int, every_s: float) -> None:
        wait_until(lambda: self.answered >= answered, PATIENCE_S, every_s)

    def _insist(self, order: Order) -> None:
        while True:
            assert self.server_is_up.wait(PATIENCE_S)
            reply = self._lane.post(order.body)
            with self._turn:
                if reply is None:
                    self.dropped += 1
                elif reply.body.get("code") != 301:
                    self.answered += 1
                    self.refused += [] if "dstURL" in reply.body else [(order.number, reply.body)]
                    return


def make_orders(lane: Lane, rng: random.Random, jobs: int = JOBS) -> list[Order]:
    """Mixed destinations, several jobs to most of them; a few sources are broken."""
    orders = []
    for number in range(jobs):
        kind = KINDS[number % 4]
        place = lane.place(kind, f"{kind}-{rng.randrange(PLACES_OF_A_KIND)}")
        word = "broken" if rng.randrange(100) < BROKEN_PER_CENT else "good"
        orders.append(Order(number, lane.job(number, place, f"plain/{word}-{number}.png")))
    return orders


def test_jobs_survive_random_kills(tmp_path: Path, figures: Figures, new_queue: NewQueue) -> None:
    rng = random.Random(SEED)
    kill_at = sorted(rng.sample(range(10, JOBS - 20), KILLS))
    with Lane(tmp_path / "lane", workers=2, queue=new_queue()) as lane, ThreadPoolExecutor(CALLERS) as threads:
        callers = Callers(lane, make_orders(lane, rng))
        callers.server_is_up.set()
        calls = [threads.submit(callers.call) for _ in range(CALLERS)]
        for target in kill_at:
            callers.wait_for(target, every_s=rng.uniform(0.001, 0.05))
            assert lane.daemon.is_running
            callers.server_is_up.clear()
            lane.daemon.kill()
            lane.daemon.start()
            callers.server_is_up.set()
        for call in calls:
            call.result(PATIENCE_S)
        assert callers.refused == []
        lane.until_ended(range(JOBS), timeout_s=3 * PATIENCE_S)
        faults = lane.faults(range(JOBS))
        assert not faults, "\n".join(faults)
        ends = Counter(entry.status for entry in lane.entries(range(JOBS)))
        assert set(ends) == {"succeeded", "failed", "superseded"}, ends
        assert callers.dropped >= KILLS, "the kills met nobody"
        assert "adopted" in lane.daemon.log or not IS_FULL, "no caller found its first job again"
    figures("kills", KILLS)
    figures("ends", dict(ends))
    figures("posts that met a kill", callers.dropped)
