"""blur: a Gaussian over each frame, its colours weighted by their alpha. Called by ``pipeline.py``.

Small ones are libvips' gaussblur as it is. Its cost grows with sigma, without a bound worth the name for samples that
are not bytes; a large Gaussian is therefore computed on a picture of fewer pixels, which the eye cannot tell apart: the
result has no detail of that size.
"""

import math
from collections.abc import Callable
from functools import partial

import pyvips

from imgserve.imaging.worker.canvas import Canvas, mixed
from imgserve.request.imageinfo import Size
from imgserve.request.operations.blur import Blur

# From this sigma on the detour is cheaper (2 MP of noise on one core). libvips blurs bytes by vector instructions.
_LARGE, _LARGE_OF_BYTES = 16, 100
# The sigma on the smaller picture. Levels differ by less than 0.5 of 255 in the mean, by 3 at most.
_SIGMA_THERE = 8
_RADIUS_THERE = 24  # likewise: a Gaussian that ends high above 0 needs more pixels to its end
_NOTHING = 5  # sigmas from the middle: a Gaussian adds less than a level there, of 16 bits too


def applied(canvas: Canvas, operation: Blur, _size: Size) -> Canvas:
    return canvas.of_each_frame(partial(blurred, operation=operation))


def blurred(image: pyvips.Image, operation: Blur) -> pyvips.Image:
    """One frame in the samples of a canvas."""
    change = _to_radius if operation.radius is not None else _gaussian
    return mixed(image, partial(change, operation=operation))


def _gaussian(image: pyvips.Image, operation: Blur) -> pyvips.Image:
    sigma = operation.sigma
    if sigma < (_LARGE_OF_BYTES if image.format == "uchar" else _LARGE):
        return image.gaussblur(sigma)
    side = int(sigma / _SIGMA_THERE)
    return _on_blocks(image, side, math.ceil(2 * sigma), lambda small: small.gaussblur(sigma / side))


def _to_radius(image: pyvips.Image, operation: Blur) -> pyvips.Image:
    assert operation.radius is not None
    sigma, radius = operation.sigma, min(operation.radius, math.ceil(operation.sigma * _NOTHING))
    side = max(1, min(radius // _RADIUS_THERE, int(sigma / _SIGMA_THERE)))
    mask = pyvips.Image.new_from_array([_weights(sigma / side, (radius + 0.5) / side)])
    if side == 1:
        return image.convsep(mask, precision="float")
    return _on_blocks(image, side, radius, lambda small: small.convsep(mask, precision="float"))


def _weights(sigma: float, end: float) -> list[float]:
    """Of each pixel, their sum being 1. ``end``: from the middle; the last pixel counts in part."""
    reach = math.ceil(end - 0.5)
    weights = [math.exp(-x * x / (2 * sigma * sigma)) * min(1.0, end - abs(x) + 0.5) for x in range(-reach, reach + 1)]
    return [weight / sum(weights) for weight in weights]


def _on_blocks(
    image: pyvips.Image, side: int, reach: int, soften: Callable[[pyvips.Image], pyvips.Image]
) -> pyvips.Image:
    """``soften`` on a picture of a pixel for each block. ``reach``: how far it looks, in pixels of the picture."""
    # The edge's pixels go on as far as the Gaussian reaches; on the smaller picture they would be whole blocks.
    around = math.ceil(reach / side) * side
    width, height = (math.ceil(length / side) * side + 2 * around for length in (image.width, image.height))
    # Floats, since the mean of whole numbers would be one.
    small = image.embed(around, around, width, height, extend="copy").cast("float").shrink(side, side)
    middle = (side - 1) / 2  # of a block; libvips' resize would move the picture
    return soften(small).affine(
        [side, 0, 0, side],
        interpolate=pyvips.Interpolate.new("bicubic"),
        odx=middle,
        ody=middle,
        oarea=[around, around, image.width, image.height],
        extend="copy",
        premultiplied=True,
    )
