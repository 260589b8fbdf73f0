"""saturate: the distance to a grey, by HSP (Darel Finley, alienryderflex.com/hsp.html). Called by ``pipeline.py``."""

import pyvips

from imgserve.imaging.worker.canvas import Canvas
from imgserve.request.imageinfo import Size
from imgserve.request.operations.saturate import Saturate

_WEIGHTS = [[0.299, 0.587, 0.114]]


def applied(canvas: Canvas, operation: Saturate, _size: Size) -> Canvas:
    def saturated(colours: pyvips.Image) -> pyvips.Image:
        if colours.bands == 1:
            return colours
        # A square of 16 bits has more digits than a float.
        values = colours.cast("double" if colours.format == "ushort" else "float")
        grey = (values * values).recomb(_WEIGHTS) ** 0.5
        return values * operation.factor + grey * (1 - operation.factor)

    return canvas.of_colours(saturated)
