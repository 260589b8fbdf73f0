"""SVGs that workers make safe, in the sandbox: forked from a template and alone, with the library and without."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imgserve.blob import Blob
from imgserve.imaging.config import Config, Isolation
from imgserve.imaging.faults import PictureTooLarge, RenderTimeout, SvgInvalid
from imgserve.imaging.pool import Pool
from imgserve.request.limits import Limits
from tests.integration.test_pool import patient
from tests.support.pictures import svg
from tests.support.pools import without_module

EVIL = svg('<script>steal()</script><image href="/steal"/><rect width="9" height="9"/>')


@pytest.fixture(params=["principal", "shared"], ids=["forked", "executed"])
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[Pool]:
    isolation: Isolation = request.param
    pool = Pool(patient(isolation=isolation), Limits())
    await pool.start()
    yield pool
    await pool.aclose()


async def sanitized(pool: Pool, data: bytes) -> bytes | None:
    with Blob.of(data) as source:
        result = await pool.sanitized(source)
        if result is None:
            return None
        with result:
            return result.read()


async def test_it_is_done_in_the_sandbox(pool: Pool) -> None:
    assert pool.sandbox == "landlock+seccomp"
    result = await sanitized(pool, EVIL)
    assert result is not None
    assert b"steal" not in result
    assert b"<rect" in result


async def test_a_broken_one_ends_no_worker(pool: Pool) -> None:
    pids = pool.worker_pids
    for data in (svg("<g>"), svg("<g>" * 5000 + "</g>" * 5000)):
        with pytest.raises(SvgInvalid):
            await sanitized(pool, data)
    with pytest.raises(PictureTooLarge):
        await sanitized(pool, svg("<!--" + "x" * 5_000_000 + "-->"))
    assert pool.worker_pids == pids


async def test_one_that_takes_too_long_ends_with_its_deadline() -> None:
    pool = Pool(Config(workers=1, svg_timeout_s=0.3), Limits())
    await pool.start()
    try:
        with pytest.raises(RenderTimeout):
            await sanitized(pool, svg('<g fill="url(#a)"/>' * 200_000))
    finally:
        await pool.aclose()


async def test_an_installation_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(without_module("py_svg_hush", tmp_path)))
    pool = Pool(patient(), Limits())
    await pool.start()
    try:
        assert await sanitized(pool, EVIL) is None
    finally:
        await pool.aclose()
