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
    # By a scale the drawing fills its size, whose sides are rounded.
    is_stretched = operation.fit == "fill" or operation.scale is not None
    return Canvas(draw.draw(bytes(picture.data), size, is_stretched=is_stretched, dpi=dpi), frames=1)
