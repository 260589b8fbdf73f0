"""Small pictures that operations make large, through the real pool: each meets the limit that it names, before the
work. With that limit lifted it is drawn, so the refusal is the limit's own."""

import io
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest
import pytest_asyncio
from PIL import Image

from imgserve.errors import ImgserveError
from imgserve.imaging.config import Config
from imgserve.imaging.faults import PictureTooLarge, SourceUnreadable
from imgserve.imaging.pool import Pool
from imgserve.request.encode import Encode, Format
from imgserve.request.limits import Limits
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.rotate import Rotate
from imgserve.request.operations.trim import Trim
from imgserve.request.recipe import Operation, Recipe
from imgserve.request.rendering import Rendering
from tests.hostile.bombs_raster import flat, gif
from tests.support.pools import render_bytes
from tests.support.sizes import PATIENCE_S

TIGHT = Limits(output_pixels=300_000, output_side_px=1_000, total_pixels=1_000_000)
LIFTED = Limits(output_pixels=10**9, total_pixels=10**9)
END_BYTES = 12  # a PNG's last chunk

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Growing(NamedTuple):
    stop: str
    make: Callable[[], bytes]
    operations: tuple[Operation, ...]
    format: Format = "png"


def square() -> bytes:
    return flat(500, 500, "PNG")


def line() -> bytes:
    """A black line on paper, which a trim leaves alone."""
    image = Image.new("L", (60, 100), 255)
    image.paste(0, (30, 0, 31, 100))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


SMALL = Resize(64, 64)
BY_HEADER = {
    "extend": Growing("output_pixels", square, (Extend(top=200), SMALL)),
    "extend by far": Growing("output_side_px", lambda: flat(500, 10, "PNG"), (Extend(left="150%"), SMALL)),
    "extend by mirror images": Growing("output_pixels", square, (Extend(left="50%", mode="mirror"), SMALL)),
    "extend by a blurred picture": Growing("output_pixels", square, (Extend(width=1_000, mode="blur"), SMALL)),
    "rotate": Growing("output_pixels", square, (Rotate(45), SMALL)),
    "rotate again and again": Growing("output_pixels", lambda: flat(90, 90, "PNG"), (*[Rotate(45)] * 8, SMALL)),
    "resize before the cut": Growing(
        "total_pixels", lambda: flat(2, 100, "PNG"), (Resize(200, 200, if_small="enlarge"), SMALL)
    ),
}  # fmt: skip
FILM = {"frames that grow together": Growing("output_pixels", lambda: gif(90, 90, 20), (Rotate(45), SMALL), "gif")}
BY_PIXELS = {
    "trim to a line": Growing("output_side_px", line, (Trim(), Resize(width=100, if_small="enlarge"))),
    "trim to a line that covers": Growing("total_pixels", line, (Trim(), Resize(150, 150, if_small="enlarge"))),
    "trim and extend": Growing("output_side_px", line, (Trim(), Extend(bottom="1500%"))),
}


async def a_pool(limits: Limits) -> AsyncIterator[Pool]:
    made = Pool(Config(workers=1, render_timeout_s=PATIENCE_S), limits)
    await made.start()
    yield made
    await made.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tight() -> AsyncIterator[Pool]:
    async for made in a_pool(TIGHT):
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lifted() -> AsyncIterator[Pool]:
    async for made in a_pool(LIFTED):
        yield made


async def refusal(pool: Pool, data: bytes, bomb: Growing) -> ImgserveError | None:
    rendering = Rendering(Recipe(bomb.operations, Encode(format=bomb.format)), None, bomb.format)
    try:
        await render_bytes(pool, data, rendering)
    except ImgserveError as error:
        return error
    return None


@pytest.mark.parametrize("bomb", (BY_HEADER | FILM | BY_PIXELS).values(), ids=[*BY_HEADER, *FILM, *BY_PIXELS])
async def test_its_limit_stops_it(tight: Pool, lifted: Pool, bomb: Growing) -> None:
    error = await refusal(tight, bomb.make(), bomb)
    assert isinstance(error, PictureTooLarge)
    assert f"{bomb.stop} = " in error.detail
    assert await refusal(lifted, bomb.make(), bomb) is None


@pytest.mark.parametrize("bomb", BY_HEADER.values(), ids=list(BY_HEADER))
async def test_it_is_judged_before_a_pixel_is_decoded(tight: Pool, lifted: Pool, bomb: Growing) -> None:
    """A file that is cut off is refused for its limit, not for its pixels."""
    cut_off = bomb.make()[:-END_BYTES]
    assert isinstance(await refusal(tight, cut_off, bomb), PictureTooLarge)
    assert isinstance(await refusal(lifted, cut_off, bomb), SourceUnreadable)
