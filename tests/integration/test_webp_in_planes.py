"""A worker in its sandbox makes WebPs of WebPs by libwebp, which is loaded before the sandbox closes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest
import pytest_asyncio

from imgserve.blob import Blob
from imgserve.imaging.config import Config, Isolation
from imgserve.imaging.pool import Pool
from imgserve.imaging.worker import pipeline
from imgserve.imaging.worker.formats import libwebp, resizer
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import Rendering
from tests.support import pictures
from tests.support.pools import render_bytes
from tests.support.sizes import PATIENCE_S

pytestmark = pytest.mark.skipif(
    not (libwebp.is_there() and resizer.is_there()), reason="needs libwebp and cykooz-resizer"
)

TASK = Rendering(Recipe((Resize(),), Encode(format="webp")), Size(201, 121), "webp")
PHOTO = pictures.encoded(pictures.detailed(800, 600), "webp")


@pytest_asyncio.fixture(params=get_args(Isolation))
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[Pool]:
    times = {"render_timeout_s": PATIENCE_S, "probe_timeout_s": PATIENCE_S}
    pool = Pool(Config(workers=1, isolation=request.param, **times), Limits())  # type: ignore[arg-type]
    await pool.start()
    yield pool
    await pool.aclose()


@pytest.mark.asyncio
async def test_its_bytes_are_those_that_are_made_without_a_sandbox(pool: Pool) -> None:
    assert await render_bytes(pool, PHOTO, TASK) == rendered()


def rendered() -> bytes:
    with Blob() as result:
        pipeline.render(PHOTO, TASK, Limits(), result.fd)
        return Path(f"/proc/self/fd/{result.fd}").read_bytes()
