"""crop: keep a part, exactly these pixels, of each frame at the same place. Called by ``pipeline.py``."""

from imgserve.imaging.worker import cover
from imgserve.imaging.worker.canvas import Canvas
from imgserve.request.imageinfo import Size
from imgserve.request.operations.crop import Crop


def applied(canvas: Canvas, operation: Crop, _size: Size) -> Canvas:
    """Raises NothingLeft."""
    left, top, size = operation.part(canvas.size)
    if size == canvas.size:
        return canvas
    if isinstance(operation.place, str) and operation.place in cover.CHOSEN_BY_CONTENT:
        left, top = cover.interesting(canvas.first, size, operation.place)
    return canvas.of_each_frame(lambda frame: frame.crop(left, top, size.width_px, size.height_px))
