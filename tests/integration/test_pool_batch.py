"""Renderings of one source in a batch: they share decodes, and each result is that of the rendering alone."""

import asyncio
import functools
import os
import signal
from collections.abc import Awaitable

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from imgserve.blob import Blob, Fingerprint
from imgserve.errors import ImgserveError
from imgserve.imaging import assignment
from imgserve.imaging.faults import MaxBytesUnreachable, WorkerDied
from imgserve.imaging.pool import Pool
from imgserve.request.encode import Encode
from imgserve.request.limits import Limits
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.grayscale import Grayscale
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import LoadOptions, Recipe
from imgserve.request.rendering import Rendering, resolve
from tests.integration.test_pool import until
from tests.integration.test_pool_turns import opened
from tests.support import pictures
from tests.support.sizes import PATIENCE_S

LARGE_PX = (3300, 2500)  # more than the short way for JPEG decodes
OF_ALL_DECODERS = ("JPEG", "large JPEG", "PNG with alpha", "WebP", "AVIF", "TIFF", "animated GIF")


@functools.cache
def sources() -> dict[str, bytes]:
    detailed, smooth = pictures.detailed(640, 480), pictures.scene(640, 480)
    frames = [pictures.scene(240, 160, "RGBA").rotate(angle) for angle in (0, 20, 40)]
    deep = Image.fromarray(np.asarray(smooth).astype(np.uint16)[:, :, 0] * 257)
    return {
        "JPEG": pictures.encoded(detailed, "jpeg"),
        "turned JPEG": pictures.oriented_jpeg(detailed, 6),
        "JPEG with a profile": pictures.encoded(detailed, "jpeg", profile=pictures.wide_gamut_profile()),
        "JPEG in CMYK": pictures.encoded(smooth.convert("CMYK"), "jpeg"),
        "large JPEG": pictures.encoded(pictures.scene(*LARGE_PX), "jpeg"),
        "PNG with alpha": pictures.encoded(pictures.scene(640, 480, "RGBA"), "png"),
        "PNG of 16 bits": pictures.encoded(deep, "png"),
        "WebP": pictures.encoded(detailed, "webp"),
        "AVIF": pictures.encoded(detailed, "avif"),
        "TIFF": pictures.encoded(detailed, "tiff"),
        "animated GIF": pictures.film(frames, "gif", [40, 50, 60]),
        "animated WebP": pictures.film(frames, "webp", [40, 50, 60]),
        "animated PNG": pictures.film(frames, "png", [40, 50, 60]),
    }


JPEG = Encode("jpeg", 80)
RECIPES = [
    *(Recipe((Resize(width=width),), JPEG) for width in (310, 110, 55)),
    Recipe((Crop(left=10, top=20, width=150, height=120), Resize(width=100)), JPEG),
    Recipe((Resize(width=200), Blur(2.0)), Encode("webp")),
    Recipe((Resize(width=90, height=90, gravity="attention"),), Encode("png")),
    Recipe((Grayscale(), Resize(width=80)), Encode("png"), LoadOptions(orient=False)),
    Recipe((Resize(width=100),), Encode("gif"), LoadOptions(strict=False)),
    Recipe((Resize(width=100),), Encode("webp", profile="source")),
]
IDLE_S = 1.5  # a worker frees its memory after a second
AT_ONE_SCALE = [Recipe((Resize(width=width),), JPEG) for width in (104, 100)]
HEAVY = Recipe((Resize(width=2000), Blur(8.0)), JPEG)
IMPOSSIBLE = Recipe((Resize(width=300),), Encode("jpeg", max_bytes=100))


async def renderings(pool: Pool, source: Blob, recipes: list[Recipe]) -> list[Rendering]:
    infos = [await pool.probe(source, is_complete=True, load=recipe.load) for recipe in recipes]
    return [resolve(recipe, info, Limits()) for recipe, info in zip(recipes, infos, strict=True) if info is not None]


async def outcome(render: Awaitable[Blob]) -> Fingerprint | type[ImgserveError]:
    try:
        with await render as picture:
            return picture.fingerprint()
    except ImgserveError as error:
        return type(error)


@pytest.mark.parametrize("is_animated", [False, True])
async def test_each_result_is_that_of_the_rendering_alone(*, is_animated: bool) -> None:
    """One of them fails, and is asked for again with another that did not."""
    async with opened(2, is_shared=False) as pool:
        for kind, data in sources().items():
            if ("animated" in kind) == is_animated:
                await check(pool, kind, data)


async def check(pool: Pool, kind: str, data: bytes) -> None:
    with Blob.of(data) as source:
        tasks = await renderings(pool, source, [*RECIPES[:4], IMPOSSIBLE, *RECIPES[4:]])
        alone = await asyncio.gather(*(outcome(pool.render(source, task)) for task in tasks))
        batch = pool.new_batch()
        together = await asyncio.gather(*(outcome(pool.render(source, task, batch=batch)) for task in tasks))
        batch = pool.new_batch()
        again = await asyncio.gather(*(outcome(pool.render(source, task, batch=batch)) for task in tasks[4:2:-1]))
    assert alone[4] is MaxBytesUnreachable, kind
    assert len(set(alone)) == len(tasks), kind
    assert together == alone, kind
    assert again == alone[4:2:-1], kind


async def test_renderings_at_one_scale_share_a_decode() -> None:
    """The second one gets a damaged source, and would show it if it had to decode."""
    async with opened(2, is_shared=False) as pool:
        for kind in OF_ALL_DECODERS:
            await check_shared(pool, kind)


