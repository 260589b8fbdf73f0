"""tint: the hue of one colour by the luminance of each pixel, as sharp does it. Called by ``pipeline.py``."""

import pyvips

from imgserve.imaging.worker.canvas import Canvas
from imgserve.imaging.worker.colour.convert import parse_hex
from imgserve.imaging.worker.steps.grayscale import luminance
from imgserve.request.imageinfo import Size
from imgserve.request.operations.tint import Tint

_LIGHTEST = 100


def applied(canvas: Canvas, operation: Tint, _size: Size) -> Canvas:
    is_deep = canvas.most > 255
    table = _table(operation.color, canvas.most + 1, "rgb16" if is_deep else "srgb")
    return canvas.of_colours(lambda colours: luminance(colours).maplut(table))


def _table(color: str, levels: int, space: str) -> pyvips.Image:
    """A colour for each grey: its lightness, and a chroma that is the colour's own in the middle and 0 at both ends."""
    colour = (pyvips.Image.black(1, 1) + parse_hex(color)).copy(interpretation="srgb").colourspace("lab")
    _, *chroma = colour(0, 0)
    greys = pyvips.Image.identity(bands=3, ushort=levels > 256, size=levels).copy(interpretation=space)
    lightness = greys.colourspace("lab")[0]
    distance = lightness / _LIGHTEST - 0.5  # from the middle
    weight = 1 - 4 * distance * distance
    return lightness.bandjoin(weight * chroma).copy(interpretation="lab").colourspace(space)
