"""The new space that an operation adds to a picture, in a colour. Called by the steps of resize, extend and rotate."""

from typing import NamedTuple

import pyvips

from imgserve.imaging.worker.colour.convert import parse_hex
from imgserve.request.imageinfo import Size

_MOST = {"uchar": 255, "ushort": 65_535}
_OPAQUE = 255
_COLOURS = 3


class Spacious(NamedTuple):
    """A picture with the bands that a colour needs, and the colour in its bands and samples."""

    image: pyvips.Image
    color: list[float]


def with_room_for(image: pyvips.Image, color: str) -> Spacious:
    """``color``: ``#rrggbb`` or ``#rrggbbaa``. Grey stays grey before a grey colour or none; see-through adds alpha."""
    *colours, alpha = (*parse_hex(color), _OPAQUE)[:4]
    most = _MOST[image.format]
    values = [value * most / _OPAQUE for value in colours]
    has_alpha = image.hasalpha()
    is_grey = image.bands - has_alpha < _COLOURS
    if is_grey and alpha and len(set(values)) > 1:
        image, is_grey = _in_colour(image), False
    if alpha < _OPAQUE and not has_alpha:
        image, has_alpha = image.bandjoin(most), True
    values = values[:1] if is_grey else values
    return Spacious(image, [*values, alpha * most / _OPAQUE] if has_alpha else values)


def padded(image: pyvips.Image, left: int, top: int, size: Size, color: list[float]) -> pyvips.Image:
    """The image at this place of a canvas of the colour."""
    return image.embed(left, top, size.width_px, size.height_px, extend="background", background=color)


def _in_colour(image: pyvips.Image) -> pyvips.Image:
    grey, *alpha = image.bandsplit()
    interpretation = "srgb" if image.format == "uchar" else "rgb16"
    return grey.bandjoin([grey, grey, *alpha]).copy(interpretation=interpretation)
