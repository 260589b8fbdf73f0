"""A picture in another size. Called by cover, animation and load.

Of a picture with transparency each pixel's colour counts by its alpha, and the results are rounded: libvips' own
thumbnail multiplies in 8 bits and rounds down, which darkens nearly transparent pixels by a dozen levels.
"""

import pyvips

from imgserve.request.imageinfo import Size

# The kernel shrinks at least this much after the means of whole blocks, which alone let fine patterns through as moire.
_LEFT_TO_KERNEL = 2
_OPAQUE = {"uchar": 255, "ushort": 65_535}


def shrink(factor: float) -> int:
    """The side of the blocks whose means come first: 1, 2, 4 ..., like libjpeg's, so that all formats look alike."""
    side = 1
    while factor >= 2 * side * _LEFT_TO_KERNEL:
        side *= 2
    return side


def covering(width_px: float, height_px: float, size: Size) -> Size:
    """The size that covers ``size`` and keeps the ratio of these sides, but for rounding."""
    factor = max(size.width_px / width_px, size.height_px / height_px)
    return Size(max(size.width_px, round(width_px * factor)), max(size.height_px, round(height_px * factor)))


def resized(image: pyvips.Image, whole: Size) -> pyvips.Image:
    """Exactly this size, by Lanczos. In and out: RGB or grey; with alpha uint8 or uint16, alpha last."""
    if not image.hasalpha():
        return _resized(image, whole)
    image = image.copy_memory()  # it is read twice
    opaque = _OPAQUE[image.format]
    if image[-1].min() == opaque:  # most pictures do not need their alpha; without it a third of the work is left
        return _resized(image.extract_band(0, n=image.bands - 1), whole).bandjoin(opaque)
    return _resized(image.premultiply(), whole).unpremultiply().rint().cast(image.format)


def _resized(image: pyvips.Image, whole: Size) -> pyvips.Image:
    across, down = whole.width_px / image.width, whole.height_px / image.height
    factor = 1 / max(across, down)
    # libvips takes the whole part of the factor divided by the gap. A half more keeps both sides clear of rounding.
    return image.resize(across, vscale=down, gap=max(1.0, factor / (shrink(factor) + 0.5)))
