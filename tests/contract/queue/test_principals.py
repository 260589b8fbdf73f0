"""What principals can do to each other at one destination: nothing, until the destination has taken what they wrote.

``ann`` posts first. The newer job is hers, bob's or the operator's, for the same URL or for one with another user name.
"""

import itertools
from typing import NamedTuple

import msgspec
import pytest

from imgserve.jobs.config import Config
from imgserve.jobs.faults import NotRetryable
from imgserve.jobs.model import Accepted, Claim, PlaceholderState
from imgserve.jobs.protocol import Busy, Granted, Queue
from imgserve.jobs.views import JobQuery
from imgserve.request.job import OnFailure, ResolvedOutput
from imgserve.request.principal import OPERATOR_ID
from tests.support.queues import (
    GRANTED,
    KEY,
    OVERTAKEN,
    START,
    House,
    due_entries,
    ended,
    failure_of,
    final_of,
    moved,
    new_job,
    output,
    placeholder_of,
    states_of,
)

ANN, BOB = "ann", "bob"
ALL = JobQuery()
PLACEHOLDERS: tuple[PlaceholderState, ...] = ("written", "unknown", "none")


class Newer(NamedTuple):
    """Who posts the newer job, under which user name, and what became of its placeholder."""

    principal: str
    user: str
    placeholder: PlaceholderState

    @property
    def has_all_rights(self) -> bool:
        return self.principal in (ANN, OPERATOR_ID)

    @property
    def is_above_once_taken(self) -> bool:
        return self.has_all_rights or self.user == "x"

    @property
    def supersedes_at_release(self) -> bool:
        return self.has_all_rights or (self.placeholder == "written" and self.user == "x")


SAME = [Newer(ANN, user, state) for user in "xy" for state in PLACEHOLDERS]
OTHER = [Newer(BOB, user, state) for user in "xy" for state in PLACEHOLDERS]
OPERATORS = [Newer(OPERATOR_ID, "x", "written"), Newer(OPERATOR_ID, "y", "none")]
# Killed: whether the server dies between each two steps.
each_newer = pytest.mark.parametrize(
    ("newer", "is_killed"),
    [*((newer, False) for newer in SAME + OTHER + OPERATORS), *((newer, True) for newer in OTHER)],
    ids=lambda each: "-".join(each) if isinstance(each, Newer) else "killed" if each else "alive",
)


def at(user: str, *, is_bare: bool = False, on_failure: OnFailure = "error_image") -> ResolvedOutput:
    place = output(is_bare=is_bare, on_failure=on_failure)
    url = KEY.replace("://", f"://{user}:pass@")
    return moved(place, msgspec.structs.replace(place.placement.destination, url=url))


