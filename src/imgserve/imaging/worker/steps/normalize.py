"""normalize: the lightness between two percentiles, stretched to all of it. Called by ``pipeline.py``.

As sharp does it in CIE Lab, but with percentiles of fractions of L, and of visible pixels only.
"""

from array import array
from bisect import bisect_left
from itertools import accumulate

import pyvips

from imgserve.imaging.worker.canvas import Canvas
from imgserve.request.imageinfo import Size
from imgserve.request.operations.normalize import Normalize

_LIGHTEST = 100
_STEPS = 65_535  # of the histogram, from black to white
_FLAT = 1  # a smaller difference of L is noise, which a stretch would blow up to the whole range


def applied(canvas: Canvas, operation: Normalize, _size: Size) -> Canvas:
    canvas = canvas._replace(image=canvas.image.copy_memory())  # it is read twice
    ends = _percentiles(canvas.first, operation.lower, operation.upper)
    if ends is None or ends[1] - ends[0] < _FLAT:
        return canvas
    factor = _LIGHTEST / (ends[1] - ends[0])

    def stretched(colours: pyvips.Image) -> pyvips.Image:
        lab = colours.colourspace("lab")
        return lab.linear([factor, 1, 1], [-ends[0] * factor, 0, 0]).colourspace(colours.interpretation)

    return canvas.of_colours(stretched)


def _percentiles(image: pyvips.Image, lower: float, upper: float) -> tuple[float, float] | None:
    """The L of these percentiles of the visible pixels; None without any."""
    lightness = (image.colourspace("lab")[0] * (_STEPS / _LIGHTEST)).rint().cast("ushort")
    hidden = 0
    if image.hasalpha():
        is_hidden = image[image.bands - 1] == 0
        hidden = round(is_hidden.avg() / 255 * image.width * image.height)
        lightness = is_hidden.ifthenelse(0, lightness)
    counts = array("I", bytes(lightness.hist_find().write_to_memory()))
    counts[0] -= hidden
    below = list(accumulate(counts))
    if not below[-1]:
        return None
    # The first level with so many pixels up to it; of percentile 0 the first that any pixel has.
    low, high = (bisect_left(below, max(1, below[-1] * percentile / 100)) for percentile in (lower, upper))
    return low * _LIGHTEST / _STEPS, high * _LIGHTEST / _STEPS
