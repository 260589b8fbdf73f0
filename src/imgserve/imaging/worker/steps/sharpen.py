"""sharpen: libvips' unsharp mask on the lightness of each frame. Called by ``pipeline.py``."""

from functools import partial

import pyvips

from imgserve.imaging.worker.canvas import Canvas, as_samples
from imgserve.request.imageinfo import Size
from imgserve.request.operations.sharpen import Sharpen

# Of a lightness from 0 to 100: where edges begin, and how much brighter and darker a pixel may get.
_EDGE_FROM, _BRIGHTER, _DARKER = 2, 10, 20
_MASK_ENDS_AT = 0.1  # of the height of libvips' mask


def applied(canvas: Canvas, operation: Sharpen, _size: Size) -> Canvas:
    return canvas.of_each_frame(partial(_sharpened, operation=operation))


def _sharpened(image: pyvips.Image, operation: Sharpen) -> pyvips.Image:
    image = image.copy_memory()  # the mask reads each row many times, and would compute the step before as often
    if not image.hasalpha():
        return _crisp(image, operation)
    colours, alpha = image.extract_band(0, n=image.bands - 1), image[image.bands - 1]
    if alpha.min() == 0:
        # Hidden colours would draw a line along the visible ones: the nearest visible colours take their place.
        near = image.premultiply().gaussblur(operation.sigma, min_ampl=_MASK_ENDS_AT).unpremultiply()
        near = as_samples(near, image).extract_band(0, n=image.bands - 1)
        colours = (alpha == 0).ifthenelse(near, colours)
    return _crisp(colours, operation).bandjoin(alpha)


def _crisp(colours: pyvips.Image, operation: Sharpen) -> pyvips.Image:
    return colours.sharpen(
        sigma=operation.sigma, x1=_EDGE_FROM, y2=_BRIGHTER, y3=_DARKER, m1=operation.flat, m2=operation.jagged
    )
