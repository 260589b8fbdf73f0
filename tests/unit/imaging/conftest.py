"""The worker's own functions, called in this process: a render is bytes in, a Pillow image out."""

import io
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from imgserve.blob import Blob
from imgserve.imaging.worker import pipeline, probe, vips
from imgserve.imaging.worker.detect import detect
from imgserve.imaging.worker.picture import Picture
from imgserve.request.encode import Encode, Format
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.limits import Limits
from imgserve.request.recipe import LoadOptions, Operation, Recipe, check_operations
from imgserve.request.rendering import Rendering, resolve

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
    load: LoadOptions | None = None,
) -> bytes:
    output = Encode(format=output_format, background=background)
    recipe = Recipe((operation,), output, load or LoadOptions(strict=strict, dpi=dpi))
    with Blob() as result:
        written = pipeline.render(data, Rendering(recipe, Size(*size), output_format), limits or Limits(), result.fd)
        assert written.size == Size(*size)
        with open(f"/proc/self/fd/{result.fd}", "rb") as file:
            return file.read()


def carried_out(
    data: bytes,
    *operations: Operation,
    output_format: Format = "png",
    limits: Limits | None = None,
) -> bytes:
    """The result's file, by way of everything that a request goes through: fields, header, size rules, worker.

    The worker does not get the size, to which it would bring any result, so the steps alone must come to it.
    """
    limits = limits or Limits()
    check_operations(operations)
    source_format = detect(data)
    assert source_format is not None
    info = probe.measure(Picture(data, source_format), limits)
    resolved = resolve(Recipe(operations, Encode(format=output_format)), info, limits)
    with Blob() as result:
        task = msgspec.structs.replace(resolved, size=None)
        written = pipeline.render(data, task, limits, result.fd)
        assert resolved.size in (None, written.size)
        with open(f"/proc/self/fd/{result.fd}", "rb") as file:
            image = file.read()
    assert opened(image).size == (written.size.width_px, written.size.height_px)
    return image


def picture(data: bytes, *operations: Operation, **more: Any) -> Image.Image:
    """As ``carried_out``, for Pillow."""
    return opened(carried_out(data, *operations, **more))


def pixels(data: bytes, *operations: Operation) -> NDArray[np.uint8]:
    """As ``carried_out``: height x width x bands."""
    result = np.asarray(picture(data, *operations))
    return result.reshape(*result.shape[:2], -1)


def frames(data: bytes) -> list[Image.Image]:
    """Each frame as shown, RGBA."""
    return [frame.convert("RGBA") for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data)))]


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def facts(info: ImageInfo | None) -> tuple[str, float, float, int]:
    """What most tests of headers are about."""
    assert info is not None
    return info.format, info.width_px, info.height_px, info.frames


@pytest.fixture
def render() -> Render:
    def run(
        data: bytes, operation: Operation, size: tuple[int, int], output_format: Format = "png", **more: object
    ) -> Image.Image:
        return opened(render_bytes(data, operation, size, output_format, **more))  # type: ignore[arg-type]

    return run
