"""SVGs whose document type gives every element 1,500 attributes in namespaces, twenty at once, while somebody else's
jobs go on: expat needs seconds for one, so each must be broken off soon.
"""

import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.chaos.gauges import Spent
from tests.chaos.lane import Lane
from tests.chaos.test_workers import ready_workers
from tests.hostile.neighbours import Ends, Neighbour, Times, compare
from tests.support.sizes import Figures, sized

DOCUMENTS = sized(8, 20)
ROUNDS, ROUND_S = sized(1, 10), sized(0.5, 6.0)
WORKER_CPU_S = 0.5  # for each document: 0.2 s of parsing, and what comes before


def listed(attributes: int, elements: int) -> bytes:
    """60 KB."""
    lists = "".join(f"<!ATTLIST g a{number}:x CDATA ''>" for number in range(attributes))
    spaces = " ".join(f'xmlns:a{number}="u{number}"' for number in range(attributes))
    size = 'xmlns="http://www.w3.org/2000/svg" width="90" height="60"'
    return f"<!DOCTYPE svg [{lists}]><svg {size} {spaces}>{'<g/>' * elements}</svg>".encode()


def goes_on(posts: list[Future[str]], ends_at: float) -> bool:
    return time.monotonic() < ends_at or not all(post.done() for post in posts)


def test_others_go_on_beside_lists_of_attributes(tmp_path: Path, figures: Figures) -> None:
    alone: list[Times] = []
    beside: list[Times] = []
    answers: Counter[str] = Counter()
    with (
        Lane(tmp_path, workers=2, extra_sources={"listed": listed(1500, 200)}) as lane,
        ThreadPoolExecutor(DOCUMENTS) as threads,
    ):
        log = Ends()
        lane.web.log = log
        neighbour = Neighbour(lane, log)
        neighbour.call_for(ROUND_S)
        spent = Spent(ready_workers(lane.daemon.pid))

        def post(number: int) -> str:
            place = lane.place("put", f"listed-{number}")
            job = {**lane.job(number, place, "plain/listed"), "args": {"width": 64, "height": 48, "method": "PUT"}}
            return str(lane.daemon.post(job, timeout_s=60).body["code"])

        for turn in range(ROUNDS):
            alone += neighbour.call_for(ROUND_S)
            posts = [threads.submit(post, 100 + turn * DOCUMENTS + number) for number in range(DOCUMENTS)]
            beside += neighbour.call_while(partial(goes_on, posts, time.monotonic() + ROUND_S))
            answers.update(one.result() for one in posts)
        spent.look()
    assert answers == {"204": ROUNDS * DOCUMENTS}
    assert spent.most_s < ROUNDS * (DOCUMENTS * WORKER_CPU_S + 2 * ROUND_S)
    figures("documents", answers.total())
    compare(figures, alone, beside)
    figures("CPU seconds of the worker that worked most", round(spent.most_s, 1))
