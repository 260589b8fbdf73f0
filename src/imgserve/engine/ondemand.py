"""Pictures for clients that wait for them: ``/v1/render`` and ``/v1/info``. Nothing is stored.

In: a source while it is fetched or received, and a recipe. Out: the picture, or the source's header. The recipe's
checks, the limits and the workers are those of jobs; a flood of one leaves half of the workers to the other.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator

import msgspec

from imgserve.blob import Blob
from imgserve.engine import pictures
from imgserve.engine.config import OnDemandConfig
from imgserve.engine.ondemand_slots import Slots
from imgserve.engine.pictures import Inputs, NamedPictures
from imgserve.engine.probe import FIRST_BYTES, check_svg, info_of
from imgserve.engine.receiving import Receiving
from imgserve.engine.render import Renderer
from imgserve.engine.resolve import log_ignored
from imgserve.imaging.faults import RenderFailed, RenderTimeout, SourceUnreadable, WorkerDied
from imgserve.imaging.messages import Include, Inspected, Written
from imgserve.imaging.pool import Pool
from imgserve.request.encode import Defaults, Format
from imgserve.request.faults import Fault, RequestInvalid
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.limits import Limits
from imgserve.request.principal import Principal
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering, resolve
from imgserve.request.source import Source
from imgserve.request.wish import Given, is_settled
from imgserve.telemetry.stage import stage
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.faults import SourceRefused, TransfersBusy
from imgserve.transfer.fetch import Fetch

MEMORY_PATIENCE_S = 5.0
# Beside a source's own time-out, for its waits: for a free transfer, and for memory.
FETCH_PATIENCE_S = 10.0
# A source up to this size is waited for before its header is read: that saves a request to a worker. A larger one may
# be refused by its beginning, if it takes longer than this.
_SMALL_BYTES, _SOON_S = 2_000_000, 0.5

# Takes a piece of a picture; a view is read during the call.
Take = Callable[[bytes | memoryview], object]
# Gives all of a picture to ``take``.
Pour = Callable[[Take], Awaitable[None]]


class Picture(msgspec.Struct, frozen=True):
    """A finished picture, whose blob the caller closes, and the seconds until its source was there, until a worker had
    it, and until it was rendered. ``encodes`` is the number that ``max_bytes`` took.
    """

    blob: Blob
    format: Format
    fetch_s: float
    wait_s: float
    render_s: float
    encodes: int


class Facts(msgspec.Struct, frozen=True):
    """A source's header, its length, where that is known, and what was to be included."""

    info: ImageInfo
    size_bytes: int | None
    inspected: Inspected | None = None


