"""Jobs of 1, 2 and 20 outputs of which one refuses its placeholder or its final: the server dies at every failpoint, or
again and again at random, and the promise holds for each output.

A refused job leaves nothing anywhere. An accepted one ends with every output for itself.
"""

import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from examples.receivers import Behaviour

from imgserve import failpoint
from tests.chaos.lane import Lane
from tests.chaos.outputs import State, entries_of, faults, is_over, native_job, post, prepared
from tests.chaos.test_workers import ready_workers
from tests.support.daemon import wait_until
from tests.support.native import Answer
from tests.support.postgres_house import NewQueue
from tests.support.sizes import Figures, sized

Disturbance = Callable[[Lane, Future[Answer | None], random.Random], None]
STATES: tuple[State, ...] = ("placeholder", "final")
COUNTS = (1, 2, 20)
ROUNDS = sized(1, 10)
# No row is on disk yet: a crash here leaves nothing behind.
BEFORE_THE_ROW = "intake_probed"
# With one output that refuses its placeholder nothing is written, and with one that refuses its final no final.
WRITTEN = frozenset({"placeholder_sent", "final_sent", "file_written", "failed_locked", "failed_sent", "failed_paid"})
OF_INTAKE = frozenset({"intake_probed", "intake_enqueued", "placeholder_locked", "placeholder_sent", "file_written"})


class Case(NamedTuple):
    point: failpoint.Name
    refuses: State
    outputs: int

    def __str__(self) -> str:
        return f"{self.point}-{self.refuses}-{self.outputs}"

    @property
    def is_reached(self) -> bool:
        if self.refuses == "placeholder":
            is_of_refusal = self.point in OF_INTAKE or self.point.startswith("failed_")
            return is_of_refusal and (self.outputs > 1 or self.point not in WRITTEN)
        return self.outputs > 1 or self.point not in ("final_sent", "file_written")


# A message concerns no output, and these jobs bring no picture: tests/service/test_webhooks.py and
# tests/service/test_uploads.py have their points.
POINTS = [point for point in failpoint.NAMES if not point.startswith(("webhook_", "upload_", "cache_"))]
CASES = [case for case in itertools.starmap(Case, itertools.product(POINTS, STATES, COUNTS)) if case.is_reached]


# Of each story those points at which some outputs are further than others.
FEW = [
    Case("placeholder_sent", "placeholder", 20),
    Case("file_written", "placeholder", 2),
    Case("failed_sent", "placeholder", 20),
    Case("intake_enqueued", "placeholder", 1),
    Case("intake_enqueued", "final", 20),
    Case("final_sent", "final", 20),
    Case("settled", "final", 2),
]


# A crash there leaves a job whose client has no answer.
ANSWERLESS = ("placeholder_sent", "intake_enqueued", "intake_released", "intake_answered")


@pytest.fixture(scope="module")
def lane(tmp_path_factory: pytest.TempPathFactory, new_queue: NewQueue) -> Iterator[Lane]:
    with Lane(tmp_path_factory.mktemp("outputs"), queue=new_queue()) as opened:
        yield opened


@pytest.mark.parametrize("case", sized(FEW, CASES), ids=str)
def test_each_output_keeps_the_promise(lane: Lane, case: Case) -> None:
    posted = prepared(lane, str(case), case.outputs, case.refuses)
    lane.arm(case.point)
    answer = post(lane, native_job(lane, posted, f"plain/good-{posted.numbers[0]}.png"))
    lane.restart_after_death()
    if case.point == BEFORE_THE_ROW:
        assert entries_of(lane, posted) == ()
    elif case.point in OF_INTAKE and case.refuses == "placeholder":
        assert len(entries_of(lane, posted)) == case.outputs, "stored before the first byte was sent"
    wait_until(lambda: is_over(lane, posted))
    assert list(faults(lane, posted, refuses=case.refuses)) == []
    if answer is not None:
        assert answer.status == (422 if case.refuses == "placeholder" else 202)


