"""The server dies at every failpoint, before every kind of destination, in four situations; the promise must hold.

``first``: a job's first try, and its caller never comes back. ``retry``: the caller asks again after the crash, or,
once the job is accepted, the job's first try has failed and the crash comes in the second. ``superseding``: an older
job for the same destination is under way, and the crash hits the newer one. ``overtaken``: the crash leaves the
destination locked, and a newer job comes first thing afterwards.

Lanes of servers work side by side; a lane's server dies in one case and is the next case's victim too.
"""

import itertools
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from imgserve import failpoint
from tests.chaos.lane import KINDS, Kind, Lane, Place
from tests.support.postgres_house import NewQueue
from tests.support.sizes import IS_FULL, sized

Scenario = Literal["first", "retry", "superseding", "overtaken"]
SCENARIOS: tuple[Scenario, ...] = ("first", "retry", "superseding", "overtaken")
LANES = 6
LANES_ON_POSTGRES = sized(3, 6)

# The destination's lock is held there.
LOCKED = (
    "placeholder_locked", "placeholder_sent", "file_written", "final_locked", "final_sent",
    "failed_locked", "failed_sent",
)  # fmt: skip

# No row is on disk yet: a crash here leaves nothing behind.
BEFORE_THE_ROW = "intake_probed"


class Case(NamedTuple):
    point: str
    kind: Kind
    scenario: Scenario

    def __str__(self) -> str:
        return "-".join(self)

    @property
    def is_intake(self) -> bool:
        return self.point.startswith(("intake_", "placeholder_"))

    @property
    def is_owing(self) -> bool:
        return self.point.startswith("failed_")

    @property
    def word(self) -> str:
        """Whether the job that dies is one that succeeds in the end."""
        return "broken" if self.is_owing else "good"


def reason_against(case: Case) -> str:
    """Why a combination cannot happen, empty if it can."""
    if case.point == "file_written" and case.kind != "file":
        return "no file is written on this machine"
    if case.point == "intake_answered" and case.scenario == "retry":
        return "the caller has its answer and does not ask again"
    if case.scenario == "overtaken" and case.point not in LOCKED:
        return "no lock is held, so the newcomer finds nothing that a fresh one does not"
    return ""


PLACES: tuple[Kind, ...] = (*KINDS, "s3")
# A message concerns no destination, and these jobs bring no picture: tests/service/test_webhooks.py and
# tests/service/test_uploads.py have their points.
POINTS = [point for point in failpoint.NAMES if not point.startswith(("webhook_", "upload_", "cache_"))]
EVERY = [Case(*parts) for parts in itertools.product(POINTS, PLACES, SCENARIOS)]
CASES = [case for case in EVERY if not reason_against(case)]


def covering(cases: list[Case]) -> list[Case]:
    """Few of the cases, with every pair that two of a case's parts form in any of them."""
    missing = {pair for case in cases for pair in itertools.combinations(case, 2)}
    chosen: list[Case] = []
    while missing:
        chosen.append(max(cases, key=lambda case: len(missing.intersection(itertools.combinations(case, 2)))))
        missing.difference_update(itertools.combinations(chosen[-1], 2))
    return chosen


# What a server has begun there is in memory alone: on disks and at destinations it is a crash at ``claimed``.
WITHOUT_A_TRACE = ("fetched", "rendered")
# A crash with a bucket's lock held, in the write whose answer only a look can give, is tried with each change.
FEW = (
    [case for case in CASES if case.kind != "s3" and case.point not in WITHOUT_A_TRACE],
    [Case("fetched", "ftp", "retry"), Case("rendered", "put", "first"), Case("final_sent", "s3", "first")],
)
TRIED = sized(covering(FEW[0]) + FEW[1], CASES)
# The engines differ in how they store, not in where. A crash leaves the rows of the last commit, and no commit divides
# these points from one that is tried, so that a database sees no difference.
BETWEEN_COMMITS = {"placeholder_locked", "fetched", "rendered", "final_locked", "file_written", "failed_locked"}
OF_EACH_POINT = {case.point: case for case in covering(FEW[0])}
TRIED_ON_POSTGRES = sized([OF_EACH_POINT[point] for point in POINTS if point not in BETWEEN_COMMITS], CASES)


class Lanes:
    """Servers to try cases in, as many as are asked for at a time. One that failed is not used again."""

    def __init__(self, root: Path, new_queue: NewQueue) -> None:
        self._root = root
        self._new_queue = new_queue
        self._names = itertools.count()
        self._idle: queue.SimpleQueue[Lane] = queue.SimpleQueue()

    def try_out(self, case: Case) -> None:
        try:
            lane = self._idle.get_nowait()
        except queue.Empty:
            name = f"lane{next(self._names)}"
            lane = Lane(self._root / name, has_bucket=True, queue=self._new_queue()).__enter__()
        try:
            run(lane, case)
        except BaseException as error:
            lane.__exit__(type(error), error, error.__traceback__)
            raise
        self._idle.put(lane)

    def close(self) -> None:
        while not self._idle.empty():
            self._idle.get().__exit__(None, None, None)


Outcomes = Callable[[Case], object]


def under_way(request: pytest.FixtureRequest, lanes: Lanes, at_once: int, test: str) -> Iterator[Outcomes]:
    """All cases that were asked for of a test, so many at once."""
    items = (item for item in request.session.items if isinstance(item, pytest.Function))
    wanted = (item.callspec.params["case"] for item in items if item.originalname == test)
    asked = [case for case in wanted if isinstance(case, Case)]
    with ThreadPoolExecutor(at_once) as threads:
        futures = {case: threads.submit(lanes.try_out, case) for case in asked}
        yield lambda case: futures[case].result()
        threads.shutdown(cancel_futures=True)
    lanes.close()


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    yield from under_way(request, Lanes(tmp_path_factory.mktemp("lanes"), str), LANES, "test_promise_holds")


