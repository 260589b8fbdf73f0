"""rasterize: draw an SVG into the size exactly. The step that opens the picture. Called by ``pipeline.py``."""

import pyvips

from imgserve.imaging.worker import load
from imgserve.imaging.worker.svg import draw, sizing
from imgserve.request.imageinfo import Facts, Size
from imgserve.request.operations import Rasterize


def open_picture(picture: load.Picture, _facts: Facts, operation: Rasterize, size: Size) -> pyvips.Image:
    """RGBA, exactly ``size``. ``fill`` stretches; ``contain`` leaves the placing to the SVG. Raises SvgInvalid."""
    if picture.format != "svg":
        raise sizing.not_svg()
    return draw.draw(bytes(picture.data), size, is_stretched=operation.fit == "fill", dpi=operation.dpi)
