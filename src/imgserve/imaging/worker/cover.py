"""The part of a picture that covers a size, and the place of a cut. Called by load, pipeline, steps, formats/jpeg."""

from typing import NamedTuple

import pyvips

from imgserve.imaging.worker import scale
from imgserve.request.geometry import Focal, Place, Shape
from imgserve.request.imageinfo import Size
from imgserve.request.operations.resize import covering as size_covering

FIRST_TURNED = 5  # EXIF: 5 to 8 swap width and height
CHOSEN_BY_CONTENT = {"attention", "entropy"}


class Part(NamedTuple):
    """A box of an upright picture, in its pixels; sides may be fractions."""

    left: float
    top: float
    width: float
    height: float


class Corner(NamedTuple):
    """The upper left corner of a crop, in pixels."""

    left: int
    top: int


def part(before: Size, size: Size, place: Place) -> Part | None:
    """The part that is scaled to ``size``; None if the content decides."""
    if place in CHOSEN_BY_CONTENT:
        return None
    factor = min(before.width_px / size.width_px, before.height_px / size.height_px)
    width, height = size.width_px * factor, size.height_px * factor
    across, down = max(before.width_px - width, 0.0), max(before.height_px - height, 0.0)
    if isinstance(place, Focal):
        left, top = place.x * before.width_px - width / 2, place.y * before.height_px - height / 2
        return Part(min(max(left, 0.0), across), min(max(top, 0.0), down), width, height)
    left = 0.0 if "west" in place else across if "east" in place else across / 2
    top = 0.0 if "north" in place else down if "south" in place else down / 2
    return Part(left, top, width, height)


def covering(image: pyvips.Image, size: Size) -> pyvips.Image:
    """The middle of the picture, exactly ``size``. In and out: RGB or grey; with alpha uint8 or uint16."""
    whole = size_covering(Shape(image.width, image.height), size)
    left, top = (whole.width_px - size.width_px) // 2, (whole.height_px - size.height_px) // 2
    return scale.resized(image, whole).crop(left, top, size.width_px, size.height_px)


def interesting(image: pyvips.Image, size: Size, by: str) -> Corner:
    """Of the crop of this size, or as much as there is, that ``attention`` or ``entropy`` chooses. In memory."""
    width, height = min(size.width_px, image.width), min(size.height_px, image.height)
    cropped = image.smartcrop(width, height, interesting=by)
    return Corner(-cropped.xoffset, -cropped.yoffset)
