"""``GET /v1/server``: the server's state, for ``imgserve status`` and other tools of its operator."""

import asyncio
import os
import time
from importlib.metadata import version
from typing import NamedTuple

from litestar import get
from litestar.handlers import HTTPRouteHandler

from imgserve.api.control_socket import QueueView, RoleView, ServerView, StartedAs, StateView
from imgserve.imaging.pool import Pool
from imgserve.jobs.protocol import Counts, OperatorQueue, StorageFailing
from imgserve.jobs.views import as_time
from imgserve.telemetry.states import States, status_of

QUEUE_TIMEOUT_S = 2.0


class Itself(NamedTuple):
    """The values that only the daemon knows."""

    address: str
    data_dir: str
    started_as: StartedAs
    drain_s: float


def server_handler(states: States, queue: OperatorQueue, pool: Pool, itself: Itself) -> HTTPRouteHandler:
    started_at = time.monotonic()

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
            uptime_s=round(time.monotonic() - started_at, 3),
            queue=None if counts is None else _queue_view(counts),
            workers=pool.worker_pids,
            roles=tuple(RoleView(role.role, role.idle, role.busy, role.missing) for role in pool.staffing()),
            sandbox=pool.sandbox,
            started_as=itself.started_as,
            drain_s=itself.drain_s,
        )

    return server


def _queue_view(counts: Counts) -> QueueView:
    oldest_at = as_time(counts.oldest_at)
    return QueueView(counts.accepting, counts.queued, counts.running, counts.placeholders_left, oldest_at)


async def counts_in_time(queue: OperatorQueue) -> Counts | None:
    """None when the queue's disk fails, or hangs."""
    try:
        async with asyncio.timeout(QUEUE_TIMEOUT_S):
            return await queue.counts()
    except (StorageFailing, TimeoutError):
        return None
