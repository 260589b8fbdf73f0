"""Sources that are wider than a result may be: a recipe's lengths measure them, and no worker ends for it."""

import io
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from PIL import Image

from imgserve.errors import ImgserveError
from imgserve.imaging.config import Config
from imgserve.imaging.pool import Pool
from imgserve.request.encode import Encode
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import MAX_SOURCE_SIDE_PX, Limits
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.extend import Extend
from imgserve.request.operations.redact import Redact, Region
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.round import Round
from imgserve.request.recipe import Operation, Recipe
from imgserve.request.rendering import Rendering, resolve
from tests.support.pictures import encoded
from tests.support.pools import render_bytes

WIDE = ImageInfo("png", 20_000, 40)
BLUE, RED = (0, 0, 255), (255, 0, 0)
LOGO = ImageRef(name="logo")
FIT = Resize(width=200, if_small="keep")
PLACES: list[tuple[Operation, ...]] = [
    (Crop(left=18_000, top=0, width=100, height=40),),
    (Crop(left=1, width=19_000), Crop(left=17_000, width=200)),
    (Redact((Region(18_000, 0, 100, 40), Region(MAX_SOURCE_SIDE_PX, 0, MAX_SOURCE_SIDE_PX, 1)), mode="color"), FIT),
    (Round(radius=MAX_SOURCE_SIDE_PX), FIT),
    (Composite(LOGO, left=18_000, width=19_000, height=40), FIT),
    (Composite(LOGO, right=18_000), FIT),
    (Composite(LOGO, offset_x=-MAX_SOURCE_SIDE_PX), FIT),
    (Composite(LOGO, tile="x", spacing_x=MAX_SOURCE_SIDE_PX), FIT),
    (Composite(LOGO, tile=True, left=-17_000, spacing_x=MAX_SOURCE_SIDE_PX, spacing_y=18_000), FIT),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    pool = Pool(Config(workers=1), Limits())
    await pool.start()
    yield pool
    await pool.aclose()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def wide() -> bytes:
    """Blue, red from 18,000 on."""
    image = Image.new("RGB", (20_000, 40), BLUE)
    image.paste(RED, (18_000, 0, 20_000, 40))
    return encoded(image, "png")


def rendering(*operations: Operation) -> Rendering:
    return resolve(Recipe(operations, Encode("png")), WIDE, Limits())


@pytest.mark.parametrize("operations", PLACES)
@pytest.mark.asyncio(loop_scope="module")
async def test_lengths_reach_as_far_as_sources(pool: Pool, operations: tuple[Operation, ...]) -> None:
    pids = pool.worker_pids
    task = rendering(*operations)
    further = [encoded(Image.new("RGB", (9, 9), RED), "png")] if task.recipe.further else []
    result = opened(await render_bytes(pool, wide(), task, further=further))
    assert task.size is not None
    assert result.size == (task.size.width_px, task.size.height_px)
    assert pool.worker_pids == pids


@pytest.mark.asyncio(loop_scope="module")
async def test_the_part_is_the_one_that_was_asked_for(pool: Pool) -> None:
    result = opened(await render_bytes(pool, wide(), rendering(Crop(left=17_990, width=20, height=40))))
    assert [result.getpixel((x, 20)) for x in (0, 9, 10, 19)] == [BLUE, BLUE, RED, RED]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_repetition_far_from_the_next_one_stays_in_its_place(pool: Pool) -> None:
    logo = encoded(Image.new("RGB", (9, 9), (0, 255, 0)), "png")
    operation = Composite(LOGO, left=17_000, top=3, tile=True, spacing_x=MAX_SOURCE_SIDE_PX, spacing_y=20)
    task = rendering(operation, Crop(left=16_990, width=30))
    result = opened(await render_bytes(pool, wide(), task, further=[logo]))
    green = [(x, y) for x in range(30) for y in range(40) if result.getpixel((x, y)) == (0, 255, 0)]
    assert green == [(x, y) for x in range(10, 19) for y in (*range(3, 12), *range(32, 40))]


@pytest.mark.parametrize("operation", [Extend(left=MAX_SOURCE_SIDE_PX), Extend(width=18_000, height=41), Extend(top=1)])
def test_results_have_their_limit_still(operation: Extend) -> None:
    with pytest.raises(ImgserveError, match="a side may have 16384"):
        rendering(operation)


def test_nothing_is_kept_of_a_whole_source_beyond_a_result() -> None:
    assert rendering(Crop(left=3_616)).size == Size(16_384, 40)
    with pytest.raises(ImgserveError, match="a side may have 16384"):
        rendering(Crop(left=1))
