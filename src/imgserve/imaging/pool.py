"""The render pool: sends the orders of intake and runner to worker processes, and checks the workers' replies.

Pictures go in and come out as blobs (memfds); this process never parses a picture byte and never imports pyvips.
Called by intake (``probe``, ``draw``) and by ``engine/render.py`` (``render``); built by `server/build.py``.

There are two limits, one for renders and one, of a single worker, for probes and placeholders, so that long renders
block no reply. In both the principal with the fewest workers is next (``principal`` names the principal). With several
principals an idle worker for renders also serves probes and placeholders. The processes come from the stock
(``stock.py``), which never gives a process that has read one principal's bytes to another principal.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec

from imgserve.blob import Blob
from imgserve.imaging.assignment import Assignment
from imgserve.imaging.config import Config
from imgserve.imaging.faults import NoWorker, WorkerDied, stopping
from imgserve.imaging.messages import (
    Drawing,
    DrawRequest,
    Failed,
    PageRead,
    PageRequest,
    Probed,
    ProbeRequest,
    RenderRequest,
    Reply,
    Request,
    Written,
)
from imgserve.imaging.process import CannotStartWorker, Child, WorkerOptions
from imgserve.imaging.replies import checked_info, distrust, expect, fault_of, take_page, take_result
from imgserve.imaging.sealed import read_only
from imgserve.imaging.stock import Owner, Sizes, Stock
from imgserve.limiter import Key, Limiter
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.page import Page
from imgserve.request.recipe import Format
from imgserve.request.rendering import Rendering
from imgserve.telemetry import logs
from imgserve.telemetry.states import State

_RENDER, _INTAKE, _DRAWING = "render", "intake", "drawing"
_KEPT_FORKED = 16  # forked workers share most of their memory, so eight principals may keep one of each kind
# Of a download that goes on: nearly all headers are that short; a longer one than the second is read when all is there.
_FEW_BYTES, _MOST_COPIED_BYTES = 16_384, 1 << 20
_MOST_MEDIA_TYPE = 200  # a header may be longer than a frame


class Rendition(msgspec.Struct, frozen=True):
    """A finished picture, exactly as it was asked for. The caller closes it."""

    blob: Blob
    size: Size
    format: Format


class Staffing(msgspec.Struct, frozen=True):
    """A lane's idle and busy places, how many of them have no worker, and how many pictures wait for a place."""

    role: str
    idle: int
    busy: int
    missing: int
    waiting: int


class PoolCannotStart(Exception):
    """No worker could be started at all. The message gives the reason."""


