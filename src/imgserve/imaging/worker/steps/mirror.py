"""flip and flop: mirror each frame. Called by ``pipeline.py``."""

from imgserve.imaging.worker.canvas import Canvas
from imgserve.request.imageinfo import Size
from imgserve.request.operations.flip import Flip
from imgserve.request.operations.flop import Flop


def flipped(canvas: Canvas, _operation: Flip, _size: Size) -> Canvas:
    return canvas.of_each_frame(lambda frame: frame.flipver())


def flopped(canvas: Canvas, _operation: Flop, _size: Size) -> Canvas:
    return canvas.of_pixels(lambda roll: roll.fliphor())  # rows stay, so all frames at once
