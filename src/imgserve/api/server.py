"""``GET /v1/server``: the server about itself, for ``imgserve status`` and other tools of its operator."""

import os
import time
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from typing import Literal

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler

from imgserve.imaging.pool import Pool
from imgserve.intake import Intake
from imgserve.jobs.queue import Queue
from imgserve.jobs.view import as_time


class QueueView(msgspec.Struct, frozen=True):
    """Jobs that are not over; ``oldest_at``: when the oldest of them came in. And the placeholders of failed ones."""

    accepting: int
    queued: int
    running: int
    placeholders_left: int
    oldest_at: datetime | None


class ServerView(msgspec.Struct, frozen=True):
    """``address``: the URL of the door for clients; ``workers``: process ids, intake and spare included."""

    version: str
    pid: int
    status: Literal["ok", "draining", "storage_failing"]
    address: str
    data_dir: str
    uptime_s: float
    queue: QueueView
    workers: tuple[int, ...]
    sandbox: str


def server_handler(
    intake: Intake,
    queue: Queue,
    pool: Pool,
    address: str,
    data_dir: str,
    clock: Callable[[], float] = time.monotonic,
) -> HTTPRouteHandler:
    started_at = clock()

    @get("/v1/server")
    async def server() -> ServerView:
        failing, counts = intake.is_storage_failing, await queue.counts()
        return ServerView(
            version=version("imgserve"),
            pid=os.getpid(),
            status="draining" if intake.is_draining else "storage_failing" if failing else "ok",
            address=address,
            data_dir=data_dir,
            uptime_s=round(clock() - started_at, 3),
            queue=QueueView(
                counts.accepting, counts.queued, counts.running, counts.placeholders_left, as_time(counts.oldest_at)
            ),
            workers=pool.worker_pids,
            sandbox=pool.sandbox,
        )

    return server
