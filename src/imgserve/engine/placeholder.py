"""Placeholders and failure pictures. The intake worker draws them; a cache keeps them by size, format, colour, words
and quality, so that a thousand thumbnails of one size are drawn once.
"""

import asyncio
from collections import OrderedDict

import msgspec

from imgserve.blob import Blob, Fingerprint
from imgserve.engine.config import PlaceholderConfig
from imgserve.imaging.messages import Drawing
from imgserve.imaging.pool import Pool
from imgserve.request.job import FixedOutput

FAILURE_COLOR = "#8c8c8c"
FAILURE_TEXT = "Image processing failed"

SMALLEST_CHARGE_BYTES = 65_536


class Drawn(msgspec.Struct, frozen=True):
    """A drawn picture; its digest (BLAKE2b, 16 bytes) distinguishes it from a real source."""

    blob: Blob
    digest: bytes


class Placeholders:
    def __init__(self, pool: Pool, config: PlaceholderConfig) -> None:
        self._pool = pool
        self._config = config
        self._drawn: OrderedDict[Drawing, asyncio.Future[Drawn]] = OrderedDict()
        self._size_bytes = 0

    async def waiting(self, output: FixedOutput, whose: str = "") -> Drawn:
        wanted = output.placeholder
        return await self._draw(_drawing(output, wanted.color, wanted.text if wanted.style == "text" else ""), whose)

    async def failed(self, output: FixedOutput, whose: str = "") -> Drawn:
        return await self._draw(_drawing(output, FAILURE_COLOR, FAILURE_TEXT), whose)

    async def _draw(self, drawing: Drawing, whose: str) -> Drawn:
        """One drawing serves all equal requests; a failed one is not kept."""
        known = self._drawn.get(drawing)
        if known is None:
            known = asyncio.ensure_future(self._make(drawing, whose))
            self._drawn[drawing] = known
            known.add_done_callback(lambda done: self._keep(drawing, done))
        self._drawn.move_to_end(drawing)
        return await asyncio.shield(known)

    async def _make(self, drawing: Drawing, whose: str) -> Drawn:
        blob = await self._pool.draw(drawing, whose=whose)
        return Drawn(blob, digest(blob))

    def _keep(self, drawing: Drawing, done: asyncio.Future[Drawn]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._drawn.pop(drawing, None)
            return
        self._size_bytes += _charge(done.result())
        for old, drawn in list(self._drawn.items()):
            if self._size_bytes <= self._config.cache_bytes:
                break
            if drawn.done():
                self._size_bytes -= _charge(drawn.result())
                del self._drawn[old]


def _charge(drawn: Drawn) -> int:
    """The cost of a picture in the cache, with a charge for its descriptor, since descriptors are scarce."""
    return max(drawn.blob.size, SMALLEST_CHARGE_BYTES)


def digest(blob: Blob) -> bytes:
    """BLAKE2b-128 of the bytes. Ask only for pictures as small as placeholders are: it runs where it is called."""
    return Fingerprint.of(blob.read()).digest


def _drawing(output: FixedOutput, color: str, text: str) -> Drawing:
    options = output.recipe.output
    assert options.format is not None
    return Drawing(output.size, options.format, color, text, options.quality)