@pytest.mark.parametrize("point", sized(ANSWERLESS[:1], ANSWERLESS))
def test_a_repeat_after_a_crash_gets_the_job_of_the_first_request(lane: Lane, point: str) -> None:
    posted = prepared(lane, f"repeat-{point}", 2, "final")
    job = native_job(lane, posted, f"plain/good-{posted.numbers[0]}.png")
    lane.arm(point)
    first = post(lane, job, point)
    lane.restart_after_death()
    repeat = post(lane, job, point)
    assert repeat is not None
    assert (repeat.status, repeat.headers.get("idempotent-replayed")) in ((202, "true"), (200, "true"))
    assert first is None or first.body["id"] == repeat.body["id"]
    assert len(entries_of(lane, posted)) == 2, "the repeat made a second job"
    other = {**job, "priority": "low"}
    refusal = post(lane, other, point)
    assert refusal is not None
    assert (refusal.status, refusal.body["code"]) == (422, "idempotency_key_reused")
    wait_until(lambda: is_over(lane, posted))
    assert list(faults(lane, posted, refuses="final")) == []


def kill(lane: Lane, answer: Future[Answer | None], _chance: random.Random) -> None:
    lane.daemon.kill()
    answer.result()
    lane.daemon.start()


def end(lane: Lane, answer: Future[Answer | None], _chance: random.Random) -> None:
    assert lane.daemon.stop() == 0
    answer.result()
    lane.daemon.start()


def kill_worker(lane: Lane, answer: Future[Answer | None], chance: random.Random) -> None:
    with suppress(ProcessLookupError):
        os.kill(chance.choice(ready_workers(lane.daemon.pid)), signal.SIGKILL)
    answer.result()


# By a server that ends, and by one whose intake worker was killed twice.
ALSO_ANSWERED: dict[Disturbance, set[int]] = {end: {503}, kill_worker: {422, 503}}


DISTURBED: list[tuple[Disturbance, State]] = [
    (kill, "placeholder"), (kill_worker, "final"), (kill, "final"), (end, "final"),
]  # fmt: skip


@pytest.mark.parametrize(("disturb", "refuses"), sized(DISTURBED[:2], DISTURBED))
def test_disturbances_at_random(
    tmp_path: Path,
    figures: Figures,
    disturb: Disturbance,
    refuses: State,
    new_queue: NewQueue,
) -> None:
    """Every other destination that takes PUTs has trouble of its own, which passes."""
    chance, jobs, answers = random.Random(7), [], []
    with (
        Lane(tmp_path / "lane", switches={"retry_delay_s": 0.2}, queue=new_queue()) as lane,
        ThreadPoolExecutor(1) as threads,
    ):
        for round_number, count in itertools.product(range(ROUNDS), COUNTS):
            posted = prepared(lane, f"p{round_number}-{count}", count, refuses)
            jobs.append(posted)
            for place in posted.places[:-1]:
                lane.web.behave(f"/{place.name}", Behaviour(status=500, times=1, kinds=("PUT",), states=("final",)))
            job = native_job(lane, posted, f"plain/good-{posted.numbers[0]}.png")
            answers.append(threads.submit(post, lane, job))
            time.sleep(chance.random() * 0.2)
            disturb(lane, answers[-1], chance)
        wait_until(lambda: all(is_over(lane, posted) for posted in jobs))
        for posted in jobs:
            assert list(faults(lane, posted, refuses=refuses)) == []
    statuses = Counter(answer and answer.status for answer in (each.result() for each in answers))
    expected: set[int | None] = {422 if refuses == "placeholder" else 202, None}
    expected |= ALSO_ANSWERED.get(disturb, set())
    assert set(statuses) <= expected
    figures("jobs", len(jobs))
    figures("answers", {str(status): count for status, count in statuses.items()})
