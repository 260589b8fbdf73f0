"""What a trim keeps of a picture, found by a worker before a recipe for it can be made."""

import functools
import io

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image

from imgserve.blob import Blob
from imgserve.imaging.faults import RenderFailed, SourceUnreadable
from imgserve.imaging.pool import Pool
from imgserve.request.encode import Encode, Format
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.operations.crop import Crop
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.resize import Resize
from imgserve.request.operations.trim import Trim
from imgserve.request.recipe import LoadOptions, Recipe
from imgserve.request.rendering import resolve
from tests.integration.test_pool_turns import opened
from tests.support import pictures

PNG = Encode("png")
MARK = (15, 8, 40, 29)


@functools.cache
def sheet() -> Image.Image:
    """60 x 40, with a mark."""
    image = Image.new("RGB", (60, 40), (250, 250, 250))
    image.paste(pictures.detailed(60, 40).crop(MARK), MARK[:2])
    image.paste((0, 0, 0), (15, 8, 17, 29))
    image.paste((0, 0, 0), (15, 8, 40, 10))
    image.paste((0, 0, 0), (38, 8, 40, 29))
    image.paste((0, 0, 0), (15, 27, 40, 29))
    return image


async def info_of(pool: Pool, source: Blob, load: LoadOptions) -> ImageInfo:
    info = await pool.probe(source, is_complete=True, load=load)
    assert info is not None
    return info


async def kept(pool: Pool, data: bytes, recipe: Recipe, output: Format = "png") -> Part:
    with Blob.of(data) as source:
        return await pool.trimmed(source, await info_of(pool, source, recipe.load), recipe, output)


async def test_the_part_that_a_trim_keeps() -> None:
    recipe = Recipe((Trim(threshold=60),), PNG)
    whole = Part(15, 8, Size(25, 21))
    async with opened(1, is_shared=False) as pool:
        for name in ("png", "jpeg", "webp", "tiff"):
            assert await kept(pool, pictures.encoded(sheet(), name), recipe) == whole, name
        blank = pictures.encoded(Image.new("RGB", (60, 40), "white"), "png")
        assert await kept(pool, blank, recipe) == Part(0, 0, Size(60, 40))
        even = Recipe((Trim(threshold=60, even_x=True),), PNG)
        assert await kept(pool, pictures.encoded(sheet(), "png"), even) == Part(15, 8, Size(30, 21))


async def test_the_part_of_a_picture_as_it_is_loaded() -> None:
    """A quarter turn is carried out, or left to the plan; of an animation the frames of the result count."""
    turned = pictures.oriented_jpeg(sheet(), 6)
    films = [Image.new("RGB", (60, 40), "white") for _ in range(2)]
    films[0].paste((0, 0, 0), (5, 5, 10, 10))
    films[1].paste((0, 0, 0), (20, 20, 30, 30))
    film = pictures.film(films, "webp", [40, 40])
    trim = (Trim(threshold=60),)
    async with opened(1, is_shared=False) as pool:
        assert await kept(pool, turned, Recipe(trim, PNG)) == Part(15, 8, Size(25, 21))
        stored = await kept(pool, turned, Recipe(trim, PNG, LoadOptions(orient=False)))
        assert stored.size == Size(21, 25)
        assert await kept(pool, film, Recipe(trim), "webp") == Part(5, 5, Size(25, 25))
        assert await kept(pool, film, Recipe(trim), "png") == Part(5, 5, Size(5, 5))


async def test_a_rendering_of_the_part_decodes_nothing() -> None:
    """It equals a trim within the recipe. It gets a damaged source, and would show it if it had to decode."""
    data = pictures.encoded(sheet(), "png")
    damaged = data[:60] + bytes(200) + data[260:]
    async with opened(1, is_shared=False) as pool:
        with Blob.of(data) as source, Blob.of(damaged) as broken:
            info = await info_of(pool, source, LoadOptions())
            trim, batch = Recipe((Trim(threshold=60),), PNG), pool.new_batch()
            part = await pool.trimmed(source, info, trim, "png", batch=batch)
            crop = Crop(part.left, part.top, part.size.width_px, part.size.height_px)
            task = resolve(replace(trim, operations=(crop, Resize(50, if_small="enlarge"))), info, Limits())
            with await pool.render(broken, task, batch=batch) as picture:
                result = picture.read()
            whole = replace(trim, operations=(*trim.operations, Resize(50, if_small="enlarge")))
            with await pool.render(source, resolve(whole, info, Limits())) as picture:
                expected = picture.read()
            with pytest.raises(SourceUnreadable):
                await pool.trimmed(broken, info, trim, "png")
    assert task.size == Size(50, 42)
    assert (pixels(result) == pixels(expected)).all()


async def test_other_operations_than_a_trim_are_a_bug() -> None:
    async with opened(1, is_shared=False) as pool:
        for operations in ((Flip(),), (Trim(), Flip()), ()):
            with pytest.raises(RenderFailed):
                await kept(pool, pictures.encoded(sheet(), "png"), Recipe(operations, PNG))


def pixels(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
