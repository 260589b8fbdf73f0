"""gamma: a power of each value. Called by ``pipeline.py``."""

from imgserve.imaging.worker import tones
from imgserve.imaging.worker.canvas import Canvas
from imgserve.request.imageinfo import Size
from imgserve.request.operations.gamma import Gamma


def applied(canvas: Canvas, operation: Gamma, _size: Size) -> Canvas:
    return tones.changed(canvas, lambda values, most: (values / most) ** (1 / operation.gamma) * most)
