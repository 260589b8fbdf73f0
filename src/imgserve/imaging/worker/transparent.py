"""Resizes pictures with transparency: each pixel's colour counts by its alpha, and the results are rounded.

libvips' own thumbnail multiplies in 8 bits and rounds down, which darkens nearly transparent pixels by a dozen levels.
Called by cover, animation and save. In and out: 8 bits, sRGB or grey, alpha last.
"""

import pyvips

from imgserve.imaging.worker import scale
from imgserve.request.imageinfo import Size

_OPAQUE = 255


def resized(image: pyvips.Image, whole: Size) -> pyvips.Image:
    """Of exactly this size. ``image`` is in memory, for it is read twice."""
    if image[-1].min() == _OPAQUE:  # most have an alpha that they do not need; without it a third of the work is left
        return scale.resized(image.extract_band(0, n=image.bands - 1), whole).bandjoin(_OPAQUE)
    return scale.resized(image.premultiply(), whole).unpremultiply().rint().cast("uchar")


def flattened(image: pyvips.Image, ground: list[int]) -> pyvips.Image:
    """Before a colour, without alpha. ``image`` is in memory."""
    colours, alpha = image.extract_band(0, n=image.bands - 1), image.extract_band(image.bands - 1)
    if alpha.min() == _OPAQUE:
        return colours
    share = alpha / _OPAQUE
    return (colours * share + (1 - share) * ground).rint().cast("uchar").copy(interpretation=image.interpretation)
