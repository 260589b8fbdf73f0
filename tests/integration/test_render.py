"""Renders with a real pool: which are shared, and what becomes of them when callers give up."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from imgserve.blob import Blob
from imgserve.engine.render import Renderer, Rendition
from imgserve.imaging.faults import SourceUnreadable, WorkerDied
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from imgserve.request.source import parse_source
from imgserve.transfer.faults import SourceUnavailable
from tests.support import pictures
from tests.support.plant import Plant, plant
from tests.support.sizes import PATIENCE_S
from tests.support.stalling import LONG_S

PNG = pictures.encoded(pictures.scene(64, 48), "png")
INFO = ImageInfo("png", 64, 48)


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Plant]:
    async with plant(tmp_path) as opened, asyncio.timeout(LONG_S):
        yield opened


@pytest.fixture
def renderer(made: Plant) -> Renderer:
    return Renderer(made.transfers, made.pool)


def rendering(width: int = 32) -> Rendering:
    """A new value each time: equal ones need not be the same."""
    return Rendering(Recipe((Resize(width=width),), Encode(format="png")), Size(width, width * 3 // 4), "png")


@pytest.fixture
def source() -> Iterator[Blob]:
    with Blob.of(PNG) as blob:
        yield blob


async def test_equal_renders_under_way_are_one(renderer: Renderer, source: Blob) -> None:
    renders = (renderer.rendition(source, INFO, rendering(width), is_alone=False) for width in (32, 32, 16))
    one, other, smaller = await asyncio.gather(*renders)
    with one, other, smaller:
        assert one == other
        assert smaller != one
        with await renderer.rendition(source, INFO, rendering(), is_alone=False) as later:
            assert later != one, "it is over, and not kept"


async def test_a_shared_render_brings_each_its_warnings(renderer: Renderer) -> None:
    text = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="48"><text font-family="Zzyx">a</text></svg>'
    with Blob.of(text) as drawing:
        one, other = await asyncio.gather(
            *(renderer.rendition(drawing, ImageInfo("svg", 64, 48), rendering(), is_alone=False) for _ in range(2))
        )
    with one, other, one.share() as kept:
        assert one.blob == other.blob == kept.blob
        for each in (one, other, kept):
            assert [warning.code for warning in each.warnings] == ["font_missing"]


async def test_two_handles_of_one_download_share_a_render(renderer: Renderer, source: Blob) -> None:
    with source.share() as second:
        one, other = await asyncio.gather(
            *(renderer.rendition(blob, INFO, rendering(), is_alone=False) for blob in (source, second))
        )
    with one, other:
        assert one == other


async def test_two_downloads_share_no_render(renderer: Renderer, made: Plant) -> None:
    """The bytes at one URL may have changed in between."""
    source = parse_source(f"file://{made.source}")
    (older,) = await renderer.sources((source,))
    with older:
        made.source.write_bytes(pictures.encoded(pictures.scene(64, 48).rotate(180), "png"))
        (newer,) = await renderer.sources((source,))
        with newer:
            one, other = await asyncio.gather(
                *(renderer.rendition(blob, INFO, rendering(), is_alone=False) for blob in (older, newer))
            )
    with one, other:
        assert one.blob.read() != other.blob.read()


async def test_each_of_several_sources_is_downloaded_once(renderer: Renderer, made: Plant) -> None:
    (made.source.parent / "mark.png").write_bytes(PNG[::-1])
    picture, mark = (parse_source(f"file://{made.source.parent / name}") for name in ("a.png", "mark.png"))
    one, two, three = await renderer.sources((picture, mark, picture), made.transfers.open(picture))
    with one, two, three:
        assert one == three
        assert (one.read(), two.read()) == (made.source.read_bytes(), PNG[::-1])
        assert made.transfers.budget.held == one.size + two.size
    assert made.transfers.budget.held == 0


async def test_a_source_that_intake_has_downloaded_is_not_downloaded_again(renderer: Renderer, made: Plant) -> None:
    (made.source.parent / "mark.png").write_bytes(PNG[::-1])
    picture, mark = (parse_source(f"file://{made.source.parent / name}") for name in ("a.png", "mark.png"))
    prefetched, expected = made.transfers.open(picture), made.source.read_bytes()
    await prefetched.finish()
    made.source.unlink()
    one, two = await renderer.sources((picture, mark), prefetched)
    with one, two:
        assert (one.read(), two.read()) == (expected, PNG[::-1])
    assert made.transfers.budget.held == 0


async def test_a_downloaded_source_is_given_up_where_the_others_wait_for_memory(
    renderer: Renderer, made: Plant
) -> None:
    """Two renderings that each hold a source and wait for more would wait for ever."""
    (made.source.parent / "mark.png").write_bytes(PNG[::-1])
    picture, mark = (parse_source(f"file://{made.source.parent / name}") for name in ("a.png", "mark.png"))
    prefetched, budget = made.transfers.open(picture), made.transfers.budget
    await prefetched.finish()
    elsewhere = budget.total - prefetched.reserved_bytes
    await budget.acquire(weight=elsewhere)
    task = asyncio.create_task(renderer.sources((picture, mark), prefetched))
    async with asyncio.timeout(PATIENCE_S):
        while budget.held > elsewhere:  # noqa: ASYNC110 - the budget has no event
            await asyncio.sleep(0.001)
        assert not task.done()
        budget.release(weight=elsewhere)
        one, two = await task
    with one, two:
        assert (one.read(), two.read()) == (made.source.read_bytes(), PNG[::-1])
    assert budget.held == 0


async def test_one_of_several_sources_that_is_not_there_frees_the_others(renderer: Renderer, made: Plant) -> None:
    picture, mark = (parse_source(f"file://{made.source.parent / name}") for name in ("a.png", "mark.png"))
    with pytest.raises(SourceUnavailable, match="no such source file"):
        await renderer.sources((picture, mark))
    async with asyncio.timeout(PATIENCE_S):
        while made.transfers.budget.held:  # noqa: ASYNC110 - the other one may still be written by its thread
            await asyncio.sleep(0)


async def test_a_fault_is_every_waiters(renderer: Renderer) -> None:
    with Blob.of(PNG[: len(PNG) // 2]) as source:
        renders = (renderer.rendition(source, INFO, rendering(), is_alone=False) for _ in range(3))
        ends = await asyncio.gather(*renders, return_exceptions=True)
    assert [type(end) for end in ends] == [SourceUnreadable] * 3


async def stopped(made: Plant, renderer: Renderer, *sources: Blob) -> list[asyncio.Task[Rendition]]:
    """Renders that wait for workers that stand still."""
    for pid in made.pool.worker_pids:
        os.kill(pid, signal.SIGSTOP)
    renders = [asyncio.create_task(renderer.rendition(source, INFO, rendering(), is_alone=False)) for source in sources]
    while not any(lane.busy for lane in made.pool.staffing()):  # noqa: ASYNC110 - a pool has no event for this
        await asyncio.sleep(0)
    return renders


async def test_a_waiter_that_gives_up_ends_no_others_render(renderer: Renderer, made: Plant, source: Blob) -> None:
    first, second = await stopped(made, renderer, source, source)
    first.cancel()
    await asyncio.wait([first])
    for pid in made.pool.worker_pids:
        os.kill(pid, signal.SIGCONT)
    with await second as picture:
        assert picture.blob.size > 0
    assert first.cancelled()


async def test_the_last_waiter_to_give_up_ends_the_render(renderer: Renderer, made: Plant, source: Blob) -> None:
    pids = set(made.pool.worker_pids)
    renders = await stopped(made, renderer, source, source)
    for render in renders:
        render.cancel()
    again = asyncio.create_task(renderer.rendition(source, INFO, rendering(), is_alone=False))
    await asyncio.wait(renders)
    assert len(pids & set(made.pool.worker_pids)) == len(pids) - 1, "its worker was not ended"
    for pid in made.pool.worker_pids:
        os.kill(pid, signal.SIGCONT)
    with await again as picture:
        assert picture.blob.size > 0, "one that is asked for while the old one ends is a new one"


async def test_a_worker_that_dies_fails_all_who_wait_for_it(renderer: Renderer, made: Plant, source: Blob) -> None:
    renders = await stopped(made, renderer, source, source)
    for pid in made.pool.worker_pids:
        os.kill(pid, signal.SIGKILL)
    ends = await asyncio.gather(*renders, return_exceptions=True)
    assert [type(end) for end in ends] == [WorkerDied] * 2
