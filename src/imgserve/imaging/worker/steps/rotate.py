"""rotate: turn each frame about its middle. Called by ``pipeline.py``."""

from functools import partial
from math import cos, radians, sin

import pyvips

from imgserve.imaging.worker.canvas import Canvas
from imgserve.imaging.worker.colour import inks
from imgserve.request.imageinfo import Size
from imgserve.request.operations.rotate import Rotate

_QUARTERS = ("d0", "d90", "d180", "d270")
_OPAQUE = 255


def applied(canvas: Canvas, operation: Rotate, _size: Size) -> Canvas:
    if operation.quarters is not None:
        turn = _QUARTERS[operation.quarters]
        return canvas if turn == "d0" else canvas.of_each_frame(lambda frame: frame.rot(turn))
    ink = inks.rgba(operation.background)
    size = operation.after(canvas.shape).size
    # In memory: where tiles of the result overlap in the picture, what is before would be computed again for each.
    canvas = canvas._replace(image=inks.with_room_for(canvas.image, ink).copy_memory())
    color: list[float] = [*inks.samples(ink, canvas.image)]
    if canvas.image.hasalpha():  # pixels are mixed with the new space, both weighted by their alpha
        color = [level * ink[3] / _OPAQUE for level in color[:-1]] + color[-1:]
    return canvas.of_each_frame(partial(_turned, angle=operation.angle, size=size, color=color))


def _turned(image: pyvips.Image, angle: float, size: Size, color: list[float]) -> pyvips.Image:
    """By bicubic interpolation. libvips has the middle of a pixel at whole numbers."""
    a, b = cos(radians(angle)), sin(radians(angle))
    x, y = (image.width - 1) / 2, (image.height - 1) / 2
    has_alpha = image.hasalpha()
    turned = (image.premultiply() if has_alpha else image).affine(
        [a, -b, b, a],
        interpolate=pyvips.Interpolate.new("bicubic"),
        odx=(size.width_px - 1) / 2 - (a * x - b * y),
        ody=(size.height_px - 1) / 2 - (b * x + a * y),
        oarea=[0, 0, size.width_px, size.height_px],
        extend="background",
        background=color,
        premultiplied=True,
    )
    return turned.unpremultiply() if has_alpha else turned