async def check_shared(pool: Pool, kind: str) -> None:
    recipes = [replace(one, encode=Encode("gif")) if "animated" in kind else one for one in AT_ONE_SCALE]
    with Blob.of(sources()[kind]) as source, Blob.of(damaged(sources()[kind])) as broken:
        first, second = await renderings(pool, source, recipes)
        expected = await outcome(pool.render(source, second))
        batch = pool.new_batch()
        await outcome(pool.render(source, first, batch=batch))
        assert await outcome(pool.render(broken, second, batch=batch)) == expected, kind
        assert await outcome(pool.render(broken, second, batch=pool.new_batch())) != expected, kind


def damaged(data: bytes) -> bytes:
    """With other pixels, or none: of a GIF the colours change."""
    at, length = (20, 90) if data.startswith(b"GIF") else (len(data) * 3 // 5, 400)
    return data[:at] + bytes(length) + data[at + length :]


async def test_a_batch_comes_back_to_its_worker() -> None:
    """Also if another one has become free after it."""
    async with opened(2, is_shared=False) as pool:
        with Blob.of(sources()["JPEG"]) as source, Blob.of(damaged(sources()["JPEG"])) as broken:
            with Blob.of(sources()["large JPEG"]) as large:
                (long,) = await renderings(pool, large, [HEAVY])
                first, second = await renderings(pool, source, AT_ONE_SCALE)
                expected = await outcome(pool.render(source, second))
                has_begun, batch = asyncio.Event(), pool.new_batch()
                other = asyncio.create_task(outcome(pool.render(large, long, on_start=has_begun.set)))
                await has_begun.wait()
                await outcome(pool.render(source, first, batch=batch))
                await other
            assert await outcome(pool.render(broken, second, batch=batch)) == expected


@pytest.mark.parametrize("pause_s", [0.0, IDLE_S])
async def test_the_pixels_go_with_another_request_or_after_a_moment(pause_s: float) -> None:
    async with opened(1, is_shared=False) as pool:
        with Blob.of(sources()["JPEG"]) as source, Blob.of(damaged(sources()["JPEG"])) as broken:
            first, second = await renderings(pool, source, AT_ONE_SCALE)
            expected = await outcome(pool.render(source, second))
            batch = pool.new_batch()
            await outcome(pool.render(source, first, batch=batch))
            if pause_s:
                await asyncio.sleep(pause_s)
            else:
                await outcome(pool.render(source, first))
            assert await outcome(pool.render(broken, second, batch=batch)) != expected


async def test_the_death_of_a_worker_is_felt_by_one_rendering() -> None:
    async with opened(2, is_shared=False) as pool:
        with Blob.of(sources()["JPEG"]) as source:
            tasks = await renderings(pool, source, RECIPES[:5])
            alone = [await outcome(pool.render(source, task)) for task in tasks]
            batch = pool.new_batch()
            ends = [await outcome(pool.render(source, task, batch=batch)) for task in tasks[:2]]
            pids = pool.worker_pids

            def kill() -> None:
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)

            ends.append(await outcome(pool.render(source, tasks[2], batch=batch, on_start=kill)))
            await until(lambda: not set(pids) & set(pool.worker_pids), "a worker's death was not noticed")
            later = (pool.render(source, task, batch=batch) for task in tasks[2:])
            ends += await asyncio.gather(*map(outcome, later))
    assert ends == [*alone[:2], WorkerDied, *alone[2:]]


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_batch_has_one_worker_and_lets_others_pass(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "HELP_AFTER_S", PATIENCE_S)
    running, order = 0, ""

    async def render(source: Blob, task: Rendering, batch: int, principal: str) -> None:
        nonlocal running, order

        def start() -> None:
            nonlocal running
            running += batch > 0
            assert running <= 1

        picture = await pool.render(source, task, principal=principal, batch=batch, on_start=start)
        picture.close()
        running -= batch > 0
        order += principal

    async with opened(workers) as pool:
        with Blob.of(sources()["JPEG"]) as source:
            (task,) = await renderings(pool, source, RECIPES[:1])
            for principal in "ab":  # which starts a process for each
                await render(source, task, 0, principal)
            batch = pool.new_batch()
            many = [asyncio.create_task(render(source, task, batch, "a")) for _ in range(20)]
            await asyncio.sleep(0)
            for _ in range(3):
                await render(source, task, 0, "b")
            await asyncio.gather(*many)
    assert order.endswith("aaa"), order


async def test_idle_workers_help_with_a_long_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "HELP_AFTER_S", 0.02)
    async with opened(2, is_shared=False) as pool:
        with Blob.of(sources()["large JPEG"]) as source:
            (task,) = await renderings(pool, source, [HEAVY])
            alone = await outcome(pool.render(source, task))
            batch, busy = pool.new_batch(), set()
            many = asyncio.gather(*(outcome(pool.render(source, task, batch=batch)) for _ in range(4)))
            while not many.done():
                busy.add(pool.staffing()[0].busy)
                await asyncio.sleep(0.001)
            assert await many == [alone] * 4
            assert busy >= {1, 2}
            cancelled = [asyncio.create_task(outcome(pool.render(source, task, batch=batch))) for _ in range(4)]
            await asyncio.sleep(0.03)
            for one in cancelled:
                one.cancel()
            await asyncio.wait(cancelled)
            assert (pool.staffing()[0].busy, pool.staffing()[0].waiting) == (0, 0)
            assert await outcome(pool.render(source, task, batch=batch)) == alone
