"""The composition root: Settings -> queue, pool, transfers, app, and the order in which they start and stop.

The HTTP server runs inside our own event loop, so that start, drain and signals are ours.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import uvloop

from imgserve import descriptors, failpoint
from imgserve.api import app, control
from imgserve.api.auth import Keys
from imgserve.api.control_socket import StartedAs
from imgserve.api.http import listener
from imgserve.api.http.connection import TimedProtocol
from imgserve.api.http.seats import Seats
from imgserve.api.http.tls import Certificate, CertificateInvalid
from imgserve.api.keyfile import KeyFileInvalid, read_keys
from imgserve.api.protected import Protected
from imgserve.api.refusals import Refusals
from imgserve.api.v1.info import Itself, server_handler
from imgserve.api.v1.jobs import job_handlers
from imgserve.blob import Blob
from imgserve.clock import Clock
from imgserve.descriptors import Shares
from imgserve.engine import pages
from imgserve.engine.attempt import Attempts
from imgserve.engine.callers import Sharing
from imgserve.engine.delivery import Deliveries
from imgserve.engine.intake import Intake
from imgserve.engine.operator import Desk
from imgserve.engine.outbox import Debts
from imgserve.engine.placeholder import Placeholders
from imgserve.engine.render import Renderer
from imgserve.engine.runner import Runner
from imgserve.errors import ImgserveError, sentence_of
from imgserve.imaging.pool import Pool, PoolCannotStart
from imgserve.jobs.model import Ended
from imgserve.jobs.sqlite.queue import SqliteQueue
from imgserve.server.ending import Ending, busy_threads, drain, in_time
from imgserve.settings.load import Settings
from imgserve.settings.tree import Settings
from imgserve.telemetry import logs, metrics, tracing
from imgserve.telemetry.states import States
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.fetch import Fetch
from imgserve.transfer.store import Store

BEGUN_BYTES = 64_000_000
COLLECT_AFTER = 20_000
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
KEEP_BYTES = 64 * 1024 * 1024
# Of the time for all closing: reserved for the steps after the servers, and for the queue, which is closed last.
PARTS_RESERVE_S, QUEUE_RESERVE_S = 1.0, 0.7
TRACES_S = 0.4
QUEUE = "the queue"


class CannotStart(ImgserveError):
    code = "cannot_start"
    title = "The server cannot start"


class Door(NamedTuple):
    """The daemon's open listener and callbacks: ``on_listening`` gets the URL, ``on_hangup`` is called at SIGHUP."""

    listener: socket.socket
    certificate: Certificate | None
    started_as: StartedAs
    on_listening: Callable[[str], None]
    on_hangup: Callable[[], None]


