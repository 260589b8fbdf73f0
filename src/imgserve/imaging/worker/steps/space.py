"""New space around the frames of a canvas. For the steps of resize, extend and rotate."""

from imgserve.imaging.worker.canvas import Canvas
from imgserve.imaging.worker.colour import inks
from imgserve.imaging.worker.colour.convert import Rgba
from imgserve.request.imageinfo import Size


def placed(canvas: Canvas, left: int, top: int, size: Size, ink: Rgba) -> Canvas:
    """Each frame at this place of ``size``, around it the ink. Grey stays grey before a grey ink or none."""
    canvas = canvas._replace(image=inks.with_room_for(canvas.image, ink))
    color = inks.samples(ink, canvas.image)
    return canvas.of_each_frame(
        lambda frame: frame.embed(left, top, size.width_px, size.height_px, extend="background", background=color)
    )
