"""Jobs to put into a queue and the steps that take them through it: for the contract suite and the tests above it."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from imgserve.jobs.config import Config
from imgserve.jobs.model import (
    Accepted,
    Claim,
    Ended,
    Intent,
    NewJob,
    OutboxEntry,
    Output,
    OutputResult,
    PlaceholderResult,
    PlaceholderState,
    ResultStatus,
    Settlement,
)
from imgserve.jobs.protocol import Busy, Denied, Granted, Queue
from imgserve.request.destination import Destination
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.job import OnFailure, Placeholder, Placement, ResolvedOutput
from imgserve.request.operations.resize import Resize
from imgserve.request.protocols import DestinationKind
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from imgserve.request.source import Source

SOURCE = Source("http://source.test/a.png", "http", "source.test", 80, "/a.png")
START = 1_000_000.0
KEY = "http://place.test:80/a.png"


class House(Protocol):
    """One queue's place and the servers that come and go on it, one at a time: what each engine gives the suite."""

    async def open(
        self, now: float = START, config: Config | None = None, on_end: Callable[[Ended], None] = lambda _: None
    ) -> Queue:
        """A new owner; the one before is gone without having finished anything."""
        ...

    async def crash(self) -> None:
        """The owner is gone without having finished anything."""
        ...

    def statuses(self) -> dict[int, str]:
        """Every job's status as another reader of the disk sees it."""
        ...


def output(
    key: str = KEY, kind: DestinationKind = "put", *, is_bare: bool = False, on_failure: OnFailure = "error_image"
) -> ResolvedOutput:
    """``is_bare``: without a placeholder."""
    recipe = Recipe((Resize(width=8, height=8),), Encode(format="png"))
    place = Destination(kind, key, key, "place.test", 80, "/a.png", key)
    placement = Placement(place, Placeholder(style="none" if is_bare else "text"), on_failure)
    return ResolvedOutput(Rendering(recipe, Size(8, 8), "png"), placement)


def moved(usual: ResolvedOutput, place: Destination) -> ResolvedOutput:
    """The same output at another place."""
    return msgspec.structs.replace(usual, placement=msgspec.structs.replace(usual.placement, destination=place))


class Maker:
    """Makes jobs with ids of their own."""

    def __init__(self) -> None:
        self._made = 0

    def __call__(self, *outputs: ResolvedOutput, digest: bytes = b"") -> NewJob:
        self._made += 1
        name = f"job-{self._made}"
        return NewJob(
            id=name,
            digest=digest or name.encode(),
            source=SOURCE,
            info=ImageInfo("png", 16, 16),
            outputs=outputs or (output(),),
            deadline_s=86_400.0,
        )


new_job = Maker()


async def accepted(queue: Queue, *outputs: ResolvedOutput, now: float = START) -> Accepted:
    entry = await queue.enqueue(new_job(*outputs), now)
    assert isinstance(entry, Accepted)
    return entry


async def waiting(queue: Queue, now: float = START) -> Accepted:
    """An accepted job whose placeholder has not begun: its destination was taken when it came in."""
    holder = await accepted(queue, now=now)
    entry = await accepted(queue, now=now)
    assert not entry.held_ids
    await queue.refuse(holder.number, (), "delivery_failed", "made room", now)
    return entry


async def hold(queue: Queue, entry: Accepted, *outputs: ResolvedOutput, now: float = START) -> None:
    """Take the destinations for the placeholders."""
    for output_id, place in zip(tuple(place.id for place in entry.outputs), outputs or (output(),), strict=True):
        if place.placement.placeholder.style != "none":
            assert await queue.acquire(placeholder_of(entry, output_id, place), now) == Granted()


async def released(
    queue: Queue, *outputs: ResolvedOutput, state: PlaceholderState = "written", now: float = START
) -> Accepted:
    """A job that went all the way through intake."""
    entry = await accepted(queue, *outputs, now=now)
    await hold(queue, entry, *outputs, now=now)
    await queue.activate(entry.number, states_of(entry, *outputs, state=state), now)
    return entry


def states_of(
    entry: Accepted, *outputs: ResolvedOutput, state: PlaceholderState = "written"
) -> tuple[PlaceholderResult, ...]:
    return tuple(
        PlaceholderResult(output_id, state)
        for output_id, place in zip(tuple(place.id for place in entry.outputs), outputs or (output(),), strict=True)
        if place.placement.placeholder.style != "none"
    )


async def claimed(queue: Queue, now: float = START) -> Claim:
    """The one job that is due."""
    work = await queue.take_work(1, now)
    assert len(work.claims) == 1
    return work.claims[0]


async def pruned(queue: Queue, now: float) -> int:
    """How many jobs a whole pass deletes."""
    jobs = 0
    while not (step := await queue.prune(now)).is_done:
        jobs += step.jobs
    return jobs + step.jobs


async def due_entries(queue: Queue, now: float = START) -> tuple[OutboxEntry, ...]:
    return (await queue.take_outbox(100, now)).entries


def placeholder_of(entry: Accepted, output_id: int | None = None, place: ResolvedOutput | None = None) -> Intent:
    key = (place or output()).placement.destination.key
    return Intent(entry.number, entry.outputs[0].id if output_id is None else output_id, 0, key, "placeholder")


def final_of(claim: Claim, place: Output | None = None) -> Intent:
    chosen = place or claim.outputs[0]
    return Intent(claim.number, chosen.id, claim.token, chosen.spec.placement.destination.key, "final")


def failure_of(entry: OutboxEntry) -> Intent:
    return Intent(entry.number, entry.output.id, entry.token, entry.output.spec.placement.destination.key, "failed")


def ended(claim: Claim, *statuses: ResultStatus, retry_at: float | None = None) -> Settlement:
    """One status for all outputs, or one each."""
    each = statuses * len(claim.outputs) if len(statuses) == 1 else statuses
    results = tuple(
        OutputResult(place.id, status, due_at=retry_at if status in ("retry", "repeat") else None)
        for place, status in zip(claim.outputs, each, strict=True)
    )
    return Settlement(claim.number, claim.token, results)


async def failed(queue: Queue, *outputs: ResolvedOutput, now: float = START) -> Accepted:
    """A job that has failed, its placeholders written."""
    entry = await released(queue, *outputs, now=now)
    claim = await claimed(queue, now)
    assert claim.number == entry.number
    assert await queue.settle(ended(claim, "failed"), now)
    return entry


GRANTED, BUSY, OVERTAKEN, LOST = Granted(), Busy(), Denied("overtaken"), Denied("lost")
