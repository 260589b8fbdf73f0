"""The worker's own functions, called in this process: a render is bytes in, a Pillow image out."""

import io
from collections.abc import Callable

import pytest
from PIL import Image

from imgserve.blob import Blob
from imgserve.imaging.worker import pipeline, vips
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.recipe import Format, LoadOptions, Operation, OutputOptions, Recipe
from imgserve.request.rendering import Rendering

Render = Callable[..., Image.Image]


@pytest.fixture(scope="session", autouse=True)
def _vips() -> None:
    vips.configure()


def render_bytes(
    data: bytes,
    operation: Operation,
    size: tuple[int, int],
    output_format: Format = "png",
    limits: Limits | None = None,
    background: str = "#ffffff",
    *,
    strict: bool = True,
    dpi: float = 72,
) -> bytes:
    output = OutputOptions(format=output_format, background=background)
    recipe = Recipe((operation,), output, LoadOptions(strict=strict, dpi=dpi))
    with Blob() as result:
        written = pipeline.render(data, Rendering(recipe, Size(*size), output_format), limits or Limits(), result.fd)
        assert written.size == Size(*size)
        with open(f"/proc/self/fd/{result.fd}", "rb") as file:
            return file.read()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.fixture
def render() -> Render:
    def run(
        data: bytes, operation: Operation, size: tuple[int, int], output_format: Format = "png", **more: object
    ) -> Image.Image:
        return opened(render_bytes(data, operation, size, output_format, **more))  # type: ignore[arg-type]

    return run
