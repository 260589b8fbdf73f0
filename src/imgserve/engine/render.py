"""Sources and a rendering in, the finished picture out. Jobs and GETs share this way to it."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack

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
from imgserve.transfer.memory import Together


class Renderer:
    """Equal renders that are under way at the same time are one: equal recipe, size and format of the same bytes.

    The same bytes means the same download. Two downloads from one URL may differ, and the newer job would get the
    older picture.
    """

    def __init__(self, transfers: Transfers, pool: Pool) -> None:
        self._transfers = transfers
        self._pool = pool
        self._under_way = SingleFlight()

    async def sources(self, sources: Sequence[Source], prefetched: Fetch | None = None) -> list[Blob]:
        """All sources of a rendering, in their order, which the caller closes. Raises the transfer's faults.

        Each is downloaded once, the only one perhaps by intake already (``prefetched``). Memory for several is reserved
        in one step: a rendering that held a part of it while it waits for the rest could wait for ever.
        """
        names = dict.fromkeys(sources)
        together = Together(self._transfers.budget, len(names)) if len(names) > 1 else None
        with stage("fetch"), ExitStack() as held, waiting():
            # The wait is for slots and for memory. A download has a time-out of its own.
            if together is not None and prefetched is not None:
                prefetched.close()
                prefetched = None
            fetches = {
                source: held.enter_context(prefetched or self._transfers.open(source, together)) for source in names
            }
            downloads = [fetch.finish() for fetch in fetches.values()]
            await (downloads[0] if together is None else asyncio.gather(*downloads))
            blobs = [fetches[source].blob.share() for source in sources]
        failpoint.reach("fetched")
        return blobs

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
        with stage("render") as timed:
            picture = await self._pool.render(
                source,
                rendering,
                is_svg=info.is_svg,
                is_alone=is_alone,
                principal=principal,
                on_encodes=lambda encodes: timed.add(encodes=encodes) if encodes > 1 else None,
            )
        failpoint.reach("rendered")
        return picture
