"""``GET /v1/server``: the server about itself, for ``imgserve status`` and other tools of its operator."""

import asyncio
import os
import time
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from typing import Literal, NamedTuple

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler

from imgserve.imaging.pool import Pool
from imgserve.jobs.protocol import Counts, Queue, StorageFailing
from imgserve.jobs.views import as_time
from imgserve.telemetry.states import States, status_of

# What supervises the server: nothing but itself, systemd (or another program with its protocol), a container whose
# first process it is, or the program that started it in the foreground.
StartedAs = Literal["daemon", "systemd", "container", "foreground"]
QUEUE_TIMEOUT_S = 2.0


class QueueView(msgspec.Struct, frozen=True):
    """Jobs that are not over; ``oldest_at``: when the oldest of them came in. And the placeholders of failed ones."""

    accepting: int
    queued: int
    running: int
    placeholders_left: int
    oldest_at: datetime | None


class LaneView(msgspec.Struct, frozen=True):
    lane: str
    idle: int
    busy: int
    missing: int


class StateView(msgspec.Struct, frozen=True):
    name: str
    severity: str
    detail: str
    hint: str


class ServerView(msgspec.Struct, frozen=True):
    """``address``: the URL of the door for clients; ``workers``: process ids, intake and spare included.

    ``drain_s``: how long it lets jobs finish when it is stopped. ``status``: the most severe of the ``states``, or
    ``ok``. ``queue`` is null when it cannot be read.
    """

    version: str
    pid: int
    status: str
    states: tuple[StateView, ...]
    address: str
    data_dir: str
    uptime_s: float
    queue: QueueView | None
    workers: tuple[int, ...]
    lanes: tuple[LaneView, ...]
    sandbox: str
    started_as: StartedAs
    drain_s: float


class Itself(NamedTuple):
    """Facts about the server that the daemon knows."""

    address: str
    data_dir: str
    started_as: StartedAs
    drain_s: float


def server_handler(
    states: States,
    queue: Queue,
    pool: Pool,
    itself: Itself,
    clock: Callable[[], float] = time.monotonic,
) -> HTTPRouteHandler:
    started_at = clock()

    @get("/v1/server")
    async def server() -> ServerView:
        now, counts = states.look(), await counts_in_time(queue)
        return ServerView(
            version=version("imgserve"),
            pid=os.getpid(),
            status=status_of(now),
            states=tuple(StateView(state.name, state.severity, state.sentence, state.remedy) for state in now),
            address=itself.address,
            data_dir=itself.data_dir,
            uptime_s=round(clock() - started_at, 3),
            queue=None if counts is None else _queue_view(counts),
            workers=pool.worker_pids,
            lanes=tuple(LaneView(lane.lane, lane.idle, lane.busy, lane.missing) for lane in pool.staffing()),
            sandbox=pool.sandbox,
            started_as=itself.started_as,
            drain_s=itself.drain_s,
        )

    return server


def _queue_view(counts: Counts) -> QueueView:
    oldest_at = as_time(counts.oldest_at)
    return QueueView(counts.accepting, counts.queued, counts.running, counts.placeholders_left, oldest_at)


async def counts_in_time(queue: Queue) -> Counts | None:
    """None when the queue's disk fails, or hangs."""
    try:
        async with asyncio.timeout(QUEUE_TIMEOUT_S):
            return await queue.counts()
    except (StorageFailing, TimeoutError):
        return None
