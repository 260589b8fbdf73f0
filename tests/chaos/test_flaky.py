"""A destination that fails half the time gets everything all the same; one that answers a placeholder late, never or
not at all still ends with the final.
"""

import random
import threading
import time
from collections import Counter
from itertools import pairwise, product
from pathlib import Path

import pytest
from examples.receivers import Behaviour, Event

from tests.chaos.lane import Kind, Lane
from tests.chaos.outputs import Posted, accept, faults, is_over, prepared
from tests.support.daemon import wait_until
from tests.support.postgres_house import NewQueue
from tests.support.sizes import IS_FULL, Figures, sized

JOBS = sized(24, 400)
JOBS_OF_OUTPUTS = sized(1, 20)
RETRY_DELAY_S = 0.4
DELIVERY_TIMEOUT_S = 1.0
MOST_FAULTS = 4  # of one job: each one doubles the wait
SLACK_S = 30.0  # for a machine that has other things to do
WELL = ""  # where others have a fault
FAULTS = {
    "500": Behaviour(status=500, kinds=("PUT",)),
    "time-out": Behaviour(never=True, kinds=("PUT",)),
    "reset": Behaviour(reset=True, kinds=("PUT",)),
    "late": Behaviour(delay_s=2 * DELIVERY_TIMEOUT_S, kinds=("PUT",)),
}


class Flaky:
    """Decides how each PUT goes: the first of a path, its placeholder, well, of the others every second one badly."""

    def __init__(self) -> None:
        self._rng = random.Random(5)
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.answers: dict[str, list[str]] = {}  # to the PUTs of a path after the first: a fault, or WELL

    def behaviour_of(self, path: str, kind: str, _state: str = "") -> Behaviour | None:
        with self._lock:
            self._seen[path] += kind == "PUT"
            if kind != "PUT" or self._seen[path] == 1:
                return None
            answers = self.answers.setdefault(path, [])
            is_well = len(faults_in(answers)) >= MOST_FAULTS or self._rng.random() < 0.5
            answers.append(WELL if is_well else self._rng.choice(list(FAULTS)))
            return FAULTS.get(answers[-1])


def faults_in(answers: list[str]) -> list[str]:
    return [answer for answer in answers if answer != WELL]


def test_a_destination_that_fails_half_the_time_gets_everything(
    tmp_path: Path, figures: Figures, new_queue: NewQueue
) -> None:
    flaky = Flaky()
    switches = {"retry_delay_s": RETRY_DELAY_S, "delivery_timeout_s": DELIVERY_TIMEOUT_S, "max_transfers_per_host": 64}
    with Lane(tmp_path / "lane", workers=2, switches=switches, queue=new_queue()) as lane:
        lane.web.behaviour_of = flaky.behaviour_of  # type: ignore[method-assign, assignment]
        started = time.monotonic()
        for number in range(JOBS):
            lane.accept(lane.job(number, lane.place("put", f"p{number}"), f"plain/good-{number}.png"))
        lane.until_ended(range(JOBS), timeout_s=60 + JOBS)
        took_s = time.monotonic() - started
        assert {entry.status for entry in lane.entries(range(JOBS))} == {"succeeded"}
        assert lane.faults(range(JOBS)) == []
        finals = {n: [e for e in lane.web_log.of("PUT") if e.name == f"/p{n}/out.png"][1:] for n in range(JOBS)}
        for number, posts in finals.items():
            charged = check(posts, flaky.answers[f"/p{number}/out.png"])
            (entry,) = lane.entries([number])
            assert entry.attempts == charged, "each failure is charged once"
    seen = Counter(fault for answers in flaky.answers.values() for fault in faults_in(answers))
    assert set(seen) == set(FAULTS), f"not every fault has happened: {seen}"
    figures("jobs", JOBS)
    figures("faults", dict(sorted(seen.items())))
    figures("seconds", round(took_s))


@pytest.mark.parametrize("count", sized((20,), (2, 20)))
def test_each_output_gets_through_to_a_destination_that_fails_half_the_time(
    tmp_path: Path, count: int, new_queue: NewQueue
) -> None:
    flaky = Flaky()
    switches = {"retry_delay_s": RETRY_DELAY_S, "delivery_timeout_s": DELIVERY_TIMEOUT_S, "max_transfers_per_host": 64}
    with Lane(tmp_path / "lane", workers=2, switches=switches, queue=new_queue()) as lane:
        told = lane.web.behaviour_of

        def behaviour_of(path: str, kind: str, state: str = "") -> Behaviour | None:
            return told(path, kind, state) or (None if path in refusing else flaky.behaviour_of(path, kind))

        jobs = [prepared(lane, f"p{number}", count, first="put") for number in range(JOBS_OF_OUTPUTS)]
        refusing = {f"/{posted.places[-1].name}" for posted in jobs}
        lane.web.behaviour_of = behaviour_of  # type: ignore[method-assign]
        for posted in jobs:
            accept(lane, posted, f"plain/good-{posted.numbers[0]}.png")
        wait_until(lambda: all(is_over(lane, posted) for posted in jobs))
        for posted in jobs:
            assert list(faults(lane, posted, refuses="final")) == []
            check_outputs(lane, posted, flaky)
    assert any(map(faults_in, flaky.answers.values())), "nothing has failed"


