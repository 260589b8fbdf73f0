"""The part of a picture that covers a size, and the place of a cut. Called by load, pipeline, steps and formats."""

from typing import NamedTuple

import pyvips

from imgserve.imaging.worker import scale
from imgserve.imaging.worker.formats.turns import UPRIGHT
from imgserve.request import geometry
from imgserve.request.geometry import Place, Shape
from imgserve.request.imageinfo import Size
from imgserve.request.operations.resize import covering as size_covering

FIRST_TURNED = 5  # EXIF: 5 to 8 swap width and height
# Those that show the stored picture from the right to the left and from the bottom to the top, once it is turned.
_MIRRORED_ACROSS, _MIRRORED_DOWN = {2, 3, 6, 7}, {3, 4, 7, 8}
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


def part(before: Size, whole: Size, size: Size, place: Place) -> Part | None:
    """The part that becomes ``size``, just as if all were scaled to ``whole`` and cut; None if the content decides."""
    if place in CHOSEN_BY_CONTENT:
        return None
    across, down = before.width_px / whole.width_px, before.height_px / whole.height_px
    corner = geometry.corner(place, size, whole)
    left, top = corner[0] * across, corner[1] * down
    return Part(
        left,
        top,
        min(size.width_px * across, before.width_px - left),
        min(size.height_px * down, before.height_px - top),
    )


def as_stored(part: Part, size: Size, stored: Size, orientation: int) -> tuple[Part, Size]:
    """Both before the picture is turned upright. ``stored``: its size then; ``orientation``: EXIF's number."""
    is_turned = orientation >= FIRST_TURNED
    width, height = (stored.height_px, stored.width_px) if is_turned else (stored.width_px, stored.height_px)
    if orientation in _MIRRORED_ACROSS:
        part = part._replace(left=max(width - part.left - part.width, 0.0))
    if orientation in _MIRRORED_DOWN:
        part = part._replace(top=max(height - part.top - part.height, 0.0))
    if not is_turned:
        return part, size
    return Part(part.top, part.left, part.height, part.width), Size(size.height_px, size.width_px)


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
