"""convolve: a mask over each frame. Called by ``pipeline.py``."""

from functools import partial

import pyvips

from imgserve.imaging.worker.canvas import Canvas, as_samples, mixed
from imgserve.imaging.worker.colour import inks
from imgserve.request.imageinfo import Size
from imgserve.request.operations.convolve import Convolve

_LEVELS = 255
_ONE = 1e-6  # as near as a sum of decimal fractions comes to 1


def applied(canvas: Canvas, operation: Convolve, _size: Size) -> Canvas:
    total = sum(map(sum, operation.mask))
    divisor = total if operation.normalize and abs(total) > _ONE else 1.0
    weights = [[number / divisor for number in row] for row in operation.mask]
    offset = operation.offset * canvas.most / _LEVELS
    if abs(total / divisor - 1) < _ONE:
        change = partial(_mean, mask=pyvips.Image.new_from_array(weights), offset=offset, most=canvas.most)
        return canvas.of_each_frame(partial(mixed, change=change))
    return canvas.of_each_frame(partial(_sum, weights=weights, offset=offset))


def _mean(pixels: pyvips.Image, mask: pyvips.Image, offset: float, most: int) -> pyvips.Image:
    """Of premultiplied pixels, or of colours alone."""
    means = pixels.conv(mask, precision="float")
    if not pixels.hasalpha():
        return means + offset
    alpha = means[means.bands - 1]
    colours = means.extract_band(0, n=means.bands - 1) + alpha * (offset / most)
    return colours.bandjoin(alpha).copy(interpretation=pixels.interpretation)


def _sum(image: pyvips.Image, weights: list[list[float]], offset: float) -> pyvips.Image:
    """The alpha is left alone. Of a neighbour the part that is transparent counts as the pixel itself."""
    mask = pyvips.Image.new_from_array(weights)
    image = image.copy_memory()  # a mask reads each row many times, and the alpha is read twice
    if not image.hasalpha():
        return image.conv(mask, precision="float") + offset
    colours, alpha = image.extract_band(0, n=image.bands - 1), image[image.bands - 1]
    share = alpha / inks.most(image)
    hidden = sum(map(sum, weights)) - share.conv(mask, precision="float")
    sums = (colours * share).conv(mask, precision="float") + colours * hidden + offset
    return as_samples(sums, image).bandjoin(alpha)
