"""Makes the pictures of docs/reference/operations.md and docs/gallery.md, each by its recipe, in real workers.

    python docs/pictures.py    write those that look different (``make docs``)

In: examples/pictures/lighthouse.svg, drawn once to pixels, and docs/images/operations/recipes.json. Out: the WebP files
beside it. rasterize gets the SVG itself. Pictures that are drawn on others have their names in examples/pictures.
"""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from imgserve.blob import Blob
from imgserve.imaging.config import Config
from imgserve.imaging.pool import Pool
from imgserve.request.limits import Limits
from imgserve.request.native import parse_recipe
from imgserve.request.recipe import Recipe
from imgserve.request.rendering import resolve

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images" / "operations"
DRAWING = DOCS.parent / "examples" / "pictures" / "lighthouse.svg"
SOURCE = "source"
NEAR = 0.5  # levels of 255 in the mean: other versions of a codec differ by less

_AS_WEBP = {"format": "webp", "quality": 80}
_TO_PIXELS = [{"operation": "rasterize", "width": 360, "height": 225}]


def recipes() -> dict[str, list[dict[str, object]]]:
    """The operations of each example, by the name of the one that it shows."""
    examples: dict[str, list[dict[str, object]]] = json.loads((IMAGES / "recipes.json").read_text())
    return examples


async def rendered() -> AsyncIterator[tuple[str, bytes]]:
    """Each picture's name and file, the source's first."""
    limits = Limits()
    workers = Pool(Config(workers=1), limits)
    await workers.start()
    try:
        drawing = DRAWING.read_bytes()
        pixels = await _render(workers, drawing, _recipe(_TO_PIXELS, {"format": "png"}), limits)
        yield SOURCE, await _render(workers, pixels, _recipe([], _AS_WEBP), limits)
        for name, operations in recipes().items():
            source = drawing if name == "rasterize" else pixels
            yield name, await _render(workers, source, _recipe(operations, _AS_WEBP), limits)
    finally:
        await workers.aclose()


def distance(left: bytes, right: bytes) -> float:
    """The mean distance of two files' pixels, in levels of 255; 255 for two sizes."""
    one, other = (np.asarray(Image.open(io.BytesIO(file)).convert("RGBA"), float) for file in (left, right))
    return float(np.abs(one - other).mean()) if one.shape == other.shape else 255.0


def path_of(name: str) -> Path:
    return IMAGES / f"{name}.webp"


def _recipe(operations: list[dict[str, object]], encode: Mapping[str, object]) -> Recipe:
    return parse_recipe({"operations": operations, "encode": encode})


async def _render(workers: Pool, data: bytes, recipe: Recipe, limits: Limits) -> bytes:
    with ExitStack() as held:
        source = held.enter_context(Blob.of(data))
        drawn = [(DRAWING.parent / f"{image.name}.svg").read_bytes() for image in recipe.further]
        further = [held.enter_context(Blob.of(picture)) for picture in drawn]
        info = await workers.probe(source, is_complete=True)
        assert info is not None  # all bytes are there
        rendering = resolve(recipe, info, limits)
        with await workers.render(source, rendering, further, is_svg=info.is_svg) as picture:
            return picture.read()


async def _main() -> None:
    async for name, file in rendered():
        path = path_of(name)
        if not path.exists() or distance(path.read_bytes(), file) > NEAR:
            path.write_bytes(file)
            print(f"{path.relative_to(DOCS.parent)} written")


if __name__ == "__main__":
    asyncio.run(_main())
