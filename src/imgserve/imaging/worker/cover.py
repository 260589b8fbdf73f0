"""A picture made to cover a size: scaled, turned upright and cropped. Called by load, animation and steps/resize.

In and out: RGB or grey, with alpha or without; what has an alpha in 8 bits.
"""

import pyvips

from imgserve.imaging.worker import scale, transparent
from imgserve.request.imageinfo import Size

_FIRST_TURNED = 5  # EXIF: 5 to 8 swap width and height
CHOSEN_BY_CONTENT = {"attention", "entropy"}
SHARE = {"low": 0.0, "centre": 0.5, "high": 1.0}  # of what hangs over, cut off on the low side


def covering(image: pyvips.Image, size: Size, crop: str, orientation: int = 1) -> pyvips.Image:
    """Upright and exactly ``size``, as ``load.covering``."""
    is_turned = orientation >= _FIRST_TURNED
    width, height = (image.height, image.width) if is_turned else (image.width, image.height)
    whole = scale.covering(width, height, size)
    # In memory, so that all rows are read and a file that is cut off fails, even in what the crop leaves out.
    whole_image = scaled(image, Size(whole.height_px, whole.width_px) if is_turned else whole).copy_memory()
    upright = whole_image.autorot() if orientation > 1 else whole_image
    if whole == size:
        return upright  # and not cropped in vain: that would be a second copy
    if crop in CHOSEN_BY_CONTENT:
        return upright.smartcrop(size.width_px, size.height_px, interesting=crop)
    left, top = (
        int(spare * SHARE[crop]) for spare in (whole.width_px - size.width_px, whole.height_px - size.height_px)
    )
    return upright.crop(left, top, size.width_px, size.height_px)


def scaled(image: pyvips.Image, whole: Size) -> pyvips.Image:
    """Of exactly this size, not cropped."""
    return transparent.resized(image.copy_memory(), whole) if image.hasalpha() else scale.resized(image, whole)
