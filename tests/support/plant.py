"""The runner's side of a server without its doors: real queue, pool, transfers. For test_runner and test_attempt."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from imgserve.engine.admission import Admission
from imgserve.engine.attempt import Attempts
from imgserve.engine.config import AttemptConfig, IntakeConfig, PlaceholderConfig, RunnerConfig
from imgserve.engine.delivery import Deliveries
from imgserve.engine.existing import Existing
from imgserve.engine.intake import Intake
from imgserve.engine.outbox import Outbox, senders
from imgserve.engine.pictures import NamedPictures
from imgserve.engine.placeholder import Placeholders
from imgserve.engine.render import Renderer, Rendition
from imgserve.engine.runner import Runner
from imgserve.imaging.config import Config as PoolConfig
from imgserve.imaging.pool import Pool
from imgserve.jobs.config import Config as QueueConfig
from imgserve.jobs.model import Accepted, PlaceholderResult, PlaceholderState
from imgserve.jobs.protocol import Queue
from imgserve.request import tags
from imgserve.request.classic.destination import parse_destination
from imgserve.request.destination import Destination
from imgserve.request.imageinfo import Size
from imgserve.request.job import ResolvedOutput
from imgserve.request.limits import Limits
from imgserve.request.operations.composite import Composite
from imgserve.request.source import parse_source
from imgserve.request.webhook import Webhook
from imgserve.transfer.config import Config as TransferConfig
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.store import Closable, Store
from tests.support import pictures
from tests.support.queues import moved, new_job, output
from tests.support.sqlite import SqliteHouse

C = TypeVar("C", bound=Closable)


class Plant:
    """``source`` is a PNG of 64 x 48; results go beneath ``out``."""

    def __init__(self, directory: Path, house: SqliteHouse, queue: Queue, pool: Pool, transfers: Transfers) -> None:
        self.source = directory / "in" / "a.png"
        self.out = directory / "out"
        self.house = house
        self.queue = queue
        self.pool = pool
        self.transfers = transfers
        self.deliveries = Deliveries(queue, transfers, patience_s=0.2)
        self._stores: list[Closable] = []
        self.named = self._kept(NamedPictures())
        self.attempts = self.new_attempts()

    def close(self) -> None:
        """Free what was kept, as the server does when it stops."""
        for store in self._stores:
            store.close()

    def _kept(self, store: C) -> C:
        self._stores.append(store)
        return store

    def new_attempts(
        self,
        config: AttemptConfig = AttemptConfig(),  # noqa: B008 - it is frozen
        clock: Callable[[], float] = time.time,
    ) -> Attempts:
        """As after a restart: with nothing kept."""
        self.prefetched = self._kept(Store[Fetch](1_000_000))
        return Attempts(
            self.queue,
            Renderer(self.transfers, self.pool, self.named),
            self.deliveries,
            self.prefetched,
            self._kept(Store[Rendition](config.kept_renditions_bytes)),
            config,
            clock=clock,
            jitter=lambda: 0.5,
        )

    def runner(
        self,
        heartbeat_s: float = 15.0,
        attempt_timeout_s: float = 60.0,
        max_outbox: int = 8,
        max_attempts: int = 64,
        *,
        is_shared: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> Runner:
        placeholders = self._kept(Placeholders(self.pool, PlaceholderConfig()))
        existing = Existing(self.queue, self.transfers, placeholders, clock)
        sending = senders(self.deliveries, placeholders, existing, self.transfers, 20.0, clock)
        outbox = Outbox(self.queue, sending, max_outbox, clock=clock)
        config = RunnerConfig(attempt_timeout_s=attempt_timeout_s, max_outbox=max_outbox, max_attempts=max_attempts)
        leases = QueueConfig(heartbeat_s=heartbeat_s)
        return Runner(self.queue, self.attempts, outbox, config, leases, lambda: is_shared, clock)

    def intake(self, wall_clock: Callable[[], float] = time.time) -> Intake:
        return Intake(
            self.queue,
            self.transfers,
            self.pool,
            self._kept(Placeholders(self.pool, PlaceholderConfig())),
            self.deliveries,
            self.prefetched,
            Admission(32, 100, 0.5, 0.5),
            Limits(),
            IntakeConfig(),
            named=self.named,
            wall_clock=wall_clock,
        )

    def file(self, name: str) -> ResolvedOutput:
        return at(parse_destination(f"file://{self.out / name}", {}).fill(tags.EXAMPLE))

    def drawing(self, name: str, *operations: Composite) -> ResolvedOutput:
        """As ``file``, with these operations."""
        output = self.file(name)
        recipe = msgspec.structs.replace(output.rendering.recipe, operations=operations)
        rendering = msgspec.structs.replace(output.rendering, recipe=recipe, size=Size(64, 48))
        return msgspec.structs.replace(output, rendering=rendering)

    async def released(
        self,
        *outputs: ResolvedOutput,
        state: PlaceholderState = "written",
        principal: str = "",
        webhook: Webhook | None = None,
    ) -> Accepted:
        """A job of this plant's source whose placeholders are said to be out."""
        job = msgspec.structs.replace(
            new_job(*outputs),
            source=parse_source(f"file://{self.source}"),
            principal=principal,
            webhook=webhook,
        )
        entry = await self.queue.enqueue(job, time.time())
        assert isinstance(entry, Accepted)
        states = tuple(PlaceholderResult(output_id, state) for output_id in tuple(place.id for place in entry.outputs))
        await self.queue.activate(entry.number, states, time.time())
        return entry

    async def until_none_left(self) -> None:
        """Return when no placeholder of a failed job waits for the outbox."""
        for _ in range(2000):
            if (await self.queue.counts()).placeholders_left == 0:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the outbox never came to its end")


def put_to(port: int, name: str) -> ResolvedOutput:
    return at(parse_destination(f"http://127.0.0.1:{port}/{name}", {"method": "PUT"}).fill(tags.EXAMPLE))


def at(place: Destination) -> ResolvedOutput:
    return moved(output(place.key, place.kind), place)


@asynccontextmanager
async def plant(directory: Path, pool: Pool | None = None, workers: int = 1) -> AsyncIterator[Plant]:
    """Without a pool it has one of its own, of so many workers."""
    for name in ("in", "out", "data"):
        (directory / name).mkdir()
    (directory / "in" / "a.png").write_bytes(pictures.encoded(pictures.scene(64, 48), "png"))
    house = SqliteHouse(directory / "data")
    queue = await house.open(time.time())
    config = TransferConfig(
        allow_networks=("127.0.0.0/8",),
        read_roots=(str(directory / "in"),),
        write_roots=(str(directory / "out"),),
    )
    transfers = Transfers(config, Limits())
    renders = pool or Pool(PoolConfig(workers=workers), Limits())
    opened = Plant(directory, house, queue, renders, transfers)
    try:
        if pool is None:
            await renders.start()
        yield opened
    finally:
        await transfers.aclose()
        if pool is None:
            await renders.aclose()
        opened.close()
        await house.crash()
