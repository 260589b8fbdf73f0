"""modulate: arithmetic in CIE LCh, as sharp does it. Called by ``pipeline.py``."""

import pyvips

from imgserve.imaging.worker.canvas import Canvas
from imgserve.request.imageinfo import Size
from imgserve.request.operations.modulate import Modulate


def applied(canvas: Canvas, operation: Modulate, _size: Size) -> Canvas:
    if operation == Modulate():
        return canvas  # there and back is not exact

    def modulated(colours: pyvips.Image) -> pyvips.Image:
        factors, summands = [operation.brightness, operation.saturation, 1], [operation.lightness, 0, operation.hue]
        return colours.colourspace("lch").linear(factors, summands).colourspace(colours.interpretation)

    return canvas.of_colours(modulated)
