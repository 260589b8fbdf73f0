"""A picture made to cover a size: scaled, turned upright and cropped. Called by load, animation and steps/resize.

In and out: RGB or grey, with alpha or without; with alpha uint8 or uint16.
"""

from typing import NamedTuple

import pyvips

from imgserve.imaging.worker import scale
from imgserve.request.imageinfo import Size

FIRST_TURNED = 5  # EXIF: 5 to 8 swap width and height
CHOSEN_BY_CONTENT = {"attention", "entropy"}
POSITION = {"low": 0.0, "centre": 0.5, "high": 1.0}  # of the crop within the overhang


class Corner(NamedTuple):
    """The upper left corner of a crop, in pixels."""

    left: int
    top: int


def covering(image: pyvips.Image, size: Size, crop: str, orientation: int = 1) -> pyvips.Image:
    """Upright and exactly ``size``; ``crop`` as for ``load.covering``."""
    is_turned = orientation >= FIRST_TURNED
    width, height = (image.height, image.width) if is_turned else (image.width, image.height)
    whole = scale.covering(width, height, size)
    # In memory, so that all rows are read and a truncated file fails, even if the crop leaves its end out.
    scaled = scale.resized(image, Size(whole.height_px, whole.width_px) if is_turned else whole).copy_memory()
    upright = scaled.autorot() if orientation > 1 else scaled
    if whole == size:
        return upright  # a crop would be a second copy
    if crop in CHOSEN_BY_CONTENT:
        return upright.smartcrop(size.width_px, size.height_px, interesting=crop)
    return upright.crop(*corner(whole, size, crop), size.width_px, size.height_px)


def interesting(image: pyvips.Image, size: Size, by: str) -> Corner:
    """Of the crop of this size, or as much as there is, that ``attention`` or ``entropy`` chooses. In memory."""
    width, height = min(size.width_px, image.width), min(size.height_px, image.height)
    cropped = image.smartcrop(width, height, interesting=by)
    return Corner(-cropped.xoffset, -cropped.yoffset)


def corner(whole: Size, size: Size, crop: str) -> Corner:
    """For any crop that does not depend on the content."""
    left, top = whole.width_px - size.width_px, whole.height_px - size.height_px
    return Corner(int(left * POSITION[crop]), int(top * POSITION[crop]))
