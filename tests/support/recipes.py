"""A recipe carried out in this process by the worker's own functions: bytes in, pixels out."""

import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image

from imgserve.blob import Blob
from imgserve.imaging.worker import pipeline
from imgserve.request.encode import Encode, Format, Profile
from imgserve.request.imageinfo import Size
from imgserve.request.limits import Limits
from imgserve.request.recipe import Operation, Recipe
from imgserve.request.rendering import Rendering
from tests.support import pictures


def carried_out(
    source: Image.Image | bytes,
    *operations: Operation,
    size: tuple[int, int] | None = None,
    output_format: Format = "png",
    limits: Limits | None = None,
    further: Sequence[Image.Image | bytes] = (),
    profile: Profile = "srgb",
    bits: Literal[8, 16] = 8,
) -> Image.Image:
    """The result, by Pillow. ``size`` is the picture's own if it is not given."""
    data = bytes_of(source)
    size = size or Image.open(io.BytesIO(data)).size
    encode = Encode(output_format, profile=profile, bit_depth=bits)
    rendering = Rendering(Recipe(operations, encode), Size(*size), output_format)
    with Blob() as result:
        own = [bytes_of(picture) for picture in further]
        pipeline.render(data, rendering, limits or Limits(), result.fd, further_data=own)
        with open(f"/proc/self/fd/{result.fd}", "rb") as file:
            image = Image.open(io.BytesIO(file.read()))
    image.load()
    return image


def bytes_of(picture: Image.Image | bytes) -> bytes:
    return pictures.encoded(picture, "png") if isinstance(picture, Image.Image) else picture


def frames_of(image: Image.Image) -> Sequence["np.ndarray[tuple[int, ...], np.dtype[np.float64]]"]:
    """Each frame as RGBA."""
    frames = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        frames.append(np.asarray(image.convert("RGBA")).astype(np.float64))
    return frames
