"""threshold: one band of black and white. Called by ``pipeline.py``."""

import pyvips

from imgserve.imaging.worker.canvas import Canvas
from imgserve.imaging.worker.steps.grayscale import luminance
from imgserve.request.imageinfo import Size
from imgserve.request.operations.threshold import Threshold


def applied(canvas: Canvas, operation: Threshold, _size: Size) -> Canvas:
    most = canvas.most

    def divided(colours: pyvips.Image) -> pyvips.Image:
        is_white = luminance(colours) >= operation.value * most // 255  # 0 or 255, whatever the canvas
        return is_white if most == 255 else is_white.cast(colours.format) * (most // 255)

    return canvas.of_colours(divided)
