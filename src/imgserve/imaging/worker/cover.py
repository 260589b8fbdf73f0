"""The part of a picture that covers a size, and the place of a cut. Called by load, pipeline, steps and formats."""

import math
from typing import NamedTuple

import pyvips

from imgserve.imaging.worker import scale
from imgserve.imaging.worker.formats.turns import UPRIGHT
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


def as_stored(part: Part, size: Size, stored: Size, orientation: int) -> tuple[Part, Size] | None:
    """Both before the picture is turned upright. ``stored``: its size then; ``orientation``: EXIF's number.

    None for a part that is not in the middle: it would lie elsewhere.
    """
    if orientation == UPRIGHT:
        return part, size
    is_turned = orientation >= FIRST_TURNED
    upright = (stored.height_px, stored.width_px) if is_turned else (stored.width_px, stored.height_px)
    if not _is_in_the_middle(part, *upright):
        return None
    if not is_turned:
        return part, size
    return Part(part.top, part.left, part.height, part.width), Size(size.height_px, size.width_px)


def _is_in_the_middle(part: Part, width: int, height: int) -> bool:
    """Then it is the same part whichever way the picture is turned."""
    return math.isclose(2 * part.left + part.width, width) and math.isclose(2 * part.top + part.height, height)


def factor(part: Part, size: Size) -> float:
    """How many times smaller the part becomes, on the side where it is fewer."""
    return min(part.width / size.width_px, part.height / size.height_px)


def upright(image: pyvips.Image, orientation: int) -> pyvips.Image:
    """Turned and mirrored by EXIF's number."""
    if orientation == UPRIGHT:
        return image
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image.autorot()


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
