"""Placeholders and failure pictures. The intake worker draws them; a cache keeps them by size, format, colour, words
and quality, so that a thousand thumbnails of one size are drawn once.
"""

import asyncio

import msgspec

from imgserve.blob import Blob, Fingerprint
from imgserve.engine.config import PlaceholderConfig
from imgserve.imaging.messages import Drawing
from imgserve.imaging.pool import Pool
from imgserve.request.job import ResolvedOutput
from imgserve.request.rendering import Rendering
from imgserve.transfer.store import Store

FAILURE_COLOR = "#8c8c8c"
FAILURE_TEXT = "Image processing failed"


class Drawn(msgspec.Struct, frozen=True):
    """A drawn picture; its digest (BLAKE2b, 16 bytes) distinguishes it from a real source."""

    blob: Blob
    digest: bytes


class Placeholders:
    def __init__(self, pool: Pool, config: PlaceholderConfig) -> None:
        self._pool = pool
        self._drawn: Store[Drawn] = Store(config.cache_bytes)
        self._under_way: dict[Drawing, asyncio.Task[Drawn]] = {}

    async def waiting(self, output: ResolvedOutput, principal: str = "") -> Drawn:
        wanted = output.placement.placeholder
        text = wanted.text if wanted.style == "text" else ""
        return await self._draw(_drawing(output.rendering, wanted.color, text), principal)

    async def failed(self, rendering: Rendering, principal: str = "") -> Drawn:
        return await self._draw(_drawing(rendering, FAILURE_COLOR, FAILURE_TEXT), principal)

    async def _draw(self, drawing: Drawing, principal: str) -> Drawn:
        """One drawing serves all equal requests; a failed one is not kept."""
        drawn = self._drawn.get(drawing)
        if drawn is not None:
            return drawn
        making = self._under_way.get(drawing)
        if making is None:
            making = self._under_way[drawing] = asyncio.create_task(self._make(drawing, principal))
            making.add_done_callback(lambda ended: self._ended(drawing, ended))
        return await asyncio.shield(making)

    async def _make(self, drawing: Drawing, principal: str) -> Drawn:
        blob = await self._pool.draw(drawing, principal=principal)
        return Drawn(blob, digest(blob))

    def _ended(self, drawing: Drawing, made: asyncio.Task[Drawn]) -> None:
        del self._under_way[drawing]
        # ``exception`` marks it as seen, for nobody may wait for it any more.
        if not made.cancelled() and made.exception() is None:
            self._drawn.keep(drawing, made.result(), made.result().blob.size)


def digest(blob: Blob) -> bytes:
    """BLAKE2b-128 of the bytes. Ask only for pictures as small as placeholders are: it runs where it is called."""
    return Fingerprint.of(blob.read()).digest


def _drawing(rendering: Rendering, color: str, text: str) -> Drawing:
    return Drawing(rendering.size, rendering.format, color, text, rendering.recipe.output.quality)
