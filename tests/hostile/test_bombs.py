"""Pictures that cost more than they weigh, through the real pool: each is stopped by the limit that it names, in time
and in little memory. With that limit lifted it is not, so the refusal is the limit's own."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import pytest
import pytest_asyncio

from imgserve.blob import Blob
from imgserve.errors import ImgserveError
from imgserve.imaging.config import Config
from imgserve.imaging.faults import PictureTooLarge, RenderTimeout, SourceUnreadable, SvgInvalid
from imgserve.imaging.pool import Pool
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import Limits
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.convolve import Convolve
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.sharpen import Sharpen
from imgserve.request.recipe import MAX_OPERATIONS, LoadOptions, Operation, Recipe
from imgserve.request.rendering import Rendering
from tests.chaos.gauges import Spent, memory
from tests.hostile.bombs_further import FURTHER
from tests.hostile.bombs_raster import RASTER, apng, bmp, cut, flat, gif, heic_grid, ico, webp_film
from tests.hostile.bombs_svg import SVG, comments, doubled
from tests.integration.test_pool import until
from tests.support.pictures import slow_svg
from tests.support.pools import render_bytes
from tests.support.sizes import IS_FULL, PATIENCE_S
from tests.support.twin import Twin

BOMBS = RASTER | SVG
DEAR: dict[str, tuple[Operation, ...]] = {
    "blurs": (Blur(sigma=250),) * (MAX_OPERATIONS - 1),
    "masks": (Convolve(mask=((1.0,) * 31,) * 31),) * (MAX_OPERATIONS - 1),
    "sharpens": (Sharpen(sigma=10),) * (MAX_OPERATIONS - 1),
}
LATEST = [name for name, (stop, _) in BOMBS.items() if stop == "deadline"]
OTHERS = [name for name in BOMBS if name not in LATEST]
FAULTS = {"decoder": SourceUnreadable, "librsvg": SvgInvalid, "deadline": RenderTimeout}
WATCHED = {
    "memory": (PictureTooLarge, "more memory"),
    "measure": (SvgInvalid, "no size of its own"),
    "markup": (SvgInvalid, "cost too much"),
}
DEADLINE_S, SLACK_S = 0.5, 0.5
WORKER_BYTES, PARENT_BYTES = 1_000_000_000, 50_000_000
UNLIMITED = Limits(
    svg_bytes=10**9, frame_pixels=10**12, frames=10**9, total_pixels=10**12, source_bytes=10**9
)  # fmt: skip

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def a_pool(deadline_s: float, limits: Limits) -> AsyncIterator[Pool]:
    times = {"render_timeout_s": deadline_s, "svg_timeout_s": deadline_s, "probe_timeout_s": deadline_s}
    made = Pool(Config(workers=1, **times), limits)  # type: ignore[arg-type]
    await made.start()
    yield made
    await made.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty() -> AsyncIterator[Pool]:
    async for made in a_pool(DEADLINE_S, Limits()):
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient() -> AsyncIterator[Pool]:
    async for made in a_pool(PATIENCE_S, Limits()):
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lifted() -> AsyncIterator[Pool]:
    async for made in a_pool(PATIENCE_S, UNLIMITED):
        yield made


class Exploded(NamedTuple):
    """``cpu_s``: of the worker that used most."""

    error: ImgserveError | None
    cpu_s: float


async def explode(
    pool: Pool,
    data: bytes,
    *,
    is_svg: bool = False,
    is_strict: bool = True,
    operations: tuple[Operation, ...] = (),
    further: Sequence[bytes] = (),
    size: Size | None = None,
) -> Exploded:
    """What intake and runner would do with it: probe, then render. Asserts what it cost.

    How soon the deadline ends a worker is told by the worker's CPU time and by a twin of the deadline, since beside
    other work all takes longer. At full size the machine has no other work, and the clock must agree.
    """
    last = Rasterize() if is_svg else Resize(width=64, height=48)
    recipe = Recipe(operations if size else (*operations, last), Encode(format="png"), LoadOptions(strict=is_strict))

    async def carried_out() -> None:
        with Blob.of(data) as source:
            await pool.probe(source, is_complete=True, load=LoadOptions(strict=is_strict))
        task = Rendering(recipe, size or Size(64, 48), "png")
        await render_bytes(pool, data, task, is_svg=is_svg, further=further)

    await until(lambda: not any(lane.missing for lane in pool.staffing()), "a dead worker was not replaced")
    before, peak, started, spent = memory(os.getpid(), "RssAnon"), 0, time.monotonic(), Spent(pool.worker_pids)
    twin, is_late = Twin(4 * DEADLINE_S), False  # the probe has a deadline of its own
    task = asyncio.ensure_future(carried_out())
    while not task.done():
        await asyncio.wait([task], timeout=0.02)
        peak = max([peak, *(memory(pid, "VmHWM") for pid in pool.worker_pids)])
        spent.look()
        is_late = is_late or await twin.is_first(task)
    twin.stop()
    assert peak < WORKER_BYTES
    assert memory(os.getpid(), "RssAnon") - before < PARENT_BYTES
    error = task.exception()
    assert error is None or isinstance(error, ImgserveError)
    if isinstance(error, RenderTimeout):
        assert spent.most_s < DEADLINE_S + SLACK_S
        assert not is_late
        assert not IS_FULL or time.monotonic() - started < DEADLINE_S + SLACK_S
    return Exploded(error, spent.most_s)


@pytest.mark.parametrize("name", LATEST)
async def test_the_deadline_ends_it(hasty: Pool, name: str) -> None:
    assert isinstance((await explode(hasty, BOMBS[name][1](), is_svg=name in SVG)).error, RenderTimeout)


@pytest.mark.parametrize("name", DEAR)
async def test_the_deadline_ends_a_dear_recipe(hasty: Pool, patient: Pool, name: str) -> None:
    """Of a picture within all limits. The same recipe is carried out on a small one."""
    large, small = (flat(side, side, "PNG") for side in (7000, 70))
    assert isinstance((await explode(hasty, large, is_svg=False, operations=DEAR[name])).error, RenderTimeout)
    assert (await explode(patient, small, is_svg=False, operations=DEAR[name])).error is None


@pytest.mark.parametrize("name", OTHERS)
async def test_its_limit_stops_it(patient: Pool, name: str) -> None:
    stop, make = BOMBS[name]
    error = (await explode(patient, make(), is_svg=name in SVG)).error
    if stop == "nothing":
        assert error is None
    elif stop in FAULTS:
        assert isinstance(error, FAULTS[stop])
    elif stop in WATCHED:
        fault, words = WATCHED[stop]
        assert isinstance(error, fault)
        assert words in error.detail
    else:
        assert isinstance(error, PictureTooLarge)
        assert f"limit {stop} = " in error.detail


@pytest.mark.parametrize(
    ("stop", "data", "is_svg"),
    [
        ("frame_pixels", flat(7100, 7100, "PNG"), False),
        ("frames", gif(1, 1, 257), False),
        ("frames", webp_film(1, 1, 257), False),
        ("total_pixels", gif(1100, 1100, 200), False),
        ("svg_bytes", comments(5_000_001), True),
        ("frame_pixels", bmp(7100, 7100), False),
        ("frame_pixels", ico(flat(7100, 7100, "PNG")), False),
        ("frame_pixels", heic_grid(14, 14), False),
        ("frames", apng(1, 1, 257), False),
        ("total_pixels", apng(1100, 1100, 200), False),
    ],
    ids=[
        "frame_pixels",
        "frames of a gif",
        "frames of a webp",
        "total_pixels",
        "svg_bytes",
        "pixels of a bmp",
        "pixels in an icon",
        "pixels of a heic",
        "frames of a png",
        "total_pixels of a png",
    ],
)
async def test_with_its_limit_lifted_it_is_drawn(
    patient: Pool, lifted: Pool, stop: str, data: bytes, *, is_svg: bool
) -> None:
    refused = (await explode(patient, data, is_svg=is_svg)).error
    assert refused is not None
    assert stop in refused.detail
    assert (await explode(lifted, data, is_svg=is_svg)).error is None


async def test_with_the_deadline_lifted_it_is_drawn(hasty: Pool, patient: Pool) -> None:
    for each in (4, 6, 10, 13):  # as dear as this machine needs it
        bomb = doubled(5, each)
        error, cpu_s = await explode(patient, bomb, is_svg=True)
        if cpu_s > 2 * DEADLINE_S:
            break
    assert error is None
    assert isinstance((await explode(hasty, bomb, is_svg=True)).error, RenderTimeout)


@pytest.mark.parametrize("name", ["jpeg", "png", "gif"])
async def test_without_strictness_half_a_picture_is_drawn(patient: Pool, name: str) -> None:
    assert isinstance((await explode(patient, cut(name, 0.6), is_svg=False)).error, SourceUnreadable)
    assert (await explode(patient, cut(name, 0.6), is_svg=False, is_strict=False)).error is None


@pytest.mark.parametrize("name", FURTHER)
async def test_further_pictures_are_stopped_by_their_limit(hasty: Pool, patient: Pool, name: str) -> None:
    bomb = FURTHER[name]
    pool = hasty if bomb.stop == "deadline" else patient
    base = flat(bomb.width, bomb.height, "PNG", "L")
    result = await explode(
        pool, base, operations=bomb.operations, further=bomb.further(), size=Size(bomb.width, bomb.height)
    )
    if bomb.stop == "nothing":
        assert result.error is None
        assert result.cpu_s < bomb.cpu_s
        return
    assert isinstance(result.error, FAULTS.get(bomb.stop, PictureTooLarge))
    assert bomb.stop == "deadline" or result.error.path == ("operations", 0, "image")
    assert bomb.stop in FAULTS or bomb.stop in result.error.detail


async def test_a_slow_svg_on_a_picture_is_named() -> None:
    """It has the time of an SVG, not that of a raster picture."""
    pool = Pool(Config(workers=1, svg_timeout_s=DEADLINE_S, render_timeout_s=PATIENCE_S), Limits())
    await pool.start()
    try:
        drawn = (Composite(ImageRef(name="0"), width=2000),)
        error, cpu_s = await explode(
            pool, flat(64, 48, "PNG", "L"), operations=drawn, further=[slow_svg()], size=Size(64, 48)
        )
    finally:
        await pool.aclose()
    assert isinstance(error, PictureTooLarge)
    assert "more time or memory" in error.detail
    assert error.path == ("operations", 0, "image")
    assert cpu_s < 2 * (DEADLINE_S + SLACK_S)


async def test_there_are_enough_of_them() -> None:
    assert sum(stop != "nothing" for stop, _ in BOMBS.values()) >= 64
