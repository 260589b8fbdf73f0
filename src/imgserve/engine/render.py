"""A source and a rendering in, the finished picture out. The one road to it, for jobs and for GETs."""

import asyncio

from imgserve import failpoint
from imgserve.blob import Blob
from imgserve.engine.singleflight import SingleFlight
from imgserve.imaging.pool import Pool
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.rendering import Rendering
from imgserve.request.source import Source
from imgserve.telemetry.stage import stage
from imgserve.timeout import waiting
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.fetch import Fetch


class Renderer:
    """Equal renders that are under way at the same time are one: equal recipe, size and format of the same bytes.

    The same bytes means the same download. Two downloads from one URL may differ, and the newer job would get the
    older picture.
    """

    def __init__(self, transfers: Transfers, pool: Pool) -> None:
        self._transfers = transfers
        self._pool = pool
        self._under_way = SingleFlight()

    async def source(self, source: Source, prefetched: Fetch | None) -> Blob:
        """The whole source, which the caller closes, from a download that intake began or from a new one.

        Raises the transfer's faults.
        """
        with stage("fetch"), prefetched or self._transfers.open(source) as fetch, waiting():
            # It waits for a slot and for memory; the download itself has a clock of its own.
            blob = await fetch.finish()
        failpoint.reach("fetched")
        return blob

    async def rendition(
        self, source: Blob, info: ImageInfo, rendering: Rendering, *, is_alone: bool, principal: str = ""
    ) -> Blob:
        """The finished picture, which the caller closes. Raises the pool's faults."""

        def begin() -> asyncio.Task[Blob]:
            own = source.share()
            task = asyncio.create_task(self._render(own, info, rendering, is_alone=is_alone, principal=principal))
            task.add_done_callback(lambda _: own.close())
            return task

        return await self._under_way.result((source, rendering, is_alone, principal), begin)

    async def _render(
        self, source: Blob, info: ImageInfo, rendering: Rendering, *, is_alone: bool, principal: str
    ) -> Blob:
        with stage("render"):
            picture = await self._pool.render(
                source, rendering, is_svg=info.is_svg, is_alone=is_alone, principal=principal
            )
        failpoint.reach("rendered")
        return picture
