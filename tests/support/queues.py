"""Jobs to put into a queue and the steps that take them through it: for the contract suite and the tests above it."""

from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec

from imgserve.jobs.config import Config
from imgserve.jobs.model import (
    Accepted,
    Claim,
    DebtClaim,
    Ended,
    Intent,
    NewJob,
    Output,
    OutputResult,
    PlaceholderResult,
    PlaceholderState,
    ResultStatus,
    Settlement,
)
from imgserve.jobs.protocol import Busy, Denied, Granted, Queue
from imgserve.jobs.sqlite.committer import rows
from imgserve.jobs.sqlite.queue import FILE_NAME, SqliteQueue
from imgserve.request.destination import Destination
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.job import OnFailure, Placeholder, Placement, ResolvedOutput
from imgserve.request.operations.resize import Resize
from imgserve.request.protocols import DestinationKind
from imgserve.request.recipe import OutputOptions, Recipe
from imgserve.request.rendering import Rendering
from imgserve.request.source import Source

SOURCE = Source("http://source.test/a.png", "http", "source.test", 80, "/a.png")
START = 1_000_000.0
KEY = "http://place.test:80/a.png"


class SqliteHouse:
    """One data directory and the servers that come and go on it, one at a time."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._queue: SqliteQueue | None = None

    async def open(
        self, now: float = START, config: Config | None = None, on_end: Callable[[Ended], None] = lambda _: None
    ) -> Queue:
        """A new owner; the one before is gone without having finished anything."""
        await self.close()
        self._queue = await SqliteQueue.open(self.data_dir, config or Config(min_free_disk_bytes=0), now, on_end)
        return self._queue

    def statuses(self) -> dict[int, str]:
        """Every job's status as another reader of the disk sees it."""
        reader = apsw.Connection(str(self.data_dir / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return {int(row[0]): str(row[1]) for row in rows(reader, "SELECT number, status FROM job")}
        finally:
            reader.close()

    async def close(self) -> None:
        if self._queue is not None:
            await self._queue.aclose()
            self._queue = None


def output(
    key: str = KEY, kind: DestinationKind = "put", *, is_bare: bool = False, on_failure: OnFailure = "error_image"
) -> ResolvedOutput:
    """``is_bare``: without a placeholder."""
    recipe = Recipe((Resize(width=8, height=8),), OutputOptions(format="png"))
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
    assert not entry.held
    await queue.refuse(holder.number, (), "delivery_failed", "made room", now)
    return entry


async def hold(queue: Queue, entry: Accepted, *outputs: ResolvedOutput, now: float = START) -> None:
    """Take the destinations for the placeholders."""
    for output_id, place in zip(entry.output_ids, outputs or (output(),), strict=True):
        if place.placement.placeholder.style != "none":
            assert await queue.acquire(placeholder_of(entry, output_id, place), now) == Granted()


async def released(
    queue: Queue, *outputs: ResolvedOutput, state: PlaceholderState = "written", now: float = START
) -> Accepted:
    """A job that went all the way through intake."""
    entry = await accepted(queue, *outputs, now=now)
    await hold(queue, entry, *outputs, now=now)
    await queue.release(entry.number, states_of(entry, *outputs, state=state), now)
    return entry


def states_of(
    entry: Accepted, *outputs: ResolvedOutput, state: PlaceholderState = "written"
) -> tuple[PlaceholderResult, ...]:
    return tuple(
        PlaceholderResult(output_id, state)
        for output_id, place in zip(entry.output_ids, outputs or (output(),), strict=True)
        if place.placement.placeholder.style != "none"
    )


async def claimed(queue: Queue, now: float = START) -> Claim:
    """The one job that is due."""
    work = await queue.take_work(1, 0, now)
    assert len(work.claims) == 1
    return work.claims[0]


async def pruned(queue: Queue, now: float) -> int:
    """How many jobs a whole pass deletes."""
    jobs = 0
    while not (step := await queue.prune(now)).is_done:
        jobs += step.jobs
    return jobs + step.jobs


async def due_debts(queue: Queue, now: float = START) -> tuple[DebtClaim, ...]:
    return (await queue.take_work(0, 100, now)).debts


def placeholder_of(entry: Accepted, output_id: int | None = None, place: ResolvedOutput | None = None) -> Intent:
    key = (place or output()).placement.destination.key
    return Intent(entry.number, entry.output_ids[0] if output_id is None else output_id, 0, key, "placeholder")


def final_of(claim: Claim, place: Output | None = None) -> Intent:
    chosen = place or claim.outputs[0]
    return Intent(claim.number, chosen.id, claim.token, chosen.spec.placement.destination.key, "final")


def failure_of(debt: DebtClaim) -> Intent:
    return Intent(debt.number, debt.output.id, debt.token, debt.output.spec.placement.destination.key, "failed")


def ended(claim: Claim, *statuses: ResultStatus, retry_at: float | None = None) -> Settlement:
    """One status for all outputs, or one each."""
    each = statuses * len(claim.outputs) if len(statuses) == 1 else statuses
    results = tuple(OutputResult(place.id, status) for place, status in zip(claim.outputs, each, strict=True))
    return Settlement(claim.number, claim.token, results, retry_at=retry_at)


async def failed(queue: Queue, *outputs: ResolvedOutput, now: float = START) -> Accepted:
    """A job that has failed, its placeholders written."""
    entry = await released(queue, *outputs, now=now)
    claim = await claimed(queue, now)
    assert claim.number == entry.number
    assert await queue.settle(ended(claim, "failed"), now)
    return entry


def add_ended(db: apsw.Connection, count: int, status: str, ended_at: float, debt: str = "none") -> None:
    """So many ended jobs at once, written into the file of a queue that no server has; microseconds apart."""
    with db:
        db.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
            " INSERT INTO job (id, status, source, facts, digest, is_answered, is_released, epoch, created_at,"
            " deadline_at, run_at, caller, ended_at) SELECT lower(hex(randomblob(16))), ?2, zeroblob(300), x'', x'',"
            " 1, 1, 1, 1, 1, 1, 'a', ?3 + i / 1e6 FROM n",
            (count, status, ended_at),
        )
        db.execute(
            "INSERT INTO output (job, spec, destination, is_form, status, debt)"
            " SELECT number, zeroblob(900), 'http://place.test:80/' || number, 0, 'delivered', ?2 FROM job"
            " WHERE number > (SELECT max(number) FROM job) - ?1",
            (count, debt),
        )


GRANTED, BUSY, OVERTAKEN, LOST = Granted(), Busy(), Denied("overtaken"), Denied("lost")
