"""Changes of single values of a colour, by a table with the result for each level. For linear, contrast, gamma, negate.

A table is exact and costs the same whatever the formula.
"""

from collections.abc import Callable
from typing import TypeAlias

import pyvips

from imgserve.imaging.worker.canvas import Canvas

Values: TypeAlias = pyvips.Image
"""Each level of a canvas once, in order: ``1 x 256 or 65,536, double``."""


def changed(canvas: Canvas, curve: Callable[[Values, int], Values]) -> Canvas:
    """With ``curve`` applied to each colour, rounded half up and clipped; alpha is left alone.

    ``curve`` gets all levels and the highest of them. A curve that returns three bands is for red, green and blue.
    """
    is_deep = canvas.most > 255
    levels = pyvips.Image.identity(ushort=is_deep, size=canvas.most + 1)
    table = (curve(levels.cast("double"), canvas.most) + 0.5).floor().cast(canvas.image.format)
    return canvas.of_colours(lambda colours: colours.maplut(table))
