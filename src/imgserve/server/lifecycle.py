"""One server process from start to end: the order in which its components start, serve, drain and close.

``detach`` calls ``run``; ``build`` makes the components, ``ending`` waits for signals and bounds each step. The HTTP
server runs inside our own event loop, so that start, drain and signals are ours.
"""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import uvloop

from imgserve import descriptors, failpoint
from imgserve.api import control
from imgserve.api.auth import Keys
from imgserve.api.control_socket import StartedAs
from imgserve.api.http.connection import TimedProtocol
from imgserve.api.http.server import Server
from imgserve.api.http.slots import Slots
from imgserve.api.http.tls import Certificate
from imgserve.api.keyfile import Key
from imgserve.api.presets import Presets
from imgserve.api.v1.server import Itself
from imgserve.clock import Clock
from imgserve.engine import pictures
from imgserve.errors import ImgserveError
from imgserve.server import build, memory
from imgserve.server.build import Components
from imgserve.server.calls import Calls
from imgserve.server.ending import Ending, busy_threads, in_time
from imgserve.server.reload import Reload
from imgserve.settings.tree import Settings
from imgserve.telemetry import logs, tracing

# Of the time for all closing: reserved for the steps after the servers, and for the queue, which is closed last.
PARTS_RESERVE_S, QUEUE_RESERVE_S = 1.0, 0.7
TRACES_S = 0.4
QUEUE = "the queue"


class CannotStart(ImgserveError):
    """The server cannot start."""


class Endpoint(NamedTuple):
    """The daemon's listener, certificate, keys and callbacks: ``on_listening`` gets the URL, ``on_hangup`` a SIGHUP."""

    listener: socket.socket
    certificate: Certificate | None
    keys: tuple[Key, ...]
    started_as: StartedAs
    on_listening: Callable[[str], None]
    on_hangup: Callable[[], None]


def run(settings: Settings, endpoint: Endpoint) -> int:
    """Serve until SIGTERM or SIGINT; 0 when every end of a job has been stored. Steps that hang are left behind, so
    ``detach`` ends the process by ``ending.leave``. Raises CannotStart, StorageFailing, OSError.
    """
    loop = uvloop.new_event_loop()  # never closed: that would wait for the hanging steps
    ending = Ending(settings.drain_s, loop)
    ending.listen()  # before any other thread starts
    try:
        tracing.start(settings.tracing)
        _begin(settings)
        with build.data_dir_held(settings):
            loop.run_until_complete(_serve(settings, endpoint, descriptors.raise_limit(), ending))
    except asyncio.CancelledError:
        logs.event("stopped", detail="while it was starting")
    else:
        logs.event("stopped", threads=busy_threads())
    finally:
        in_time(tracing.stop, TRACES_S)
    return 0 if ending.is_complete else 1


def _begin(settings: Settings) -> None:
    """Log what is odd in the settings, and arm the failpoints of tests."""
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


async def _serve(settings: Settings, endpoint: Endpoint, max_descriptors: int, ending: Ending) -> None:
    starting = asyncio.current_task()
    assert starting is not None
    ending.on_signal = starting.cancel
    keys, presets = Keys(endpoint.keys), Presets(settings.presets)
    reloading = Reload(settings, keys, presets, endpoint.certificate, endpoint.on_hangup)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloading.begin)
    async with _running(settings, keys.are_several, max_descriptors, ending) as components:
        reloading.components = components
        application = Calls(components).for_clients(settings.api, keys, presets)
        slots = Slots(*settings.api.connections(descriptors.max_connections(max_descriptors)))
        timeout_s = settings.api.header_timeout_s
        quick = components.on_the_fly.hot.answer if components.on_the_fly.is_on else None
        server = Server(application, TimedProtocol, timeout_s, endpoint.certificate, slots, quick)
        host, port = endpoint.listener.getsockname()[:2]
        scheme = "https" if endpoint.certificate else "http"
        address = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        itself = Itself(
            address, str(settings.data_dir.absolute()), endpoint.started_as, settings.drain_s, settings.role,
            settings.queue_address.shown,
        )  # fmt: skip
        memory.tune()
        async with _operated(
            settings, components, itself, presets, ending
        ):  # until all has ended: a stop can be watched
            serving = asyncio.create_task(server.serve([endpoint.listener]))
            ending.on_signal = ending.stop.set
            endpoint.on_listening(address)
            components.runner.start(has_work=settings.role != "api")  # nothing fails between this and its drain
            await ending.until(serving)
            await drain(components, ending)
            server.stop()
            await ending.close({"the HTTP server": serving}, PARTS_RESERVE_S)


