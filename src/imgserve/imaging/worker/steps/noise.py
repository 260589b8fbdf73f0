"""noise: a random level added to each pixel. Called by ``pipeline.py``."""

from random import Random

import pyvips

from imgserve.imaging.worker.canvas import Canvas
from imgserve.request.imageinfo import Size
from imgserve.request.operations.noise import Noise

_LEVELS = 255
_DRAWN = 1 << 16  # different numbers that are drawn; times an amount a float holds them exactly
_BYTES_AT_ONCE = 1 << 20  # Python draws them as one integer, and holds them twice


def applied(canvas: Canvas, operation: Noise, _size: Size) -> Canvas:
    """All frames at once: each gets a grain of its own."""
    image, most = canvas.image, canvas.most
    drawn = pyvips.Image.new_from_memory(
        _drawn(2 * image.width * image.height, operation.seed), image.width, image.height, 1, "ushort"
    )
    levels = (drawn * (operation.amount / _DRAWN)).floor() - operation.amount // 2
    return canvas.of_colours(lambda colours: colours + levels * (most // _LEVELS))


def _drawn(length: int, seed: int) -> bytearray:
    random, drawn = Random(seed), bytearray()  # noqa: S311 - grain, no secret
    while len(drawn) < length:
        drawn += random.randbytes(min(_BYTES_AT_ONCE, length - len(drawn)))
    return drawn
