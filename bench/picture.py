"""The source of the benches: 2 megapixels, about 750 KB of JPEG, as hard to decode as a photograph.

Called by every bench before it starts its servers; ``outputs`` asks for a larger one. Soft colour fields give it the
low frequencies of a photograph, edges and grain the high ones; the seed is fixed, so each run measures the same bytes.
"""

import io

import numpy
from PIL import Image, ImageDraw, ImageFilter

WIDTH_PX, HEIGHT_PX = 1632, 1224
RESULT_WIDTH_PX, RESULT_HEIGHT_PX = 200, 120
_SEED = 2011
_SHAPES = 240
_GRAIN = 9.0
_QUALITY = 89


def photo(width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX, *, seed: int = _SEED) -> bytes:
    """JPEG, 8-bit YCbCr 4:2:0. As many shapes for each pixel, whatever the size."""
    random = numpy.random.default_rng(seed)
    coarse = random.integers(30, 226, size=(10, 14, 3), dtype=numpy.uint8)
    image = Image.fromarray(coarse).resize((width_px, height_px), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(_SHAPES * width_px * height_px // (WIDTH_PX * HEIGHT_PX)):
        x, y = int(random.integers(0, width_px)), int(random.integers(0, height_px))
        side = int(random.integers(8, 160))
        red, green, blue = (int(value) for value in random.integers(0, 256, 3))
        draw.ellipse((x, y, x + side, y + int(random.integers(8, 160))), fill=(red, green, blue))
    pixels = numpy.asarray(image.filter(ImageFilter.GaussianBlur(1.2)), dtype=numpy.float32)
    grain = random.normal(0.0, _GRAIN, size=(height_px, width_px, 1)).astype(numpy.float32)
    out = io.BytesIO()
    Image.fromarray(numpy.clip(pixels + grain, 0, 255).astype(numpy.uint8)).save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
