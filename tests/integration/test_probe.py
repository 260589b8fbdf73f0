"""How often a download is looked at while it grows."""

import asyncio

from imgserve.engine.probe import info_of
from imgserve.imaging.config import Config
from imgserve.imaging.messages import ProbeRequest, Reply, Request
from imgserve.imaging.pool import Pool
from imgserve.imaging.process import Child
from imgserve.limiter import Limiter
from imgserve.request.limits import Limits
from imgserve.transfer.fetch import SMALL_BYTES, Fetch
from tests.support import pictures
from tests.support.sizes import PATIENCE_S

WEBP = pictures.encoded(pictures.detailed(800, 600), "webp")
BEGINNING = 20_000


class Counting(Pool):
    """``probes``: whether the source was complete, for each answer of a worker. ``descriptors``: as many were sent."""

    def __init__(self) -> None:
        super().__init__(Config(workers=1, probe_timeout_s=PATIENCE_S), Limits())
        self.probes: list[bool] = []
        self.descriptors = 0
        self.has_probed = asyncio.Event()

    async def _ask(self, child: Child, request: Request, descriptors: list[int], timeout_s: float) -> Reply:
        reply = await super()._ask(child, request, descriptors, timeout_s)
        assert isinstance(request, ProbeRequest)
        self.probes.append(request.is_complete)
        self.descriptors += len(descriptors)
        self.has_probed.set()
        return reply


async def test_a_picture_that_is_read_whole_is_looked_at_twice() -> None:
    """At its beginning, which says so, and at the end. Each further look was a copy of it, and a wait for a worker."""
    pool = Counting()

    async def transfer(into: Fetch) -> None:
        await into.reserve(len(WEBP))
        into.write(WEBP[:BEGINNING])
        await pool.has_probed.wait()
        for begin in range(BEGINNING, len(WEBP), BEGINNING):
            await asyncio.sleep(0)
            into.write(WEBP[begin : begin + BEGINNING])

    await pool.start()
    try:
        with Fetch(Limiter(1 << 20), 1 << 20) as fetch:
            fetch.start(transfer)
            assert (await info_of(fetch, None, pool, "")).format == "webp"
    finally:
        await pool.aclose()
    assert len(WEBP) > 2 * BEGINNING
    assert pool.probes == [False, True]


async def test_a_small_source_comes_in_the_request() -> None:
    pool, data = Counting(), pictures.encoded(pictures.detailed(64, 48), "png")
    assert len(data) < SMALL_BYTES

    async def transfer(into: Fetch) -> None:
        await into.reserve(len(data))
        into.write(data)

    await pool.start()
    try:
        with Fetch(Limiter(1 << 20), 1 << 20) as fetch:
            fetch.start(transfer)
            info = await info_of(fetch, None, pool, "")
    finally:
        await pool.aclose()
    assert (info.format, info.width_px, info.height_px) == ("png", 64, 48)
    assert (pool.probes, pool.descriptors) == ([True], 0)