@pytest.mark.parametrize("case", TRIED, ids=str)
def test_promise_holds(case: Case, outcomes: Outcomes) -> None:
    outcomes(case)


@pytest.fixture(scope="module")
def outcomes_on_postgres(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_database: NewQueue
) -> Iterator[Outcomes]:
    lanes = Lanes(tmp_path_factory.mktemp("postgres"), new_database)
    yield from under_way(request, lanes, LANES_ON_POSTGRES, "test_promise_holds_on_postgres")


@pytest.mark.parametrize("case", TRIED_ON_POSTGRES, ids=str)
def test_promise_holds_on_postgres(case: Case, outcomes_on_postgres: Outcomes) -> None:
    outcomes_on_postgres(case)


def test_no_combination_is_left_out_in_silence() -> None:
    left_out = [case for case in EVERY if reason_against(case)]
    of_files = len(PLACES[1:]) * len(SCENARIOS)
    of_answered = len(PLACES)
    without_lock = (len(POINTS) - len(LOCKED)) * len(PLACES)
    assert len(left_out) == of_files + of_answered + without_lock
    assert len(EVERY) == len(POINTS) * len(PLACES) * len(SCENARIOS)
    assert set(CASES) | set(left_out) == set(EVERY)
    expected = CASES if IS_FULL else FEW[0] + FEW[1]
    assert {(case.point, case.kind) for case in TRIED} == {(case.point, case.kind) for case in expected}
    assert {case.point for case in TRIED_ON_POSTGRES} == set(POINTS) - (set() if IS_FULL else BETWEEN_COMMITS)


def run(lane: Lane, case: Case) -> None:
    before = len(lane.posted)
    place = lane.place(case.kind, str(case))
    STORIES[case.scenario](lane, case, place)
    numbers = range(before, len(lane.posted))
    lane.until_ended(numbers)
    assert lane.faults(numbers) == []


def first(lane: Lane, case: Case, place: Place) -> None:
    number = len(lane.posted)
    lane.arm(case.point)
    reply = lane.post(lane.job(number, place, f"plain/{case.word}-{number}.png"))
    lane.restart_after_death()
    expected = 0 if case.point == BEFORE_THE_ROW else 1
    assert len(lane.entries([number])) == expected
    assert expected or reply is None, "a reply without a row"
    assert reply is not None or case.point != "intake_answered", "it died before its answer was out"


def retry(lane: Lane, case: Case, place: Place) -> None:
    (retry_of_caller if case.is_intake else retry_of_job)(lane, case, place)


def retry_of_caller(lane: Lane, case: Case, place: Place) -> None:
    number = len(lane.posted)
    job = lane.job(number, place, f"plain/{case.word}-{number}.png")
    lane.arm(case.point)
    assert lane.post(job) is None
    lane.restart_after_death()
    lane.accept(job)
    assert len(lane.entries([number])) == 1, "the second post made a second job"


def retry_of_job(lane: Lane, case: Case, place: Place) -> None:
    """The failpoint is armed while the server stands still behind the first try: on a slow machine the second would be
    over before anybody has seen the end of the first.
    """
    number = len(lane.posted)
    source = f"{case.word}-{number}.png"
    lane.accept(lane.job(number, place, f"held/{source}"))
    lane.arm("stop at failed_locked" if case.is_owing else "stop at settled")
    if not case.is_owing and (place.kind == "file" or case.point in ("fetched", "rendered")):
        lane.sources.break_off(source)
    else:
        lane.refuse_once(place)
        lane.sources.release(source)
    lane.until_frozen()
    lane.failpoint.write_text(case.point)
    lane.go_on()
    if case.is_owing:
        lane.until(number, lambda entry: entry.outbox_attempts >= 1)
        lane.heal(place)
    lane.restart_after_death()


def superseding(lane: Lane, case: Case, place: Place) -> None:
    older, newer = len(lane.posted), len(lane.posted) + 1
    lane.accept(lane.job(older, place, f"held/good-{older}.png"))
    lane.until(older, lambda entry: entry.status == "running")
    lane.turn()  # the claim that made it running has passed its failpoint by the next one
    lane.arm(case.point)
    lane.post(lane.job(newer, place, f"plain/{case.word}-{newer}.png"))
    lane.sources.release(f"good-{older}.png")
    lane.restart_after_death()
    statuses = {entry.job: entry.status for entry in lane.entries([older, newer])}
    assert (newer in statuses) == (case.point != BEFORE_THE_ROW)
    lane.until_ended([older, newer])
    expected = "superseded" if newer in statuses and place.kind != "form" else "succeeded"
    assert [entry.status for entry in lane.entries([older])] == [expected]


def overtaken(lane: Lane, case: Case, place: Place) -> None:
    older, newer = len(lane.posted), len(lane.posted) + 1
    lane.arm(case.point)
    lane.post(lane.job(older, place, f"plain/{case.word}-{older}.png"))
    lane.restart_after_death()
    lane.accept(lane.job(newer, place, f"plain/good-{newer}.png"))
    lane.until_ended([older, newer])
    assert [entry.status for entry in lane.entries([newer])] == ["succeeded"]


STORIES: dict[Scenario, Callable[[Lane, Case, Place], None]] = {
    "first": first,
    "retry": retry,
    "superseding": superseding,
    "overtaken": overtaken,
}
