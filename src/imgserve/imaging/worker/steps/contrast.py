"""contrast: a straight line through the middle. Called by ``pipeline.py``."""

from imgserve.imaging.worker import tones
from imgserve.imaging.worker.canvas import Canvas
from imgserve.request.imageinfo import Size
from imgserve.request.operations.contrast import Contrast


def applied(canvas: Canvas, operation: Contrast, _size: Size) -> Canvas:
    return tones.changed(canvas, lambda values, most: (values - most / 2) * operation.factor + most / 2)
