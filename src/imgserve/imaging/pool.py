"""The render pool: who works, who waits, who takes the place of the dead.

Pictures go in and come out as blobs (memfds); this process never parses a picture byte and never imports pyvips.
Called by intake (``probe``, ``draw``) and by ``render.py`` (``render``); built by ``service.py``.

There are two lanes, one for renders and one of a single worker for probes and placeholders, so that long renders
block no reply. In both callers take turns (``whose`` says for whom it is), and where they are several an idle render
worker helps with probes and placeholders. One spare worker stands ready beside the lanes and takes the place of
whoever dies or is retired.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator

import msgspec

from imgserve import logs, metrics
from imgserve.blob import Blob
from imgserve.imaging.faults import NoWorker, WorkerDied, stopping
from imgserve.imaging.lane import Lane, Staffing
from imgserve.imaging.messages import (
    Drawing,
    DrawRequest,
    Failed,
    Probed,
    ProbeRequest,
    RenderRequest,
    RenderTask,
    Reply,
    Request,
    Written,
)
from imgserve.imaging.process import CannotStartWorker, Child, Sandbox, WorkerOptions, start_child
from imgserve.imaging.replies import Distrusted, checked_facts, died, expect, fault_of, take_result
from imgserve.spec.facts import Facts, Size
from imgserve.spec.limits import Limits
from imgserve.spec.recipe import Format
from imgserve.states import State

_FIRST_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 30.0
_MOST_COPIED_BYTES = 1 << 20  # of a download that goes on; a header that is longer is read when all of it is there


class Config(msgspec.Struct, frozen=True):
    """``workers`` render at the same time; the intake worker and the spare come on top."""

    workers: int = msgspec.field(default_factory=lambda: os.cpu_count() or 1)
    render_timeout_s: float = 15.0
    svg_timeout_s: float = 5.0
    probe_timeout_s: float = 5.0
    recycle_after: int = 1000
    memory_limit_bytes: int = 2_500_000_000
    sandbox: Sandbox = "auto"
    allow_system_libvips: bool = False


class Rendition(msgspec.Struct, frozen=True):
    """A finished picture, exactly as it was asked for."""

    blob: Blob
    size: Size
    format: Format


class PoolCannotStart(Exception):
    """No worker could be started at all: the message tells the operator why."""


class Pool:
    """All workers of one server process. ``start`` before use, ``aclose`` afterwards.

    ``is_shared``: whether callers are several, so that none may have all the workers for renders.
    """

    def __init__(self, config: Config, limits: Limits, is_shared: Callable[[], bool] = lambda: False) -> None:
        self._config = config
        self._limits = limits
        self._options = WorkerOptions(config.sandbox, config.memory_limit_bytes, config.allow_system_libvips)
        self._is_shared = is_shared
        self._render = Lane(config.workers, is_shared)
        self._intake = Lane(1)
        self._spare: Child | None = None
        self._living: set[Child] = set()
        self._unreaped: set[Child] = set()
        self._shortage = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._is_closed = False
        self.sandbox = ""
        self.system_libvips = ""

    def states(self) -> Iterator[State]:
        if self.system_libvips:
            yield State("system_libvips", f"pictures are read by libvips {self.system_libvips}, not by the tested one")

    @property
    def worker_pids(self) -> tuple[int, ...]:
        return tuple(sorted(child.pid for child in self._living))

    def staffing(self) -> tuple[Staffing, ...]:
        """Who works, who is idle, who is missed, who waits: lane by lane, the spare last."""
        spare = int(self._spare is not None)
        return (
            self._render.staffing("render"),
            self._intake.staffing("intake"),
            Staffing("spare", spare, 0, 1 - spare, 0),
        )

    async def start(self) -> None:
        """Start every worker and the spare. Raises PoolCannotStart when even one cannot."""
        count = self._config.workers + 2
        results = await asyncio.gather(*(self._start_child() for _ in range(count)), return_exceptions=True)
        for result in results:
            if isinstance(result, Child):
                self.sandbox, self.system_libvips = result.sandbox, result.system_libvips
                self._employ(result)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            await self.aclose()
            if isinstance(failures[0], CannotStartWorker):
                raise PoolCannotStart(f"the render workers cannot start: {failures[0]}") from failures[0]
            raise failures[0]
        self._supervisor = asyncio.create_task(self._supervise(), name="pool supervisor")

    async def aclose(self) -> None:
        """Kill every worker and wait until all are reaped. Whoever still waits gets NoWorker."""
        self._is_closed = True
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])
        for lane in (self._render, self._intake):
            lane.refuse_all(stopping())
        unreaped = tuple(self._unreaped)
        for child in unreaped:
            child.kill("stopped")
        for child in unreaped:
            await child.reaped()

    async def probe(self, source: Blob, *, is_complete: bool, is_strict: bool = True, whose: str = "") -> Facts | None:
        """What the source's header tells; None: more bytes are needed. The same growing blob may be asked again.

        Raises SourceUnreadable, SvgInvalid, PictureTooLarge, RenderTimeout, WorkerDied, NoWorker.
        """
        sealed = source if is_complete else source.copy(_MOST_COPIED_BYTES)
        request = ProbeRequest(sealed.size, is_complete, self._limits, is_strict, source.size)
        with _read_only(sealed) as descriptor:
            lane = self._lane_of_intake(whose)
            child = await self._worker(lane, whose)
            try:
                reply = await self._ask(child, request, [descriptor], self._config.probe_timeout_s)
                with _distrust(child):
                    return checked_facts(expect(Probed, reply).facts, self._limits)
            finally:
                self._release(child, lane)

    async def draw(self, drawing: Drawing, *, whose: str = "") -> Blob:
        """A placeholder or failure picture.

        Raises PictureTooLarge, RenderFailed, RenderTimeout, WorkerDied, NoWorker.
        """
        lane = self._lane_of_intake(whose)
        child = await self._worker(lane, whose)
        try:
            request = DrawRequest(drawing, self._limits)
            timeout_s = self._config.probe_timeout_s
            return (await self._write(child, request, [], timeout_s, drawing.size, drawing.format)).blob
        finally:
            self._release(child, lane)

    async def render(
        self, source: Blob, task: RenderTask, *, is_svg: bool = False, is_alone: bool = False, whose: str = ""
    ) -> Rendition:
        """Carry out the task on a worker that is idle, waiting for one if need be.

        ``is_svg`` sets the shorter deadline. ``is_alone`` starts a worker for this picture only and ends it afterwards.
        Raises SourceUnreadable, SvgInvalid, PictureTooLarge, RenderFailed, RenderTimeout, WorkerDied, NoWorker.
        """
        output_format = task.recipe.output.format
        assert output_format is not None, "a rendition's format is settled before it is asked for"
        request = RenderRequest(source.size, task, self._limits)
        timeout_s = self._config.svg_timeout_s if is_svg else self._config.render_timeout_s
        lane = None if is_alone else self._render
        with _read_only(source) as descriptor:
            child = await self._worker(lane, whose)
            try:
                return await self._write(child, request, [descriptor], timeout_s, task.size, output_format)
            finally:
                self._release(child, lane)

    async def _write(
        self,
        child: Child,
        request: Request,
        descriptors: list[int],
        timeout_s: float,
        size: Size,
        output_format: Format,
    ) -> Rendition:
        result = Blob()
        reply = await self._ask(child, request, [*descriptors, result.fd], timeout_s)
        with _distrust(child):
            take_result(result, expect(Written, reply), size, output_format, self._limits)
        return Rendition(result, size, output_format)

    async def _ask(self, child: Child, request: Request, descriptors: list[int], timeout_s: float) -> Reply:
        """The reply, or the fault that it tells of. Who met a fault of its own, or decoded what is broken, ends."""
        try:
            reply = await child.ask(request, descriptors, timeout_s)
        except WorkerDied:
            if self._is_closed:
                raise stopping() from None
            raise
        child.renders += not isinstance(request, ProbeRequest)
        if not isinstance(reply, Failed):
            return reply
        is_broken = isinstance(request, RenderRequest) and reply.code in ("source_unreadable", "svg_invalid")
        if is_broken or reply.code == "render_failed" or reply.is_last:
            child.kill("fault")
        if reply.trace:
            logs.event("render_fault", level=logs.ERROR, pid=child.pid, code=reply.code, trace=reply.trace)
        raise fault_of(reply)

    def _lane_of_intake(self, whose: str) -> Lane:
        """Of several callers one may keep the intake worker busy; a render worker that is idle helps out meanwhile."""
        helps = self._is_shared() and not self._intake.idle and self._render.is_ready_for(whose)
        return self._render if helps else self._intake

    async def _worker(self, lane: Lane | None, whose: str) -> Child:
        """The lane's next idle one, or without a lane a fresh one; followed by one ``_release``."""
        if self._is_closed:
            raise stopping()
        if lane is not None:
            return await lane.acquire(whose)
        try:
            return await self._start_child()
        except CannotStartWorker as error:
            raise NoWorker(f"no fresh render worker could be started: {error}", "try again") from error

    def _release(self, child: Child, lane: Lane | None) -> None:
        if lane is None:
            child.kill("surplus")
            return
        if child.renders >= self._config.recycle_after:
            child.kill("retired")
        lane.release(child)

    async def _start_child(self) -> Child:
        child = await start_child(self._options)
        if self._is_closed or not child.is_alive:
            child.kill("stopped")
            await child.reaped()
            raise CannotStartWorker("the server is stopping" if self._is_closed else "it died as soon as it was ready")
        self._living.add(child)
        self._unreaped.add(child)
        child.on_death = self._bury
        child.on_reaped = self._unreaped.discard
        return child

    def _employ(self, child: Child) -> None:
        """Give a ready worker to the lane that lacks one; intake first, for callers wait there for their reply."""
        if not child.is_alive:
            # A dead member would never be missed: its lane would wait for it for ever.
            self._shortage.set()
            return
        for lane in (self._intake, self._render):
            if lane.lacking > 0:
                lane.add(child)
                return
        if self._spare is None:
            self._spare = child
        else:
            child.kill("surplus")

    def _bury(self, child: Child) -> None:
        """A worker has died: its place goes to the spare at once, and a new spare is ordered."""
        self._living.discard(child)
        metrics.worker_ended(child.end)
        if child.end in ("died", "deadline"):
            logs.event("worker_ended", level=logs.WARNING, pid=child.pid, cause=child.end)
        for lane in (self._intake, self._render):
            lane.remove(child)
        if self._spare is child:
            self._spare = None
        if self._is_closed:
            return
        spare, self._spare = self._spare, None
        if spare is not None:
            self._employ(spare)
        self._shortage.set()

    @property
    def _is_short(self) -> bool:
        return self._spare is None or self._intake.lacking > 0 or self._render.lacking > 0

    async def _supervise(self) -> None:
        """Start workers one after the other while any is missing; wait longer after each failure."""
        backoff_s = _FIRST_BACKOFF_S
        while True:
            await self._shortage.wait()
            self._shortage.clear()
            while self._is_short:
                try:
                    self._employ(await self._start_child())
                    backoff_s = _FIRST_BACKOFF_S
                except CannotStartWorker as error:
                    logs.event("worker_cannot_start", level=logs.ERROR, detail=str(error))
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(2 * backoff_s, _LONGEST_BACKOFF_S)


@contextlib.contextmanager
def _distrust(child: Child) -> Iterator[None]:
    """End a worker that says what none of ours says; the picture has cost a worker its life. Raises WorkerDied."""
    try:
        yield
    except Distrusted as error:
        child.kill("fault")
        raise died(error) from error


@contextlib.contextmanager
def _read_only(source: Blob) -> Iterator[int]:
    """A descriptor for a worker, with an offset of its own; the blob is sealed, or not shown to any worker.

    Through /proc a worker may open what it may only read for writing too, so the descriptor alone protects nothing.
    """
    try:
        source.seal()
    except OSError as error:
        raise NoWorker(f"the source cannot be sealed: {error.strerror}", "use a kernel of 5.1 or newer") from error
    descriptor = os.open(f"/proc/self/fd/{source.fd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