class Parts:
    """The parts of one server process."""

    def __init__(
        self, settings: Settings, queue: SqliteQueue, clock: Clock, is_shared: Callable[[], bool], max_kept: int
    ) -> None:
        """``max_kept``: pictures in each store, however small."""
        self.queue = queue
        self.pool = Pool(settings.pool, settings.limits, is_shared)
        self.transfers = Transfers(settings.transfer, settings.limits, pages.reader(self.pool))
        begun: Store[Fetch] = Store(BEGUN_BYTES, max_kept, on_drop=Fetch.cancel)
        placeholders = Placeholders(self.pool, settings.placeholder)
        deliveries = Deliveries(queue, self.transfers, clock)
        renderer = Renderer(self.transfers, self.pool)
        renditions: Store[Blob] = Store(settings.attempt.kept_renditions_bytes, max_kept)
        attempts = Attempts(queue, renderer, deliveries, begun, renditions, settings.attempt, clock)
        debts = Debts(
            queue,
            deliveries,
            placeholders,
            settings.attempt.delivery_timeout_s,
            max(settings.runner.max_debts // 2, 1),
            settings.attempt.retry_delay_s,
            clock,
        )
        self.runner = Runner(queue, attempts, debts, settings.runner, settings.queue, is_shared, clock)
        self.desk = Desk(queue, self.runner, begun, settings.intake.deadline_s, clock)
        intake = settings.intake
        sharing = Sharing(intake.max_at_once, intake.max_waiting, settings.queue.share, intake.host_share)
        self.intake = Intake(
            queue, self.transfers, self.pool, placeholders, deliveries, begun, sharing, settings.limits, intake,
            clock,
        )  # fmt: skip
        self.protected = Protected(settings.api.origins())
        self.refusals = Refusals()
        self.states = States(
            self.protected.states, self.intake.states, queue.states, self.transfers.states, self.pool.states
        )


def run(settings: Settings, door: Door) -> int:
    """Serve until SIGTERM or SIGINT; 0 when every end of a job has been stored. Hanging steps are left behind: the
    caller leaves by ``ending.leave``. Raises CannotStart, StorageFailing, OSError.
    """
    loop = uvloop.new_event_loop()  # never closed: that would wait for the hanging steps
    ending = Ending(settings.drain_s, loop)
    ending.listen()  # before there is any other thread
    try:
        tracing.start(settings.tracing)
        _begin(settings)
        shares = descriptors.shares(descriptors.raise_limit())
        loop.run_until_complete(_serve(settings, door, shares, ending))
    except asyncio.CancelledError:
        logs.event("stopped", detail="while it was starting")
    else:
        logs.event("stopped", threads=busy_threads())
    finally:
        in_time(tracing.stop, TRACES_S)
    return 0 if ending.is_complete else 1


def _begin(settings: Settings) -> None:
    """Log oddities of the settings, and arm the failpoints that tests switch on."""
    if settings.ignored_variables:
        detail = "set by Kubernetes or Docker for a service called imgserve, and no settings"
        logs.event("variables_ignored", names=",".join(settings.ignored_variables), detail=detail)
    for old, new in settings.renamed:
        logs.event("setting_renamed", level=logs.WARNING, old=old, new=new, detail="the old name is taken until 1.0")
    if settings.test is not None:
        logs.event("test_switches", switches=repr(settings.test))
        if settings.test.failpoint:
            failpoint.arm(settings.test.failpoint, settings.test.nth)
        if settings.test.failpoint_file:
            failpoint.arm_by(Path(settings.test.failpoint_file))


async def _serve(settings: Settings, door: Door, shares: Shares, ending: Ending) -> None:
    starting = asyncio.current_task()
    assert starting is not None
    ending.starting(starting.cancel)
    keys = Keys(settings.api.keys)
    reload = partial(_reload, keys, settings.api.key_file, door)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    async with _parts(settings, keys.are_several, shares, ending) as parts:
        application = app.build(
            settings.api, keys, parts.protected, parts.refusals, parts.intake, parts.queue, parts.pool, parts.transfers,
            parts.states,
        )  # fmt: skip
        seats = Seats(*settings.api.connections(shares.connections))
        timeout_s = settings.api.header_timeout_s
        server = listener.server(application, TimedProtocol, timeout_s, door.certificate, seats)
        host, port = door.listener.getsockname()[:2]
        scheme = "https" if door.certificate else "http"
        address = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        itself = Itself(address, str(settings.data_dir.absolute()), door.started_as, settings.drain_s)
        _tune_memory()
        async with _operated(settings, parts, itself, ending):  # until all has ended: a stop can be watched
            serving = asyncio.create_task(server.serve([door.listener]))
            parts.runner.start()
            ending.started()
            door.on_listening(address)
            await ending.until(serving)
            await drain(parts.intake, parts.runner, ending)
            server.should_exit = True
            await ending.close({"the HTTP server": serving}, PARTS_RESERVE_S)


@contextlib.asynccontextmanager
async def _operated(settings: Settings, parts: Parts, itself: Itself, ending: Ending) -> AsyncIterator[None]:
    """Serve the control socket, and log changes of state."""
    handlers = [
        *job_handlers(parts.intake, parts.desk, parts.refusals),
        server_handler(parts.states, parts.queue, parts.pool, itself),
    ]
    with control.listening(settings.data_dir) as own_socket:
        application = control.build_control(handlers, settings.api)
        server = listener.server(application, control.OwnersProtocol, settings.api.header_timeout_s)
        serving = asyncio.create_task(server.serve([own_socket]))
        watching = [asyncio.create_task(watch) for watch in (parts.states.watch(), parts.transfers.watch_roots())]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            server.should_exit = True
            closing: dict[str, Awaitable[object]] = {
                "the control socket": serving,
                "the watch over states": asyncio.gather(*watching, return_exceptions=True),
            }
            await ending.close(closing, PARTS_RESERVE_S)


def _tune_memory() -> None:
    """Collect seldom: loaded code stays for good, and a job's objects are freed by reference counting.

    Transfer buffers come and go with every job: keep their pages instead of asking the kernel anew.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl has not
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEEP_BYTES)
        mallopt(M_MMAP_THRESHOLD, KEEP_BYTES)
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)


@contextlib.asynccontextmanager
async def _parts(
    settings: Settings, is_shared: Callable[[], bool], shares: Shares, ending: Ending
) -> AsyncIterator[Parts]:
    clock = Clock(boot_name=settings.boot_id)
    queue = await SqliteQueue.open(settings.data_dir, settings.queue, clock, _count_end)
    parts = Parts(settings, queue, clock, is_shared, shares.pictures)
    try:
        await parts.pool.start()
        if parts.transfers.proxy is not None:
            detail = "it must keep jobs from addresses that are not public; only the text of their URLs is judged here"
            logs.event("proxy_in_use", proxy=str(parts.transfers.proxy), detail=detail)
        logs.event("workers_started", sandbox=parts.pool.sandbox, pids=",".join(map(str, parts.pool.worker_pids)))
        yield parts
    except PoolCannotStart as error:
        raise CannotStart(str(error)) from error
    finally:
        closing = {"transfers": parts.transfers.break_off(), "render workers": parts.pool.aclose()}
        await ending.close(closing, QUEUE_RESERVE_S)
        await ending.close({QUEUE: queue.aclose()})
        ending.is_complete &= QUEUE not in ending.left_behind


def _count_end(ended: Ended) -> None:
    metrics.job_ended(ended.status, ended.error, ended.ended_at - ended.created_at)


def _reload(keys: Keys, key_file: str, door: Door) -> None:
    """Handle SIGHUP. All files are taken anew, or none where one cannot be read; then the log says so."""
    try:
        door.on_hangup()
        read = read_keys(key_file) if key_file else None
        if door.certificate is not None:
            door.certificate.reload()
        if read is not None:  # what cannot fail comes last
            keys.replace(read)
    except (KeyFileInvalid, CertificateInvalid, OSError) as error:
        logs.event("reload_failed", level=logging.ERROR, detail=sentence_of(error))
    else:
        logs.event("reloaded", keys=len(keys.known))