@contextlib.asynccontextmanager
async def _operated(
    settings: Settings, components: Components, itself: Itself, presets: Presets, ending: Ending
) -> AsyncIterator[None]:
    """Serve the control socket, log changes of state, and give free memory back."""
    with control.listening(settings.data_dir) as own_socket:
        application = Calls(components).for_operator(settings.api, itself, presets)
        server = Server(application, control.OwnersProtocol, settings.api.header_timeout_s)
        serving = asyncio.create_task(server.serve([own_socket]))
        loops = (
            components.states.watch(),
            components.transfers.files.watch_roots(),
            components.uploads.run(),
            memory.keep_giving_back(components.pool.renew_swollen),
        )
        watching = [asyncio.create_task(loop) for loop in loops]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            server.stop()
            closing: dict[str, Awaitable[object]] = {
                "the control socket": serving,
                "the watch over states": asyncio.gather(*watching, return_exceptions=True),
            }
            await ending.close(closing, PARTS_RESERVE_S)


@contextlib.asynccontextmanager
async def _running(
    settings: Settings, is_shared: Callable[[], bool], max_descriptors: int, ending: Ending
) -> AsyncIterator[Components]:
    clock = Clock(boot_name=settings.boot_id)
    queue = await build.open_queue(settings, clock)
    max_connections, _ = settings.api.connections(descriptors.max_connections(max_descriptors))
    max_kept = descriptors.max_pictures(max_descriptors)
    components = Components(settings, queue, clock, is_shared, max_kept, max_connections)
    pool, transfers = components.pool, components.transfers
    try:
        await components.uploads.start()
        await pool.start()
        await components.on_the_fly.open()
        components.named.replace(await pictures.read(settings.pictures, pool, settings.limits))
        if transfers.proxy is not None:
            detail = "it must keep jobs from addresses that are not public; only the text of their URLs is judged here"
            logs.event("proxy_in_use", proxy=str(transfers.proxy), detail=detail)
        logs.event("workers_started", sandbox=pool.sandbox, pids=",".join(map(str, pool.worker_pids)))
        yield components
    finally:
        closing = {
            "transfers": transfers.cancel(),
            "render workers": pool.aclose(),
            "the cache": components.on_the_fly.close(),
        }
        await ending.close(closing, QUEUE_RESERVE_S)
        components.close()
        await ending.close({QUEUE: queue.aclose()})
        ending.is_complete &= QUEUE not in ending.left_behind


async def drain(components: Components, ending: Ending) -> None:
    """Answer the open requests, let attempts finish, give the rest back; a second signal cuts this short."""
    intake, runner = components.intake, components.runner
    logs.event("draining")
    components.waits.end()
    components.streams.end()
    components.uploads.end()
    ends_at = time.monotonic() + ending.drain_s

    async def finish() -> None:
        try:
            async with asyncio.timeout(ending.drain_s):
                await asyncio.gather(intake.drain(), components.on_demand.drain())
        except TimeoutError:
            logs.event("intake_cut_short", level=logs.WARNING, requests=intake.under_way)
            intake.refuse_open()
        await runner.stop(max(ends_at - time.monotonic(), 0.0))

    finishing = asyncio.create_task(finish())
    hurried = asyncio.create_task(ending.hurry.wait())
    await asyncio.wait([finishing, hurried], return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if not finishing.done():
        finishing.cancel()
        intake.refuse_open()
        await runner.stop(0.0)
    for number in runner.unsettled:
        ending.is_complete = False
        logs.event("end_not_stored", level=logs.ERROR, number=number, detail="the next start carries the job on")
