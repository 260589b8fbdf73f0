"""Resizes pictures with transparency: each pixel's colour counts by its alpha, and the results are rounded.

libvips' own thumbnail multiplies in 8 bits and rounds down, which darkens nearly transparent pixels by a dozen levels.
Called by load and animation. In and out: 8 bits, sRGB or grey, alpha last.
"""

import pyvips

from imgserve.spec.facts import Size

_OPAQUE = 255
_FIRST_TURNED = 5  # EXIF: 5 to 8 swap width and height
_CHOSEN_BY_CONTENT = {"attention", "entropy"}
_SHARE = {"low": 0.0, "centre": 0.5, "high": 1.0}


def covering(image: pyvips.Image, size: Size, crop: str, orientation: int) -> pyvips.Image:
    """Upright and exactly ``size``, as ``load.covering``."""
    is_turned = orientation >= _FIRST_TURNED
    width, height = (image.height, image.width) if is_turned else (image.width, image.height)
    scale = max(size.width_px / width, size.height_px / height)
    whole = Size(max(size.width_px, round(width * scale)), max(size.height_px, round(height * scale)))
    scaled = resized(image.copy_memory(), Size(whole.height_px, whole.width_px) if is_turned else whole)
    upright = scaled.copy_memory().autorot() if orientation > 1 else scaled
    if crop in _CHOSEN_BY_CONTENT:
        return upright.copy_memory().smartcrop(size.width_px, size.height_px, interesting=crop)
    left, top = (
        int(spare * _SHARE[crop]) for spare in (whole.width_px - size.width_px, whole.height_px - size.height_px)
    )
    return upright.crop(left, top, size.width_px, size.height_px)


def resized(image: pyvips.Image, whole: Size) -> pyvips.Image:
    """Of exactly this size. ``image`` is in memory, for it is read twice."""
    across, down = whole.width_px / image.width, whole.height_px / image.height
    if image[-1].min() == _OPAQUE:  # most have an alpha that they do not need; without it a third of the work is left
        return image.extract_band(0, n=image.bands - 1).resize(across, vscale=down).bandjoin(_OPAQUE)
    return image.premultiply().resize(across, vscale=down).unpremultiply().rint().cast("uchar")


def flattened(image: pyvips.Image, ground: list[int]) -> pyvips.Image:
    """Before a colour, without alpha. ``image`` is in memory."""
    colours, alpha = image.extract_band(0, n=image.bands - 1), image.extract_band(image.bands - 1)
    if alpha.min() == _OPAQUE:
        return colours
    share = alpha / _OPAQUE
    return (colours * share + (1 - share) * ground).rint().cast("uchar").copy(interpretation=image.interpretation)