def check_outputs(lane: Lane, posted: Posted, flaky: Flaky) -> None:
    attempts = {entry.job: entry.attempts for entry in lane.entries(posted.numbers)}
    for number, place in zip(posted.numbers[:-1], posted.places[:-1], strict=True):
        if place.kind == "put":
            puts = [event for event in lane.web_log.of("PUT") if event.name == f"/{place.name}"]
            assert attempts[number] == check(puts[1:], flaky.answers[f"/{place.name}"])


def check(finals: list[Event], answers: list[str]) -> int:
    """The same whole bytes each time, and pauses that double, a fifth more or less; how many pauses there were.

    libcurl sends a PUT again by itself, at once, when a connection that it had kept is reset. On a slow machine a PUT
    that is answered well may have timed out all the same.
    """
    assert len(finals) == len(answers)
    assert answers[-1] == WELL
    assert {event.state for event in finals} == {"final"}
    assert len({event.digest for event in finals}) == 1, "a repeat must be the same bytes"
    assert all(event.is_complete for event in finals)
    pauses = 0
    for answer, (earlier, later) in zip(answers, pairwise(finals), strict=False):
        pause_s = later.at - earlier.at
        wanted_s = RETRY_DELAY_S * 2**pauses
        if answer == "reset" and pause_s < 0.8 * wanted_s:
            continue
        assert 0.8 * wanted_s <= pause_s <= 1.2 * wanted_s + DELIVERY_TIMEOUT_S + SLACK_S, (answer, pauses, pause_s)
        pauses += 1
    return pauses


CASES: tuple[tuple[Kind, str, Behaviour], ...] = (
    ("put", "late", Behaviour(delay_s=3, times=1, kinds=("PUT",))),
    ("put", "never", Behaviour(never=True, times=1, kinds=("PUT",))),
    ("put", "cut off", Behaviour(cut=True, times=1, kinds=("PUT",))),
    ("form", "late", Behaviour(delay_s=3, times=1, kinds=("POST",))),
    ("form", "never", Behaviour(never=True, times=1, kinds=("POST",))),
    ("form", "cut off", Behaviour(cut=True, times=1, kinds=("POST",))),
)
FEW = ((("put", "never"), 20), (("form", "cut off"), 2))


@pytest.mark.parametrize(("kind", "what", "behaviour"), CASES, ids=[f"{kind} {what}" for kind, what, _ in CASES])
def test_a_placeholder_without_an_answer_does_not_stay(
    tmp_path: Path, kind: Kind, what: str, behaviour: Behaviour
) -> None:
    """The receiver has its bytes, we have no word of it: the final follows, for PUT twice."""
    with Lane(tmp_path / "lane", switches={"placeholder_timeout_s": 0.5}) as lane:
        place = lane.place(kind, "p")
        lane.web.behave("/p/" if kind == "put" else "/take", Behaviour(**vars(behaviour)))
        lane.accept(lane.job(0, place, "plain/good-0.png"))
        (entry,) = lane.entries([0])
        assert entry.placeholder == "unknown", f"the answer was {what} and counts as one"
        lane.until_ended([0])
        assert lane.faults([0]) == []
        kinds = [write.kind for write in lane.writes_to(place)]
        assert kinds == ["placeholder", "final", *(["final"] if kind == "put" else [])]


@pytest.mark.parametrize(
    ("kind", "what", "behaviour", "count"),
    [(*case, count) for case, count in product(CASES, (2, 20)) if IS_FULL or (case[:2], count) in FEW],
)
def test_one_placeholder_of_several_without_an_answer_does_not_stay(
    tmp_path: Path, kind: Kind, what: str, behaviour: Behaviour, count: int
) -> None:
    """Nor does it refuse the job, or hold up the others, which have their answers in time on a busy machine too."""
    with Lane(tmp_path / "lane", switches={"placeholder_timeout_s": 2}) as lane:
        posted = prepared(lane, "p", count, first=kind)
        lane.web.behave(f"/{posted.places[0].name}" if kind == "put" else "/take", Behaviour(**vars(behaviour)))
        accept(lane, posted, "plain/good-0.png")
        unknown = [entry.job for entry in lane.entries(posted.numbers) if entry.placeholder == "unknown"]
        assert len(unknown) == 1, f"the answer to one was {what}"
        wait_until(lambda: is_over(lane, posted))
        assert list(faults(lane, posted, refuses="final")) == []
        kinds = [write.kind for write in lane.writes_to(lane.posted[unknown[0]])]
        assert kinds == ["placeholder", "final", *(["final"] if kind == "put" else [])]


def test_a_placeholder_that_is_stored_late_is_replaced(tmp_path: Path) -> None:
    """The receiver sits on the bytes for three seconds and stores them over the final: the repeat goes over that."""
    switches = {"placeholder_timeout_s": 0.5, "repeat_after_s": 4.0}
    with Lane(tmp_path / "lane", switches=switches) as lane:
        place = lane.place("put", "p")
        lane.web.behave("/p/", Behaviour(hold_s=3, times=1, kinds=("PUT",)))
        lane.accept(lane.job(0, place, "plain/good-0.png"))
        wait_until(lambda: len(lane.writes_to(place)) == 2)
        assert [write.kind for write in lane.writes_to(place)] == ["final", "placeholder"], "it has not come late"
        lane.until_ended([0])
        assert [write.kind for write in lane.writes_to(place)] == ["final", "placeholder", "final"]
        assert lane.entries([0])[0].status == "succeeded"
