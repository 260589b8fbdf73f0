"""Header and picture by one request to a worker: the same as by two, and what takes two all the same."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from imgserve.blob import Blob
from imgserve.imaging.config import Config
from imgserve.imaging.faults import PictureTooLarge, RenderTimeout, SourceUnreadable
from imgserve.imaging.pool import Pool
from imgserve.request.dialects.dialect import Negotiable
from imgserve.request.dialects.imgproxy.config import Config as GrammarConfig
from imgserve.request.dialects.imgproxy.dialect import Imgproxy
from imgserve.request.encode import NO_DEFAULTS, Encode, Format
from imgserve.request.imageinfo import ImageInfo, SourceFormat
from imgserve.request.imageref import ImageRef
from imgserve.request.limits import Limits
from imgserve.request.operations.composite import Composite
from imgserve.request.operations.rasterize import Rasterize
from imgserve.request.operations.resize import Resize
from imgserve.request.recipe import DEFAULT_LOAD, LoadOptions, Recipe
from imgserve.request.rendering import Rendering, resolve
from imgserve.request.wish import Given, OfImgproxy, Wish
from tests.support import pictures
from tests.support.pools import probe_bytes, render_bytes
from tests.support.sizes import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = Limits(output_side_px=400, frame_pixels=1_000_000)
PHOTO = pictures.encoded(pictures.detailed(300, 200), "jpeg")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><rect width="9" height="9"/></svg>'
SMALL = (Resize(width=60, height=50),)
DIALECT = Imgproxy(GrammarConfig(), allow_unsigned=True)


def of_path(options: str) -> OfImgproxy:
    return OfImgproxy(DIALECT.parse(f"/_/{options}/plain/a", Negotiable(), 0.0).parameters)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[Pool]:
    pool = Pool(Config(workers=1, render_timeout_s=PATIENCE_S, probe_timeout_s=PATIENCE_S), LIMITS)
    await pool.start()
    yield pool
    await pool.aclose()


async def made(
    pool: Pool, data: bytes, wish: Wish, load: LoadOptions = DEFAULT_LOAD
) -> tuple[ImageInfo, tuple[Rendering, bytes] | None]:
    with Blob.of(data) as source:
        info, found = await pool.made(source, wish, load, NO_DEFAULTS)
        if found is None:
            return info, None
        with found[1] as blob:
            return info, (found[0], blob.read())


@pytest.mark.parametrize("output", ["jpeg", "webp", "png", "gif", "avif", "tiff"])
@pytest.mark.parametrize("source", ["jpeg", "png", "webp", "gif", "tiff", "avif", "svg"])
async def test_a_short_source_needs_no_blob(pool: Pool, source: str, output: Format) -> None:
    data = SVG if source == "svg" else pictures.encoded(pictures.scene(90, 60), source)
    wish = Given(Recipe(SMALL, Encode(format=output)))
    expected = await made(pool, data, wish)
    info, found = await pool.made(data, wish, DEFAULT_LOAD, NO_DEFAULTS)
    assert found is not None
    with found[1] as blob:
        assert (info, (found[0], blob.read())) == expected


async def test_a_short_source_that_is_none(pool: Pool) -> None:
    for data in (b"", b"no picture", PHOTO[:300]):
        with pytest.raises(SourceUnreadable):
            await pool.made(data, Given(Recipe(SMALL, Encode(format="png"))), DEFAULT_LOAD, NO_DEFAULTS)


@pytest.mark.parametrize("output", ["jpeg", "webp", "png"])
@pytest.mark.parametrize("source", ["jpeg", "png", "webp", "gif", "tiff"])
async def test_it_is_what_two_requests_make(pool: Pool, source: SourceFormat, output: Format) -> None:
    data = pictures.encoded(pictures.detailed(300, 200), source)
    recipe = Recipe(SMALL, Encode(format=output))
    info, found = await made(pool, data, Given(recipe))
    assert info == await probe_bytes(pool, data, is_complete=True)
    rendering = resolve(recipe, info, LIMITS)
    assert found == (rendering, await render_bytes(pool, data, rendering, work="request"))


@pytest.mark.parametrize("operation", [Resize(width=20), Rasterize(width=20)])
async def test_a_drawing_too(pool: Pool, operation: Resize | Rasterize) -> None:
    recipe = Recipe((operation,), Encode(format="png"))
    info, found = await made(pool, SVG, Given(recipe))
    assert info.is_svg
    rendering = resolve(recipe, info, LIMITS)
    assert found == (rendering, await render_bytes(pool, SVG, rendering, is_svg=True, work="request"))


async def test_a_drawing_has_its_own_deadline() -> None:
    pool = Pool(Config(workers=1, svg_timeout_s=0.2, render_timeout_s=PATIENCE_S), Limits())
    await pool.start()
    try:
        before = set(pool.worker_pids)
        with pytest.raises(RenderTimeout, match=r"not finished after 0\.2 seconds"):
            await made(pool, pictures.slow_svg(), Given(Recipe((Rasterize(width=900),), Encode(format="png"))))
        assert before - set(pool.worker_pids)
    finally:
        await pool.aclose()


@pytest.mark.parametrize("options", ["rs:fit:60:50", "rs:fill:50:50/g:no/f:webp", "rs:fit:60:0/bl:2/pd:3/bg:ff0000"])
async def test_a_url_s_recipe_is_found_by_the_worker(pool: Pool, options: str) -> None:
    wish = of_path(options)
    info, found = await made(pool, PHOTO, wish)
    rendering = resolve(DIALECT.plan(wish.parameters, info).recipe, info, LIMITS)
    assert found == (rendering, await render_bytes(pool, PHOTO, rendering, work="request"))


@pytest.mark.parametrize(
    ("data", "wish"),
    [
        (PHOTO, Given(Recipe(SMALL))),
        (PHOTO, Given(Recipe((Rasterize(),), Encode(format="png")))),
        (PHOTO, Given(Recipe((Composite(ImageRef(name="mark")),), Encode(format="png")))),
        (PHOTO, Given(Recipe((Resize(width=500, height=500, if_small="enlarge"),), Encode(format="png")))),
        (PHOTO, of_path("t:10")),
        (PHOTO, of_path("w:60/mb:900")),
        (PHOTO, of_path("wmu:aHR0cDovL2EvYg/wm:0.5")),
        (PHOTO, of_path("skp:jpg")),
    ],
    ids=["no format", "for svg", "two sources", "too large", "trim", "tries", "watermark", "as it is"],
)  # fmt: skip
async def test_what_needs_more_than_the_header_has_the_header_alone(pool: Pool, data: bytes, wish: Wish) -> None:
    info, found = await made(pool, data, wish)
    assert (info, found) == (await probe_bytes(pool, data, is_complete=True), None)


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"no picture", SourceUnreadable), (pictures.encoded(pictures.detailed(1100, 1000), "png"), PictureTooLarge)],
)
async def test_a_header_that_is_refused_ends_no_worker(pool: Pool, data: bytes, error: type[Exception]) -> None:
    before = pool.worker_pids
    with pytest.raises(error):
        await made(pool, data, Given(Recipe(SMALL, Encode(format="png"))))
    assert pool.worker_pids == before


async def test_broken_pixels_end_the_worker(pool: Pool) -> None:
    """Its decoder may be in a state that nobody has tested."""
    before = set(pool.worker_pids)
    whole = pictures.encoded(pictures.detailed(300, 200), "png")
    with pytest.raises(SourceUnreadable):
        await made(pool, whole[: len(whole) // 2], Given(Recipe(SMALL, Encode(format="png"))))
    assert before - set(pool.worker_pids)
