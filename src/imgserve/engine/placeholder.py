"""Placeholders and failure pictures. The intake worker draws them, and a cache keeps them, so that a thousand
thumbnails of one size, format, colour, text and quality cost one drawing.
"""

import asyncio

from imgserve.blob import Blob
from imgserve.engine.config import PlaceholderConfig
from imgserve.engine.singleflight import SingleFlight
from imgserve.imaging.messages import Drawing
from imgserve.imaging.pool import Pool
from imgserve.request.job import ResolvedOutput
from imgserve.request.rendering import Rendering
from imgserve.transfer.store import Store

FAILURE_COLOR = "#8c8c8c"
FAILURE_TEXT = "Image processing failed"


class Placeholders:
    """Each picture is drawn once; its fingerprint distinguishes it from a real source. The caller closes it."""

    def __init__(self, pool: Pool, config: PlaceholderConfig) -> None:
        self._pool = pool
        self._drawn: Store[Blob] = Store(config.cache_bytes)
        self._under_way: SingleFlight[Blob] = SingleFlight()

    async def waiting(self, output: ResolvedOutput, principal: str = "") -> Blob:
        placeholder = output.placement.placeholder
        text = placeholder.text if placeholder.style == "text" else ""
        return await self._draw(output.rendering, placeholder.color, text, principal)

    async def failed(self, rendering: Rendering, principal: str = "") -> Blob:
        return await self._draw(rendering, FAILURE_COLOR, FAILURE_TEXT, principal)

    def close(self) -> None:
        self._drawn.close()

    async def _draw(self, rendering: Rendering, color: str, text: str, principal: str) -> Blob:
        assert rendering.size is not None, "a result of an open size has no placeholder"
        drawing = Drawing(rendering.size, rendering.format, color, text, rendering.recipe.encode.quality)
        drawn = self._drawn.get(drawing)
        if drawn is not None:
            return drawn.share()
        return await self._under_way.result(drawing, lambda: asyncio.create_task(self._make(drawing, principal)))

    async def _make(self, drawing: Drawing, principal: str) -> Blob:
        blob = await self._pool.draw(drawing, principal=principal)
        self._drawn.keep(drawing, blob.share(), blob.size)
        return blob
