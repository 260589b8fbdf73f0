"""A picture in another size, without alpha. Called by cover, animation and transparent."""

import pyvips

from imgserve.request.imageinfo import Size

# At least this much is left to the kernel after means of whole blocks, which let fine patterns through as moire.
_LEFT_TO_KERNEL = 2


def shrink(factor: float) -> int:
    """The side of the blocks whose means are taken first: 1, 2, 4 ..., as libjpeg's, so that all formats look alike."""
    side = 1
    while factor >= 2 * side * _LEFT_TO_KERNEL:
        side *= 2
    return side


def covering(width_px: float, height_px: float, size: Size) -> Size:
    """The size that covers ``size`` and keeps the shape of these sides, but for rounding."""
    factor = max(size.width_px / width_px, size.height_px / height_px)
    return Size(max(size.width_px, round(width_px * factor)), max(size.height_px, round(height_px * factor)))


def resized(image: pyvips.Image, whole: Size) -> pyvips.Image:
    """Of exactly this size, by Lanczos."""
    across, down = whole.width_px / image.width, whole.height_px / image.height
    factor = 1 / max(across, down)
    # libvips takes the whole part of the factor divided by the gap. A half more keeps both sides clear of rounding.
    return image.resize(across, vscale=down, gap=max(1.0, factor / (shrink(factor) + 0.5)))
