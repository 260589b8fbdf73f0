"""convolve: a mask over each frame. Called by ``pipeline.py``."""

from functools import partial

import pyvips

from imgserve.imaging.worker.canvas import Canvas, as_samples, mixed
from imgserve.imaging.worker.colour import inks
from imgserve.request.imageinfo import Size
from imgserve.request.operations.convolve import Convolve

_LEVELS = 255
_LUMA = [[0.299, 0.587, 0.114]]  # ITU-R BT.601, section 2.5.1
_ONE = 1e-6  # as near as a sum of decimal fractions comes to 1


def applied(canvas: Canvas, operation: Convolve, _size: Size) -> Canvas:
    total = sum(map(sum, operation.mask))
    divisor = total if operation.normalize and abs(total) > _ONE else 1.0
    weights = [[number / divisor for number in row] for row in operation.mask]
    offset = operation.offset * canvas.most / _LEVELS
    if operation.channels == "luma":
        return canvas.of_each_frame(partial(_brighter, weights=weights, offset=offset))
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
    """The alpha is left alone."""
    image = image.copy_memory()  # a mask reads each row many times, and the alpha is read twice
    if not image.hasalpha():
        return _sums(image, weights) + offset
    colours, alpha = image.extract_band(0, n=image.bands - 1), image[image.bands - 1]
    return as_samples(_sums(colours, weights, alpha / inks.most(image)) + offset, image).bandjoin(alpha)


def _brighter(image: pyvips.Image, weights: list[list[float]], offset: float) -> pyvips.Image:
    """All colours by what the brightness changes by. The alpha is left alone."""
    image = image.copy_memory()
    has_alpha = image.hasalpha()
    colours = image.extract_band(0, n=image.bands - has_alpha)
    alpha = image[image.bands - 1] if has_alpha else None
    luma = (colours.recomb(_LUMA) if colours.bands > 1 else colours).cast("float").copy_memory()
    sums = _sums(luma, weights, None if alpha is None else alpha / inks.most(image))
    changed = as_samples(colours + (sums - luma) + offset, image)
    return changed if alpha is None else changed.bandjoin(alpha)


def _sums(values: pyvips.Image, weights: list[list[float]], share: pyvips.Image | None = None) -> pyvips.Image:
    """``share``: how opaque each pixel is. Of a neighbour the part that is transparent counts as the pixel itself."""
    mask = pyvips.Image.new_from_array(weights)
    if share is None:
        return values.conv(mask, precision="float")
    hidden = sum(map(sum, weights)) - share.conv(mask, precision="float")
    return (values * share).conv(mask, precision="float") + values * hidden
