"""rasterize: draw an SVG into the size exactly. A step that opens the picture. Called by ``pipeline.py``."""

from imgserve.imaging.worker.canvas import Canvas
from imgserve.imaging.worker.picture import Picture
from imgserve.imaging.worker.svg import draw, sizing
from imgserve.request.imageinfo import Size
from imgserve.request.operations.rasterize import Rasterize


def opened(picture: Picture, operation: Rasterize, size: Size, dpi: float) -> Canvas:
    """RGBA, exactly ``size``: ``fill`` stretches, with ``contain`` the SVG places itself. Raises SvgInvalid."""
    if picture.format != "svg":
        raise sizing.not_svg()
    image = draw.draw(bytes(picture.data), size, is_stretched=is_stretched(operation), dpi=dpi)
    return Canvas(image, frames=1)


def is_stretched(operation: Rasterize) -> bool:
    """By a scale too the drawing fills its size, whose sides are rounded."""
    return operation.fit == "fill" or operation.scale is not None