class OnDemand:
    """``quota``: the fraction of all requests that each of several principals may have under way; ``host_quota``:
    that for sources on one host. ``defaults``: of the settings.
    """

    def __init__(
        self,
        transfers: Transfers,
        pool: Pool,
        renderer: Renderer,
        named: NamedPictures,
        limits: Limits,
        defaults: Defaults,
        config: OnDemandConfig,
        quota: float,
        host_quota: float,
        source_timeout_s: float,
    ) -> None:
        self._transfers = transfers
        self._pool = pool
        self._renderer = renderer
        self._named = named
        self._limits = limits
        self._defaults = defaults
        self._fetch_timeout_s = source_timeout_s + FETCH_PATIENCE_S
        self.slots = Slots(config, quota, host_quota)
        self._receiving = Receiving(int(transfers.budget.total * quota))

    def check_open(self) -> None:
        """Raises Draining."""
        self.slots.check_open()

    async def drain(self) -> None:
        """Accept no more, refuse those that wait; return when all pictures that are being made have been sent."""
        await self.slots.drain()

    @property
    def max_per_principal(self) -> int:
        return self.slots.max_per_principal

    def check(self, recipe: Recipe, principal: Principal) -> None:
        """Judge the pictures that it draws, by text, policy and name. Raises RequestInvalid, CredentialNotAllowed."""
        pictures.judge(recipe, self._transfers, self._named, principal.id)

    def slot(
        self, principal: Principal, source: Source | None = None, client: str = "", *, may_wait: bool = True
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """As that of ``Slots``."""
        return self.slots.slot(principal, source, client, may_wait=may_wait)

    def open(self, source: Source, principal: Principal) -> Fetch:
        """Start a download, which the caller closes.

        Raises RequestInvalid: refused by policy; CredentialNotAllowed.
        """
        try:
            self._transfers.check_source(source)
        except SourceRefused as error:
            raise RequestInvalid(Fault("source_refused", note=error.sentence())) from None
        self._transfers.check_credential(source.sends, source.url, principal.id)
        return self._transfers.open(source, within_s=self._fetch_timeout_s, principal=principal.id)

    def receive(self, pour: Pour, most_bytes: int | None, principal: Principal) -> Fetch:
        """Start to receive a picture. The caller closes it. ``most_bytes``: its length, or more."""

        async def in_part(into: Fetch) -> None:
            size = into.limit_bytes if most_bytes is None else min(most_bytes, into.limit_bytes)
            async with self._receiving.part(principal, size, MEMORY_PATIENCE_S):
                await upload(into)

        upload = self._upload(pour, most_bytes)
        return self._transfers.receive(in_part if principal.has_quota else upload)

    def _upload(self, pour: Pour, most_bytes: int | None) -> Callable[[Fetch], Awaitable[None]]:
        async def upload(into: Fetch) -> None:
            length = None if most_bytes is None else min(most_bytes, into.limit_bytes)
            try:
                async with asyncio.timeout(MEMORY_PATIENCE_S):
                    await into.reserve(length)
            except TimeoutError:
                reason = f"no memory for the picture was free within {MEMORY_PATIENCE_S:g} s"
                raise TransfersBusy(reason, "try again later") from None
            with stage("receive", is_outer=True):
                await pour(into.write)

        return upload

    def received(self, data: bytes) -> Fetch:
        """A picture that has come. The caller closes it. Raises SourceTooLarge."""
        with stage("receive", is_outer=True):
            fetch = self._transfers.received(data)
        if fetch is not None:
            return fetch

        async def pour(take: Take) -> None:
            take(data)

        return self._transfers.receive(self._upload(pour, len(data)))

    async def facts(
        self, fetch: Fetch, principal: Principal, include: frozenset[Include] = frozenset(), *, is_whole: bool = False
    ) -> Facts:
        """The header, from as few bytes as it needs; ``is_whole``: all are read, so that their number is known.

        What is to be included is found by decoding the picture.

        Raises the faults of transfers and pool.
        """
        with stage("on_demand"):
            with stage("probe", is_outer=True):
                info = await info_of(fetch, None, self._pool, principal.id, "request")
            if include or is_whole:
                source = await fetch.finish()
            inspected = None
            if include:
                with stage("render", is_outer=True), of_source():
                    inspected = await self._pool.inspect(source, include, is_svg=info.is_svg, principal=principal.id)
            return Facts(info, fetch.size_bytes, inspected)

    async def picture(
        self, fetch: Fetch, recipe: Recipe, choose: Callable[[ImageInfo], Format], principal: Principal
    ) -> Picture:
        """``choose`` names the format if the recipe does not. Cancelled, it ends the worker that renders.

        Raises RequestInvalid, SourceTooSmall, NotSvg, the faults of transfers and pool, and those of ``choose``.
        """
        with stage("on_demand"):
            came_at = time.perf_counter()
            info = await self._made(fetch, recipe, principal, came_at) if is_settled(recipe) else None
            if isinstance(info, Picture):
                return info
            if info is None:
                with stage("probe", is_outer=True):
                    info = await info_of(fetch, recipe, self._pool, principal.id, "request")
            rendering = self._resolved(recipe, info, choose)
            with stage("fetch", is_outer=True):
                source = await fetch.finish()
            further = self._renderer.pictures(source, [recipe], within_s=self._fetch_timeout_s, principal=principal.id)
            with await further as found:
                inputs = found.of(recipe)
            fetched_at = time.perf_counter()
            with inputs:
                return await self._rendered(inputs, info, rendering, principal, came_at, fetched_at)

    async def _made(
        self, fetch: Fetch, recipe: Recipe, principal: Principal, came_at: float
    ) -> Picture | ImageInfo | None:
        """A picture whose source is small or comes soon, by one request to a worker in place of two; its header, if
        that takes two; None for any other one.
        """
        with stage("fetch", is_outer=True):
            await fetch.more(FIRST_BYTES)
            if fetch.size_bytes is None:
                return None
            try:
                async with asyncio.timeout(_SOON_S if fetch.size_bytes > _SMALL_BYTES else None):
                    source = await fetch.whole()
            except TimeoutError:
                return None
        timed = _Timed(came_at, time.perf_counter())
        try:
            with stage("render", is_outer=True), of_source():
                info, made = await self._pool.made(
                    source,
                    Given(recipe),
                    recipe.load,
                    self._defaults,
                    principal=principal.id,
                    on_start=timed.start,
                    on_written=timed.count,
                )
        except WorkerDied:
            await info_of(fetch, recipe, self._pool, principal.id, "request")  # it may have been the header
            raise
        except SourceUnreadable as error:
            check_svg(recipe, error)
            raise
        if made is None:
            return info
        rendering, blob = made
        log_ignored(recipe.encode, rendering.format)
        return timed.picture(blob, rendering.format)

    def _resolved(self, recipe: Recipe, info: ImageInfo, choose: Callable[[ImageInfo], Format]) -> Rendering:
        if recipe.encode.format is None:
            encode = msgspec.structs.replace(recipe.encode, format=choose(info))
            recipe = msgspec.structs.replace(recipe, encode=encode)
        rendering = resolve(recipe, info, self._limits, self._defaults)
        log_ignored(recipe.encode, rendering.format)
        return rendering

    async def _rendered(
        self,
        inputs: Inputs,
        info: ImageInfo,
        rendering: Rendering,
        principal: Principal,
        came_at: float,
        fetched_at: float,
    ) -> Picture:
        timed = _Timed(came_at, fetched_at)
        with stage("render", is_outer=True), of_source():
            blob = await self._pool.render(
                inputs.source,
                rendering,
                inputs.further,
                is_svg=info.is_svg,
                principal=principal.id,
                work="request",
                on_start=timed.start,
                on_written=timed.count,
            )
        return timed.picture(blob, rendering.format)


def by_chunks(next_chunk: Callable[[], Awaitable[bytes]]) -> Pour:
    """A picture that comes in chunks until one is empty."""

    async def pour(take: Take) -> None:
        while chunk := await next_chunk():
            take(chunk)

    return pour


class _Timed:
    """The times of a picture while it is made, and what the worker tells of it."""

    def __init__(self, came_at: float, fetched_at: float) -> None:
        self._came_at, self._fetched_at, self._started_at = came_at, fetched_at, fetched_at
        self._encodes = 1

    def start(self) -> None:
        self._started_at = time.perf_counter()

    def count(self, written: Written) -> None:
        self._encodes = written.encodes

    def picture(self, blob: Blob, output: Format) -> Picture:
        fetch_s, wait_s = self._fetched_at - self._came_at, self._started_at - self._fetched_at
        return Picture(blob, output, fetch_s, wait_s, time.perf_counter() - self._started_at, self._encodes)


@contextlib.contextmanager
def of_source() -> Iterator[None]:
    """The errors of a render that name no field are the source's: here nothing else is drawn."""
    try:
        yield
    except (RenderTimeout, RenderFailed) as error:
        error.is_of_source = True
        raise
