"""``GET /metrics``: sets the gauges, then writes all metrics in Prometheus's text format.

The queue's values cost one small transaction in its own thread; when the disk hangs or fails, they are NaN, and the
other metrics are still there.
"""

import asyncio
import math
import os
import time
from pathlib import Path

import msgspec

from imgserve.api.http.asgi import App, Receive, Scope, Send, answer
from imgserve.api.v1.server import counts_in_time
from imgserve.engine.ondemand import OnDemand
from imgserve.engine.purging import Purging
from imgserve.imaging.pool import Pool
from imgserve.jobs.protocol import OperatorQueue
from imgserve.telemetry import logs, metrics
from imgserve.telemetry.states import States
from imgserve.transfer.dispatch import Transfers

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def metrics_page(
    queue: OperatorQueue, pool: Pool, on_demand: OnDemand, transfers: Transfers, states: States, purging: Purging
) -> App:
    async def scrape(_scope: Scope, _receive: Receive, send: Send) -> None:
        _set_pool(pool)
        metrics.ON_DEMAND.labels("running").set(on_demand.slots.held)
        metrics.ON_DEMAND.labels("waiting").set(on_demand.slots.waiting)
        _set_transfers(transfers)
        _set_caches(purging)
        metrics.LOG_EVENTS_LOST.set(logs.lost())
        names = {state.name for state in states.look()}
        metrics.STORAGE_FAILING.set(not names.isdisjoint(("storage_failing", "disk_full")))
        await _set_queue(queue)
        body = await asyncio.to_thread(_written, pool.worker_pids)
        await answer(send, 200, ((b"content-type", metrics.CONTENT_TYPE.encode()),), body)

    return scrape


def _set_pool(pool: Pool) -> None:
    for role in pool.staffing():
        for state, count in (("idle", role.idle), ("busy", role.busy), ("missing", role.missing)):
            metrics.WORKERS.labels(role.role, state).set(count)
        metrics.WAITING_FOR_WORKER.labels(role.role).set(role.waiting)


def _set_transfers(transfers: Transfers) -> None:
    budget = transfers.budget
    metrics.SOURCE_MEMORY_LIMIT_BYTES.set(budget.total)
    metrics.SOURCE_MEMORY_BYTES.set(budget.held)
    metrics.TRANSFERS.labels("running").set(transfers.slots.held)
    metrics.TRANSFERS.labels("waiting").set(transfers.slots.waiting)


def _set_caches(purging: Purging) -> None:
    mounts, pictures, sources = purging.stats()
    if not mounts:
        return
    for cache, stats in (("pictures", pictures), ("sources", sources)):
        metrics.CACHE_BYTES.labels(cache, "disk").set(stats.size_bytes)
        metrics.CACHE_BYTES.labels(cache, "memory").set(stats.memory_bytes)
        metrics.CACHE_LIMIT_BYTES.labels(cache, "disk").set(stats.cap_bytes)
        metrics.CACHE_LIMIT_BYTES.labels(cache, "memory").set(stats.memory_cap_bytes)
        metrics.cache_lookups[cache, "memory"] = stats.memory_hits
        metrics.cache_lookups[cache, "disk"] = stats.disk_hits
        metrics.cache_lookups[cache, "miss"] = stats.misses
        metrics.cache_evicted[cache,] = stats.evicted


async def _set_queue(queue: OperatorQueue) -> None:
    seen = await counts_in_time(queue)
    if seen is None:
        metrics.STORAGE_FAILING.set(1)
    counts = {} if seen is None else msgspec.structs.asdict(seen)
    for status in ("accepting", "queued", "running"):
        metrics.JOBS.labels(status).set(counts.get(status, math.nan))
    for state in ("pending", "abandoned", "unreadable"):
        metrics.PLACEHOLDERS_LEFT.labels(state).set(counts.get(state, math.nan))
    metrics.WEBHOOKS.labels("pending").set(counts.get("webhooks", math.nan))
    metrics.WEBHOOKS.labels("abandoned").set(counts.get("webhooks_abandoned", math.nan))
    metrics.UPLOAD_BYTES.set(counts.get("upload_bytes", math.nan))
    metrics.QUEUE_OLDEST_SECONDS.set(math.nan if seen is None else _age_s(seen.oldest_at))
    metrics.QUEUE_DELAY_SECONDS.set(math.nan if seen is None else _age_s(seen.due_at))


def _age_s(at: float | None) -> float:
    return 0.0 if at is None else max(0.0, time.time() - at)


def _written(pids: tuple[int, ...]) -> bytes:
    metrics.WORKERS_RESIDENT_BYTES.set(sum(map(_resident_bytes, pids)))
    return metrics.text()


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):  # the process has ended
        return 0
