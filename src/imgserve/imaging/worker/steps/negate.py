"""negate: the distance to white. Called by ``pipeline.py``."""

from imgserve.imaging.worker import tones
from imgserve.imaging.worker.canvas import Canvas
from imgserve.request.imageinfo import Size
from imgserve.request.operations.negate import Negate


def applied(canvas: Canvas, _operation: Negate, _size: Size) -> Canvas:
    return tones.changed(canvas, lambda values, most: most - values)
