"""The render pool: sends the requests of intake and runner to worker processes, and checks the workers' replies.

Pictures go in and come out as blobs (memfds); this process never parses a picture byte and never imports pyvips.
Called by intake (``probe``, ``draw``), by ``engine/render.py`` (``render``), by ``engine/ondemand.py`` (both) and by
``engine/pages.py`` (``read_page``); ``trimmed`` and ``sanitized`` are for GET dialects. Built by `server/build.py`.

Which worker a request gets, and when, is the matter of its staff (``staff.py``).
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from imgserve.blob import Blob
from imgserve.errors import ImgserveError
from imgserve.imaging import messages
from imgserve.imaging.config import Config
from imgserve.imaging.faults import WorkerDied, stopping
from imgserve.imaging.messages import (
    Drawing,
    Include,
    Inspected,
    Probed,
    ProbeRequest,
    Reply,
    Request,
    TrimBox,
    Written,
)
from imgserve.imaging.process import CannotStartWorker, Child
from imgserve.imaging.replies import (
    checked_info,
    distrusted,
    error_of,
    expect,
    part_of,
    take_page,
    take_result,
    take_svg,
)
from imgserve.imaging.sealed import read_only
from imgserve.imaging.staff import RENDER, Staff, Staffing, Work
from imgserve.request.encode import Defaults, Format
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.page import Page
from imgserve.request.recipe import DEFAULT_LOAD, LoadOptions, Recipe
from imgserve.request.rendering import Rendering, steps_of
from imgserve.request.wish import Wish, rendering_of
from imgserve.telemetry import logs
from imgserve.telemetry.states import State

# A worker gets sealed bytes only, so the beginning of a download is copied. Nearly all headers fit into the first few
# bytes, which travel in the request; a header beyond the second limit is read when the download is complete.
_HEAD_BYTES, _MOST_COPIED_BYTES = 16_384, 1 << 20
_DECODING = messages.RenderRequest | messages.MakeRequest | messages.InspectRequest | messages.TrimRequest
_MOST_MEDIA_TYPE = 200  # a header may be longer than a packet


class PoolCannotStart(ImgserveError):
    """No worker can start."""


class Pool:
    """All workers of one server process. ``start`` before use, ``aclose`` afterwards.

    ``is_shared``: whether there are several principals, so that none may have all the workers for renders.
    """

    def __init__(self, config: Config, limits: Limits, is_shared: Callable[[], bool] = lambda: False) -> None:
        self._config = config
        self._limits = limits
        self._staff = Staff(config, is_shared)
        self._stock = self._staff.stock
        self._batches = itertools.count(1)

    def states(self) -> Iterator[State]:
        if self.system_libvips:
            yield State("system_libvips", f"pictures are read by libvips {self.system_libvips}, not by the tested one")

    @property
    def sandbox(self) -> str:
        """The state of the workers' sandbox, in words."""
        return self._stock.ready.sandbox

    @property
    def system_libvips(self) -> str:
        """Version and path of a libvips that is not the wheel's; empty for the wheel's."""
        return self._stock.ready.system_libvips

    @property
    def worker_pids(self) -> tuple[int, ...]:
        return self._stock.pids

    @property
    def template_pids(self) -> tuple[int, ...]:
        """The processes that fork workers and never see a picture."""
        return self._stock.starter.template_pids

    def staffing(self) -> tuple[Staffing, ...]:
        """The staffing of each role; the last entry counts the workers that stand ready."""
        return self._staff.staffing()

    async def start(self) -> None:
        """Start the least number of workers. Raises PoolCannotStart if one of them cannot start."""
        try:
            await self._stock.fill()
        except CannotStartWorker as error:
            await self.aclose()
            raise PoolCannotStart(f"the render workers cannot start: {error}") from error

    async def aclose(self) -> None:
        """Kill every worker and wait until all are reaped. Requests that still wait get NoWorker."""
        await self._stock.aclose()

    def renew_swollen(self) -> None:
        """End the workers that have kept much memory of earlier pictures, and have had none since the last call."""
        self._stock.renew_swollen()

    async def probe(
        self,
        source: Blob | bytes,
        *,
        is_complete: bool,
        load: LoadOptions = DEFAULT_LOAD,
        principal: str = "",
        work: Work = "job",
        on_whole_needed: Callable[[], object] = lambda: None,
    ) -> ImageInfo | None:
        """The header of what ``load`` takes of the source; None: more bytes are needed. The same growing blob may be
        probed again. ``on_whole_needed`` is called where only all bytes will do. A few bytes, which fit into a packet,
        need no blob.

        Raises SourceUnreadable, PageMissing, SvgInvalid, PictureTooLarge, RenderTimeout, WorkerDied, NoWorker.
        """
        if isinstance(source, bytes):
            request = ProbeRequest(is_complete, self._limits, load, len(source), source)
            probed = await self._probe(request, None, principal, work)
        else:
            request = ProbeRequest(is_complete, self._limits, load, source.size)
            probed = await self._probe_blob(request, source, principal, work)
        if probed.info is None and probed.needs_whole:
            on_whole_needed()
        return probed.info

    async def _probe_blob(self, request: ProbeRequest, source: Blob, principal: str, work: Work) -> Probed:
        if request.is_complete:
            return await self._probe(request, source, principal, work)
        probed = await self._probe(replace(request, head=source.read(_HEAD_BYTES)), None, principal, work)
        if probed.info is None and not probed.needs_whole and request.source_bytes > _HEAD_BYTES:
            with source.copy(_MOST_COPIED_BYTES) as copy:
                probed = await self._probe(request, copy, principal, work)
        return probed

    async def _probe(self, request: ProbeRequest, source: Blob | None, principal: str, work: Work) -> Probed:
        with read_only(*([source] if source is not None else [])) as descriptors:
            async with self._staff.worker(self._staff.role_for_intake(principal), principal, work) as child:
                reply = await self._ask(child, request, descriptors, self._config.probe_timeout_s)
                probed = expect(Probed, reply)
                if probed.info is not None:
                    checked_info(probed.info, self._limits)
                return probed

    async def draw(self, drawing: Drawing, *, principal: str = "") -> Blob:
        """A placeholder or failure picture, which the caller closes.

        Raises PictureTooLarge, RenderFailed, RenderTimeout, WorkerDied, NoWorker.
        """
        request = messages.DrawRequest(drawing, self._limits)
        async with self._staff.worker(self._staff.role_for_intake(principal), principal, is_drawing=True) as child:
            return await self._write(child, request, [], self._config.probe_timeout_s, drawing.size, drawing.format)

    async def render(
        self,
        source: Blob,
        rendering: Rendering,
        further: Sequence[Blob] = (),
        *,
        is_svg: bool = False,
        is_alone: bool = False,
        principal: str = "",
        work: Work = "job",
        batch: int = 0,
        on_start: Callable[[], object] = lambda: None,
        on_written: Callable[[Written], object] = lambda _: None,
    ) -> Blob:
        """The finished picture, which the caller closes, from an idle worker; waits for one.

        ``further``: the pictures of ``rendering.recipe.further``, in their order. ``is_svg`` sets the shorter deadline.
        ``is_alone`` starts a worker for this picture only and ends it afterwards. Renderings of one ``batch`` have the
        same source and principal. ``on_start`` is called when a worker is there, ``on_written`` with the worker's
        reply, which tells of encodes and warnings.
        Raises SourceUnreadable, SvgInvalid, PictureTooLarge, RenderFailed, MaxBytesUnreachable, RenderTimeout,
        WorkerDied, NoWorker.
        """
        own = rendering.recipe.without_urls()
        batch = 0 if is_svg or is_alone or self._config.isolation == "picture" else batch
        svg_timeout_s = self._config.svg_timeout_s
        request = messages.RenderRequest(replace(rendering, recipe=own), self._limits, svg_timeout_s, batch)
        timeout_s = svg_timeout_s if is_svg else self._config.render_timeout_s
        worker = self._staff.lone_worker() if is_alone else self._staff.worker(RENDER, principal, work, batch=batch)
        with read_only(source, *further) as descriptors:
            async with worker as child:
                child.batch = batch
                on_start()
                size, output = rendering.size, rendering.format
                return await self._write(child, request, descriptors, timeout_s, size, output, on_written)

    async def made(
        self,
        source: Blob | bytes,
        wish: Wish,
        load: LoadOptions,
        defaults: Defaults,
        *,
        principal: str = "",
        work: Work = "request",
        on_start: Callable[[], object] = lambda: None,
        on_written: Callable[[Written], object] = lambda _: None,
    ) -> tuple[ImageInfo, tuple[Rendering, Blob] | None]:
        """The header, and the finished picture, which the caller closes, by one request to a worker. None: the picture
        needs more than the header, or there is no recipe for it. A few bytes, which fit into a packet, need no blob.

        The shorter deadline of an SVG is one of CPU time here. Raises as ``probe`` and ``render``.
        """
        blobs, short = ([], source) if isinstance(source, bytes) else ([source], b"")
        request = messages.MakeRequest(wish, load, defaults, self._limits, self._config.svg_timeout_s, short)
        with read_only(*blobs) as descriptors, Blob() as result:
            async with self._staff.worker(RENDER, principal, work) as child:
                on_start()
                reply = await self._ask(child, request, [*descriptors, result.fd], self._config.render_timeout_s)
                made = expect(messages.Made, reply)
                info = checked_info(made.info, self._limits)
                if made.written is None:
                    return info, None
                rendering = rendering_of(wish, info, self._limits, defaults)
                if rendering is None:
                    raise distrusted("wrote a picture that it cannot know enough for")
                on_written(take_result(result, made.written, rendering.size, rendering.format, self._limits))
                return info, (rendering, result.share())

    async def trimmed(
        self,
        source: Blob,
        info: ImageInfo,
        recipe: Recipe,
        output: Format,
        *,
        principal: str = "",
        work: Work = "request",
        batch: int = 0,
    ) -> Part:
        """What the recipe's trim keeps of a source with this header, for a result of this format. An SVG may be drawn
        before it, and nothing else be done.

        A rendering of the same ``batch`` uses the decoded pixels again. Raises as ``render``.
        """
        batch = 0 if info.is_svg or self._config.isolation == "picture" else batch
        timeout_s = self._config.svg_timeout_s if info.is_svg else self._config.render_timeout_s
        request = messages.TrimRequest(recipe, output, self._limits, batch)
        with read_only(source) as descriptors:
            async with self._staff.worker(RENDER, principal, work, batch=batch) as child:
                child.batch = batch
                box = expect(TrimBox, await self._ask(child, request, descriptors, timeout_s))
                return part_of(steps_of(recipe.operations, info)[-1].before.size, box)

    def new_batch(self) -> int:
        """For renderings of one source: they go to one worker in turn, and those that decode it at the same scale share
        one decode. Deadline, error and the death of the worker are each one's own.
        """
        return next(self._batches)

    async def inspect(
        self, source: Blob, include: frozenset[Include], *, is_svg: bool = False, principal: str = ""
    ) -> Inspected:
        """Facts of the decoded picture, for a client that waits. Raises as ``render``."""
        timeout_s = self._config.svg_timeout_s if is_svg else self._config.render_timeout_s
        request = messages.InspectRequest(include, self._limits)
        with read_only(source) as descriptors:
            async with self._staff.worker(RENDER, principal, "request") as child:
                return expect(Inspected, await self._ask(child, request, descriptors, timeout_s))

    async def sanitized(self, source: Blob, *, principal: str = "", work: Work = "request") -> Blob | None:
        """An SVG without all that runs, loads or leads elsewhere, which the caller closes.

        None: this installation lacks the library for it.

        Raises SourceUnreadable, SvgInvalid, PictureTooLarge, RenderFailed, RenderTimeout, WorkerDied, NoWorker.
        """
        request = messages.SanitizeRequest(self._limits)
        with read_only(source) as descriptors, Blob() as result:
            async with self._staff.worker(RENDER, principal, work) as child:
                reply = await self._ask(child, request, [*descriptors, result.fd], self._config.svg_timeout_s)
                if not expect(messages.Sanitized, reply).is_possible:
                    return None
                take_svg(result, self._limits)
                return result.share()

    async def read_page(
        self, page: bytes, media_type: str, timeout_s: float, *, is_reply_awaited: bool, principal: str = ""
    ) -> Page:
        """An upload page's forms. ``is_reply_awaited``: read by the intake worker.

        Raises PageUnreadable, RenderFailed, RenderTimeout, WorkerDied, NoWorker; TimeoutError if no worker was free.
        """
        ends_at = asyncio.get_running_loop().time() + timeout_s
        request = messages.PageRequest(media_type[:_MOST_MEDIA_TYPE])
        role = self._staff.role_for_intake(principal) if is_reply_awaited else RENDER
        with Blob.of(page) as source, Blob() as result, read_only(source) as descriptors:
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout_at(ends_at):
                    child = await stack.enter_async_context(self._staff.worker(role, principal))
                left_s = max(ends_at - asyncio.get_running_loop().time(), 0.001)
                timeout_s = min(self._config.probe_timeout_s, left_s)
                expect(messages.PageRead, await self._ask(child, request, [*descriptors, result.fd], timeout_s))
                return take_page(result)

    async def _write(
        self,
        child: Child,
        request: Request,
        descriptors: list[int],
        timeout_s: float,
        size: Size | None,
        output: Format,
        on_written: Callable[[Written], object] = lambda _: None,
    ) -> Blob:
        with Blob() as result:
            reply = await self._ask(child, request, [*descriptors, result.fd], timeout_s)
            on_written(take_result(result, expect(Written, reply), size, output, self._limits))
            return result.share()

    async def _ask(self, child: Child, request: Request, descriptors: list[int], timeout_s: float) -> Reply:
        """Returns the reply or raises its error. A worker that hit a bug or decoded a broken picture is killed."""
        try:
            reply = await child.ask(request, descriptors, timeout_s)
        except WorkerDied:
            if self._stock.is_closed:
                raise stopping() from None
            raise
        child.renders += not isinstance(request, ProbeRequest)
        if not isinstance(reply, messages.Failed):
            return reply
        is_decoded = isinstance(request, _DECODING) and not reply.is_of_header
        is_broken = is_decoded and reply.code in ("source_unreadable", "svg_invalid")
        if is_broken or reply.code == "render_failed" or reply.is_last:
            child.kill("deadline" if reply.code == "render_timeout" else "fault")
        if reply.trace:
            logs.event("render_fault", level=logs.ERROR, pid=child.pid, code=reply.code, trace=reply.trace)
        raise error_of(reply)
