"""pixelate: the mean of each cell of each frame, its colours weighted by their alpha. Called by ``pipeline.py``."""

import math
from functools import partial

import pyvips

from imgserve.imaging.worker.canvas import Canvas, mixed
from imgserve.request.imageinfo import Size
from imgserve.request.operations.pixelate import Pixelate


def applied(canvas: Canvas, operation: Pixelate, _size: Size) -> Canvas:
    change = partial(_cells, side_px=operation.size, is_mirrored=operation.mirror)
    return canvas.of_each_frame(partial(mixed, change=change))


def _cells(image: pyvips.Image, side_px: int, *, is_mirrored: bool) -> pyvips.Image:
    """Floats: the mean of each cell, of its pixels within the picture. Cells begin at the top left corner."""
    width, height = (math.ceil(length / side_px) * side_px for length in (image.width, image.height))
    if is_mirrored:
        whole = image.cast("float").embed(0, 0, width, height, extend="mirror")
        return whole.shrink(side_px, side_px).zoom(side_px, side_px).crop(0, 0, image.width, image.height)
    # A further band counts the pixels: what stands beyond the edge is 0 in all bands.
    counted = image.cast("float").bandjoin(1).embed(0, 0, width, height)
    means = counted.shrink(side_px, side_px)
    means = means.extract_band(0, n=image.bands) / means[image.bands]
    return means.zoom(side_px, side_px).crop(0, 0, image.width, image.height)
