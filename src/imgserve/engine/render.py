"""A source and a rendering in, the finished picture out. The one road to it, for jobs and for GETs."""

import asyncio

from imgserve import failpoint
from imgserve.blob import Blob
from imgserve.imaging.pool import Pool
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.rendering import Rendering
from imgserve.request.source import Source
from imgserve.telemetry.stage import stage
from imgserve.timeout import waiting
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.fetch import Fetch


class _Shared:
    """A render under way, and how many wait for it."""

    def __init__(self, task: asyncio.Task[Blob]) -> None:
        self.task = task
        self.waiters = 0


class Renderer:
    """Equal renders that are under way at the same time are one: equal recipe, size and format of the same bytes.

    The same bytes means the same download. Two downloads from one URL may differ, and the newer job would get the
    older picture.
    """

    def __init__(self, transfers: Transfers, pool: Pool) -> None:
        self._transfers = transfers
        self._pool = pool
        self._under_way: dict[tuple[Blob, Rendering, bool, str], _Shared] = {}

    async def source(self, source: Source, prefetched: Fetch | None) -> Blob:
        """The whole source, from a download that intake began or from a new one. Raises the transfer's faults."""
        with stage("fetch"):
            fetch = prefetched if prefetched is not None else self._transfers.open(source)
            try:
                with waiting():  # for a slot, for memory; the download itself has a clock of its own
                    blob = await fetch.finish()
            finally:
                fetch.cancel()
        failpoint.reach("fetched")
        return blob

    async def rendition(
        self, source: Blob, info: ImageInfo, rendering: Rendering, *, is_alone: bool, principal: str = ""
    ) -> Blob:
        """The finished picture. Raises the pool's faults. The last waiter to be cancelled ends the render."""
        key = (source, rendering, is_alone, principal)
        shared = self._under_way.get(key)
        if shared is None:
            shared = _Shared(
                asyncio.create_task(self._render(source, info, rendering, is_alone=is_alone, principal=principal))
            )
            self._under_way[key] = shared
        shared.waiters += 1
        try:
            return await asyncio.shield(shared.task)
        finally:
            shared.waiters -= 1
            if shared.waiters == 0:
                del self._under_way[key]
                shared.task.cancel()
                await asyncio.wait([shared.task])  # until its worker has been ended
            del shared, key  # an error's traceback holds this frame, and would be held by it

    async def _render(
        self, source: Blob, info: ImageInfo, rendering: Rendering, *, is_alone: bool, principal: str
    ) -> Blob:
        with stage("render"):
            rendition = await self._pool.render(
                source, rendering, is_svg=info.is_svg, is_alone=is_alone, principal=principal
            )
        failpoint.reach("rendered")
        return rendition.blob
