"""rasterize: draw an SVG into the size exactly. The step that opens the picture. Called by ``pipeline.py``."""

import pyvips

from imgserve.imaging.worker import load, svg, svgsize
from imgserve.spec.facts import Facts, Size
from imgserve.spec.operations import Rasterize


def open_picture(picture: load.Picture, _facts: Facts, operation: Rasterize, size: Size) -> pyvips.Image:
    """RGBA, exactly ``size``. ``fill`` stretches; ``contain`` leaves the placing to the SVG. Raises SvgInvalid."""
    if picture.format != "svg":
        raise svgsize.not_svg()
    return svg.draw(bytes(picture.data), size, is_stretched=operation.fit == "fill", dpi=operation.dpi)
