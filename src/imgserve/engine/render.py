"""source + recipe -> rendition: fetch once, hand to the pool. The one road to a finished picture."""

from imgserve import failpoint
from imgserve.blob import Blob
from imgserve.imaging.pool import Pool
from imgserve.request.imageinfo import Facts
from imgserve.request.rendering import Rendering
from imgserve.request.source import Source
from imgserve.telemetry.stage import stage
from imgserve.timeout import waiting
from imgserve.transfer.dispatch import Transfers
from imgserve.transfer.fetch import Fetch


class Renderer:
    def __init__(self, transfers: Transfers, pool: Pool) -> None:
        self._transfers = transfers
        self._pool = pool

    async def source(self, source: Source, begun: Fetch | None) -> Blob:
        """The whole source, from a download that intake began or from a new one. Raises the transfer's faults."""
        with stage("fetch"):
            fetch = begun if begun is not None else self._transfers.open(source)
            try:
                with waiting():  # for a slot, for memory; the download itself has a clock of its own
                    blob = await fetch.finish()
            finally:
                fetch.cancel()
        failpoint.reach("fetched")
        return blob

    async def rendition(
        self, source: Blob, facts: Facts, rendering: Rendering, *, is_alone: bool, whose: str = ""
    ) -> Blob:
        """The finished picture. Raises the pool's faults."""
        with stage("render"):
            rendition = await self._pool.render(source, rendering, is_svg=facts.is_svg, is_alone=is_alone, whose=whose)
        failpoint.reach("rendered")
        return rendition.blob
