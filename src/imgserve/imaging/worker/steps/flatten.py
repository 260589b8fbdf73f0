"""flatten: the picture over a colour, without alpha. Called by ``pipeline.py``."""

import pyvips

from imgserve.imaging.worker.canvas import Canvas
from imgserve.imaging.worker.colour import inks
from imgserve.request.imageinfo import Size
from imgserve.request.operations.flatten import Flatten


def applied(canvas: Canvas, operation: Flatten, _size: Size) -> Canvas:
    if not canvas.image.hasalpha():
        return canvas
    ink = inks.rgba(operation.background)

    def flat(image: pyvips.Image) -> pyvips.Image:
        image = inks.with_room_for(image, ink)
        background = inks.samples(ink, image)[: image.bands - 1]
        # Of whole numbers libvips would round down, which darkens.
        return image.cast("float").flatten(background=background, max_alpha=canvas.most)

    return canvas.of_pixels(flat)