class Pool:
    """All workers of one server process. ``start`` before use, ``aclose`` afterwards.

    ``is_shared``: whether principals are several, so that none may have all the workers for renders.
    """

    def __init__(self, config: Config, limits: Limits, is_shared: Callable[[], bool] = lambda: False) -> None:
        self._config = config
        self._limits = limits
        options = WorkerOptions(config.sandbox, config.memory_limit_bytes, config.allow_system_libvips)
        self._is_shared = is_shared
        self._workers = {_INTAKE: Limiter(1), _RENDER: Limiter(config.workers)}
        self._stock = Stock(options, self._sizes, has_template=config.isolation != "shared")
        self._is_closed = False

    def states(self) -> Iterator[State]:
        if self.system_libvips:
            yield State("system_libvips", f"pictures are read by libvips {self.system_libvips}, not by the tested one")

    @property
    def sandbox(self) -> str:
        """How the workers are locked in, or why not."""
        return self._stock.sandbox

    @property
    def system_libvips(self) -> str:
        """Version and path of a libvips that is not the wheel's; empty for the wheel's."""
        return self._stock.system_libvips

    @property
    def worker_pids(self) -> tuple[int, ...]:
        return self._stock.pids

    @property
    def template_pids(self) -> tuple[int, ...]:
        """The processes that fork workers and never see a picture."""
        return self._stock.starter.template_pids

    def staffing(self) -> tuple[Staffing, ...]:
        """The staffing of each lane; the last entry counts the workers that stand ready."""
        lacking, ready = self._stock.lacking, self._sizes().fresh
        missing = min(lacking, ready)
        staffings = [Staffing("spare", min(self._stock.fresh, ready), 0, missing, 0)]
        for kind, workers in self._workers.items():
            lacking -= missing
            idle = workers.total - workers.held
            missing = min(lacking, idle)
            staffings.insert(0, Staffing(kind, idle - missing, workers.held, missing, workers.waiting))
        return tuple(staffings)

    async def start(self) -> None:
        """Start the workers that there shall be at the least. Raises PoolCannotStart when even one cannot start."""
        try:
            await self._stock.fill()
        except CannotStartWorker as error:
            await self.aclose()
            raise PoolCannotStart(f"the render workers cannot start: {error}") from error

    async def aclose(self) -> None:
        """Kill every worker and wait until all are reaped. Callers that still wait get NoWorker."""
        self._is_closed = True
        await self._stock.aclose()

    async def probe(
        self, source: Blob, *, is_complete: bool, is_strict: bool = True, principal: str = ""
    ) -> ImageInfo | None:
        """The source's header; None: more bytes are needed. The same growing blob may be probed again.

        Raises SourceUnreadable, SvgInvalid, PictureTooLarge, RenderTimeout, WorkerDied, NoWorker.
        """
        request = ProbeRequest(source.size, is_complete, self._limits, is_strict, source.size)
        if is_complete:
            return await self._probe(request, source, principal)
        # A worker gets sealed bytes only: the beginning of a download that goes on is copied, mostly into a frame.
        head = source.read(_FEW_BYTES)
        few = msgspec.structs.replace(request, size_bytes=len(head), head=head)
        info = await self._info(few, [], principal)
        if info is None and request.size_bytes > _FEW_BYTES:
            with source.copy(_MOST_COPIED_BYTES) as more:
                info = await self._probe(msgspec.structs.replace(request, size_bytes=more.size), more, principal)
        return info

    async def _probe(self, request: ProbeRequest, sealed: Blob, principal: str) -> ImageInfo | None:
        with read_only(sealed) as descriptor:
            return await self._info(request, [descriptor], principal)

    async def _info(self, request: ProbeRequest, descriptors: list[int], principal: str) -> ImageInfo | None:
        async with self._worker(self._kind_for_intake(principal), principal) as child:
            reply = await self._ask(child, request, descriptors, self._config.probe_timeout_s)
            with distrust(child):
                return checked_info(expect(Probed, reply).info, self._limits)

    async def draw(self, drawing: Drawing, *, principal: str = "") -> Blob:
        """A placeholder or failure picture, which the caller closes.

        Raises PictureTooLarge, RenderFailed, RenderTimeout, WorkerDied, NoWorker.
        """
        request, timeout_s = DrawRequest(drawing, self._limits), self._config.probe_timeout_s
        async with self._worker(self._kind_for_intake(principal), principal, is_drawing=True) as child:
            return (await self._write(child, request, [], timeout_s, drawing.size, drawing.format)).blob

    async def render(
        self, source: Blob, rendering: Rendering, *, is_svg: bool = False, is_alone: bool = False, principal: str = ""
    ) -> Rendition:
        """Carry it out on a worker that is idle, waiting for one if need be.

        ``is_svg`` sets the shorter deadline. ``is_alone`` starts a worker for this picture only and ends it afterwards.
        Raises SourceUnreadable, SvgInvalid, PictureTooLarge, RenderFailed, RenderTimeout, WorkerDied, NoWorker.
        """
        request = RenderRequest(source.size, rendering, self._limits)
        timeout_s = self._config.svg_timeout_s if is_svg else self._config.render_timeout_s
        worker = self._lone_worker() if is_alone else self._worker(_RENDER, principal)
        with read_only(source) as descriptor:
            async with worker as child:
                return await self._write(child, request, [descriptor], timeout_s, rendering.size, rendering.format)

    async def read_page(
        self, page: bytes, media_type: str, timeout_s: float, *, is_reply_awaited: bool, principal: str = ""
    ) -> Page:
        """Have a worker read an upload page's forms. ``is_reply_awaited``: by the intake worker.

        Raises PageUnreadable, RenderFailed, RenderTimeout, WorkerDied, NoWorker; TimeoutError if no worker was free.
        """
        ends_at = asyncio.get_running_loop().time() + timeout_s
        request = PageRequest(len(page), media_type[:_MOST_MEDIA_TYPE])
        kind = self._kind_for_intake(principal) if is_reply_awaited else _RENDER
        with Blob.of(page) as source, Blob() as result, read_only(source) as descriptor:
            async with contextlib.AsyncExitStack() as held:
                async with asyncio.timeout_at(ends_at):
                    child = await held.enter_async_context(self._worker(kind, principal))
                left_s = max(ends_at - asyncio.get_running_loop().time(), 0.001)
                timeout_s = min(self._config.probe_timeout_s, left_s)
                reply = await self._ask(child, request, [descriptor, result.fd], timeout_s)
                with distrust(child):
                    expect(PageRead, reply)
                    return take_page(result)

    async def _write(
        self,
        child: Child,
        request: Request,
        descriptors: list[int],
        timeout_s: float,
        size: Size,
        output_format: Format,
    ) -> Rendition:
        with Blob() as result:
            reply = await self._ask(child, request, [*descriptors, result.fd], timeout_s)
            with distrust(child):
                take_result(result, expect(Written, reply), size, output_format, self._limits)
            return Rendition(result.share(), size, output_format)

    async def _ask(self, child: Child, request: Request, descriptors: list[int], timeout_s: float) -> Reply:
        """Returns the reply or raises its error. A worker that hit a bug or decoded a broken picture is killed."""
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

    def _kind_for_intake(self, principal: str) -> str:
        """Of several principals one may keep the intake worker busy; an idle worker for renders helps out meanwhile."""
        is_busy = self._workers[_INTAKE].held > 0
        helps = self._is_shared() and is_busy and self._workers[_RENDER].is_free(self._key(_RENDER, principal))
        return _RENDER if helps else _INTAKE

    def _key(self, kind: str, principal: str) -> Key:
        """Of two render workers and more, one of several principals leaves one to the others."""
        workers = self._workers[kind].total
        return Key(principal, workers - 1 if workers > 1 and self._is_shared() else workers)

    def _worker(self, kind: str, principal: str, *, is_drawing: bool = False) -> Assignment:
        self._check_open()
        is_used_up = self._config.isolation == "picture" and not is_drawing
        most_renders = 0 if is_used_up else self._config.recycle_after
        owner = self._owner(kind, principal, is_drawing=is_drawing)
        return Assignment(self._workers[kind], self._key(kind, principal), self._stock, owner, most_renders)

    @contextlib.asynccontextmanager
    async def _lone_worker(self) -> AsyncIterator[Child]:
        """A process for one picture, beyond the limits."""
        self._check_open()
        try:
            child = await self._stock.start_one()
        except CannotStartWorker as error:
            raise NoWorker(f"no fresh render worker could be started: {error}", "try again") from error
        try:
            yield child
        finally:
            child.kill("surplus")

    def _check_open(self) -> None:
        if self._is_closed:
            raise stopping()

    def _owner(self, kind: str, principal: str, *, is_drawing: bool) -> Owner:
        if self._config.isolation == "shared":
            return Owner("", kind)
        if is_drawing and self._draws_apart:
            return Owner("", _DRAWING)
        return Owner(principal, kind)

    @property
    def _draws_apart(self) -> bool:
        """Placeholders are everybody's: a worker that never reads a picture draws them, and stays."""
        return self._config.isolation == "picture" or (self._config.isolation == "principal" and self._is_shared())

    def _sizes(self) -> Sizes:
        """Of several principals each may keep some workers, beside those that work and those that stand ready."""
        working = self._config.workers + 1 + self._draws_apart
        fresh, kept = (2, _KEPT_FORKED) if self._stock.starter.is_forking else (1, working)
        return Sizes(fresh, least=working + fresh, most=working + fresh + kept * self._is_shared())
