"""``GET /v1/server``: what a principal may do with this server; to its operator its state too, for ``imgserve status``
and other tools.
"""

import asyncio
import os
import time
from collections.abc import Awaitable
from importlib.metadata import version
from typing import NamedTuple, TypeVar

import msgspec

from imgserve.api.control_socket import (
    Formats,
    LimitsView,
    NodeView,
    QueueView,
    QuotaView,
    RoleView,
    ServerInfo,
    ServerView,
    StartedAs,
    StateView,
)
from imgserve.api.http import asgi
from imgserve.api.http.asgi import Receive, Scope, Send
from imgserve.api.openapi import Call
from imgserve.imaging.abilities import abilities
from imgserve.imaging.pool import Pool
from imgserve.jobs.config import Role
from imgserve.jobs.faults import StorageFailing
from imgserve.jobs.protocol import Counts, OperatorQueue
from imgserve.jobs.views import as_time
from imgserve.request.limits import Limits
from imgserve.request.principal import Principal
from imgserve.telemetry.states import States, status_of

T = TypeVar("T")

QUEUE_TIMEOUT_S = 2.0
CALL = Call(
    "GET",
    "/v1/server",
    "server",
    "The server's version, limits and formats, and the quota of the principal.",
    {"application/json": ServerInfo},
    (401,),
)


class Itself(NamedTuple):
    """The values that only the daemon knows. ``queue_url`` is for people."""

    address: str
    data_dir: str
    started_as: StartedAs
    drain_s: float
    role: Role
    queue_url: str


class Offer:
    """The part that every principal may see. ``own``: the quota of one of several principals, ``whole``: of one alone,
    or of the operator.
    """

    def __init__(self, limits: Limits, max_job_bytes: int, whole: QuotaView, own: QuotaView) -> None:
        can = abilities()
        self._formats = Formats(can.reads, can.writes)
        self._limits = LimitsView(
            max_source_bytes=limits.source_bytes, max_svg_bytes=limits.svg_bytes, max_frame_pixels=limits.frame_pixels,
            max_frames=limits.frames, max_total_pixels=limits.total_pixels, max_output_pixels=limits.output_pixels,
            max_output_side_px=limits.output_side_px, max_job_bytes=max_job_bytes,
        )  # fmt: skip
        self._whole = whole
        self._own = own

    def info(self, principal: Principal) -> ServerInfo:
        quota = self._own if principal.has_quota else self._whole
        return ServerInfo(version=version("imgserve"), formats=self._formats, limits=self._limits, quota=quota)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await asgi.answer_json(send, self.info(scope["principal"]))


class State:
    """For the operator."""

    def __init__(self, offer: Offer, states: States, queue: OperatorQueue, pool: Pool, itself: Itself) -> None:
        self._offer = offer
        self._states = states
        self._queue = queue
        self._pool = pool
        self._itself = itself
        self._started_at = time.monotonic()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        now, itself = self._states.look(), self._itself
        counts = await counts_in_time(self._queue)
        nodes = None if counts is None else await _nodes_in_time(self._queue)
        info = self._offer.info(scope["principal"])
        view = ServerView(
            version=info.version,
            formats=info.formats,
            limits=info.limits,
            quota=info.quota,
            pid=os.getpid(),
            status=status_of(now),
            states=tuple(StateView(state.name, state.severity, state.sentence, state.remedy) for state in now),
            address=itself.address,
            data_dir=itself.data_dir,
            uptime_s=round(time.monotonic() - self._started_at, 3),
            queue=None if counts is None else _queue_view(counts),
            workers=self._pool.worker_pids,
            roles=tuple(RoleView(role.role, role.idle, role.busy, role.missing) for role in self._pool.staffing()),
            sandbox=self._pool.sandbox,
            started_as=itself.started_as,
            drain_s=itself.drain_s,
            role=itself.role,
            queue_url=itself.queue_url,
            nodes=nodes,
        )
        await asgi.answer_json(send, view)


def _queue_view(counts: Counts) -> QueueView:
    oldest_at = as_time(counts.oldest_at)
    return QueueView(counts.accepting, counts.queued, counts.running, counts.placeholders_left, oldest_at)


async def counts_in_time(queue: OperatorQueue) -> Counts | None:
    """None when the queue's disk or database fails, or hangs."""
    return await _in_time(queue.counts())


async def _nodes_in_time(queue: OperatorQueue) -> tuple[NodeView, ...] | None:
    nodes = await _in_time(queue.nodes())
    return None if nodes is None else msgspec.convert(nodes, tuple[NodeView, ...], from_attributes=True)


async def _in_time(reading: Awaitable[T]) -> T | None:
    try:
        async with asyncio.timeout(QUEUE_TIMEOUT_S):
            return await reading
    except (StorageFailing, TimeoutError):
        return None