class Scene:
    """One destination. ``kill`` ends the server and opens the queue anew, later."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.queue: Queue
        self.now = START

    async def kill(self) -> None:
        self.now += 100
        self.queue = await self.house.open(self.now)
        self.now += Config().quiet_s

    async def post(self, principal: str, user: str, state: PlaceholderState, *, is_released: bool = True) -> Accepted:
        place = at(user, is_bare=state == "none")
        job = msgspec.structs.replace(new_job(place), principal=principal)
        entry = await self.queue.enqueue(job, self.now)
        assert isinstance(entry, Accepted)
        if state != "none":
            assert entry.held_ids
        if is_released:
            await self.queue.activate(entry.number, states_of(entry, place, state=state), self.now)
        return entry

    async def claim(self, entry: Accepted) -> Claim | None:
        """None: it is not due. What else was due is given back."""
        mine = None
        for claim in (await self.queue.take_work(9, self.now)).claims:
            if claim.number == entry.number:
                mine = claim
            else:
                await self.queue.settle(ended(claim, "retry", retry_at=self.now), self.now)
        return mine

    async def due(self, entry: Accepted) -> Claim:
        claim = await self.claim(entry)
        assert claim is not None
        return claim

    async def write(self, claim: Claim, is_taken: bool = True) -> None:
        assert isinstance(await self.queue.acquire(final_of(claim), self.now), Granted)
        done = ended(claim, "delivered") if is_taken else ended(claim, "retry", retry_at=self.now)
        assert await self.queue.settle(done, self.now)

    async def fail(self, entry: Accepted) -> None:
        assert await self.queue.settle(ended(await self.due(entry), "failed"), self.now)

    def status(self, entry: Accepted) -> str:
        return self.house.statuses()[entry.number]

    async def owing(self) -> set[int]:
        return {owed.number for owed in await due_entries(self.queue, self.now + 500)}


@pytest.fixture
async def scene(house: House) -> Scene:
    opened = Scene(house)
    opened.queue = await house.open()
    return opened


@each_newer
async def test_who_is_superseded_at_the_release(scene: Scene, newer: Newer, is_killed: bool) -> None:
    older = await scene.post(ANN, "x", "written")
    other = await scene.post(*newer)
    if is_killed:
        await scene.kill()
    assert scene.status(older) == ("superseded" if newer.supersedes_at_release else "queued")
    assert scene.status(other) == "queued"


@each_newer
async def test_the_older_final_first(scene: Scene, newer: Newer, is_killed: bool) -> None:
    """It is written where it still counts; then the newer job, when it fails, owes only what it wrote afterwards."""
    older = await scene.post(ANN, "x", "written")
    other = await scene.post(*newer)
    if is_killed:
        await scene.kill()
    claim = await scene.claim(older)
    if newer.supersedes_at_release:
        assert claim is None
        return
    assert claim is not None
    await scene.write(claim)
    assert scene.status(older) == "succeeded"
    if is_killed:
        await scene.kill()
    await scene.fail(other)
    is_covered = newer.user == "x" and newer.placeholder == "unknown"
    owes = newer.placeholder != "none" and not is_covered
    assert await scene.owing() == ({other.number} if owes else set())


@each_newer
async def test_the_newer_final_first(scene: Scene, newer: Newer, is_killed: bool) -> None:
    older = await scene.post(ANN, "x", "written")
    other = await scene.post(*newer)
    claim = await scene.due(other)
    if is_killed:
        assert await scene.queue.acquire(final_of(claim), scene.now) == GRANTED
        await scene.kill()
        claim = await scene.due(other)
    await scene.write(claim)
    assert scene.status(other) == "succeeded"
    if newer.is_above_once_taken:
        assert scene.status(older) == "superseded"
        assert await scene.claim(older) is None
    else:
        await scene.write(await scene.due(older))
        assert scene.status(older) == "succeeded"
    assert await scene.owing() == set()


@each_newer
async def test_an_unknown_answer_to_the_newer_final_keeps_nobody_out(
    scene: Scene, newer: Newer, is_killed: bool
) -> None:
    older = await scene.post(ANN, "x", "written")
    other = await scene.post(*newer)
    claim = await scene.due(other)
    if is_killed:
        assert await scene.queue.acquire(final_of(claim), scene.now) == GRANTED
        await scene.kill()
    else:
        await scene.write(claim, is_taken=False)
    late = await scene.claim(older)
    if newer.supersedes_at_release:
        assert late is None
        return
    assert late is not None
    await scene.write(late)
    await scene.write(await scene.due(other))
    assert {scene.status(older), scene.status(other)} == {"succeeded"}


@each_newer
async def test_what_the_older_job_owes(scene: Scene, newer: Newer, is_killed: bool) -> None:
    """It has failed: its failure picture must not follow what the destination has taken, and must come otherwise."""
    older = await scene.post(ANN, "x", "written")
    await scene.fail(older)
    other = await scene.post(*newer)
    if is_killed:
        await scene.kill()
    is_lifted = newer.supersedes_at_release and newer.placeholder != "none"
    assert await scene.owing() == (set() if is_lifted else {older.number})
    scene.now += 700
    await scene.write(await scene.due(other))
    scene.now += 700
    assert await scene.owing() == (set() if newer.is_above_once_taken else {older.number})


@each_newer
async def test_whether_the_older_job_can_be_retried(scene: Scene, newer: Newer, is_killed: bool) -> None:
    older = await scene.post(ANN, "x", "written")
    await scene.fail(older)
    other = await scene.post(*newer)
    if is_killed:
        await scene.kill()
    job = next(job for job in (await scene.queue.page(ALL)).jobs if job.number == older.number)
    if newer.supersedes_at_release:
        with pytest.raises(NotRetryable):
            await scene.queue.retry(job.id, None, 86_400.0, scene.now)
        return
    await scene.queue.retry(job.id, None, 86_400.0, scene.now)
    assert scene.status(older) == "queued"
    await scene.fail(older)
    await scene.write(await scene.due(other))
    if newer.is_above_once_taken:
        with pytest.raises(NotRetryable):
            await scene.queue.retry(job.id, None, 86_400.0, scene.now)
    else:
        await scene.queue.retry(job.id, None, 86_400.0, scene.now)


@pytest.mark.parametrize(("principal", "user"), [*itertools.product((ANN, BOB, OPERATOR_ID), "xy")])
async def test_a_newer_job_that_is_refused_changes_nothing(scene: Scene, principal: str, user: str) -> None:
    older = await scene.post(ANN, "x", "written")
    other = await scene.post(principal, user, "unknown", is_released=False)
    await scene.queue.refuse(other.number, (), "delivery_failed", "no such key", scene.now)
    await scene.write(await scene.due(older))
    assert scene.house.statuses() == {older.number: "succeeded"}
    assert await scene.owing() == set()


@pytest.mark.parametrize("newer", [Newer(BOB, "x", "unknown"), Newer(BOB, "y", "written")], ids=lambda n: "-".join(n))
async def test_two_jobs_that_both_go_on_are_written_one_at_a_time(scene: Scene, newer: Newer) -> None:
    older = await scene.post(ANN, "x", "written")
    other = await scene.post(*newer)
    claims = {claim.number: claim for claim in (await scene.queue.take_work(9, scene.now)).claims}
    assert await scene.queue.acquire(final_of(claims[other.number]), scene.now) == GRANTED
    assert await scene.queue.acquire(final_of(claims[older.number]), scene.now) == Busy()


async def test_a_job_of_bobs_in_intake_does_not_end_anns(scene: Scene) -> None:
    """Killed before it was released, its placeholder may be there or not: an unknown answer."""
    older = await scene.post(ANN, "x", "written")
    other = await scene.post(BOB, "x", "written", is_released=False)
    await scene.kill()
    assert (scene.status(older), scene.status(other)) == ("queued", "queued")
    await scene.write(await scene.due(older))


async def test_a_failure_picture_in_flight_gives_way_to_what_was_taken(scene: Scene) -> None:
    older = await scene.post(ANN, "x", "written")
    await scene.fail(older)
    other = await scene.post(BOB, "x", "none")
    (owed,) = await due_entries(scene.queue, scene.now)
    await scene.write(await scene.due(other))
    assert await scene.queue.acquire(failure_of(owed), scene.now) == OVERTAKEN


async def test_a_placeholder_does_not_follow_what_was_taken(scene: Scene) -> None:
    """Ann's came first and waits; bob's is released meanwhile, with a placeholder that was taken."""
    blocker = await scene.post(ANN, "x", "unknown", is_released=False)
    older = await scene.queue.enqueue(msgspec.structs.replace(new_job(at("x")), principal=ANN), scene.now)
    assert isinstance(older, Accepted)
    await scene.queue.refuse(blocker.number, (), "delivery_failed", "", scene.now)
    await scene.post(BOB, "x", "written")
    intent = placeholder_of(older, older.outputs[0].id, at("x"))
    assert await scene.queue.acquire(intent, scene.now) == OVERTAKEN
