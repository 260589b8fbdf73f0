"""round: a shape with round corners, beyond which each frame is transparent, or painted. Called by ``pipeline.py``.

The coverage of each pixel at an edge is exact: librsvg draws an arc as a few straight lines, which look uneven.
"""

import pyvips

from imgserve.imaging.worker.canvas import Canvas, as_samples
from imgserve.imaging.worker.colour import inks
from imgserve.imaging.worker.colour.convert import Rgba
from imgserve.imaging.worker.steps import ellipse
from imgserve.request.geometry import corner
from imgserve.request.imageinfo import Size
from imgserve.request.operations.round import CORNERS, Corner, Round

_ALL = 255


def applied(canvas: Canvas, operation: Round, _size: Size) -> Canvas:
    mask = _mask(operation, canvas.size)
    if operation.background is not None:
        return _painted(canvas, mask, inks.rgba(operation.background))

    def cut(frame: pyvips.Image) -> pyvips.Image:
        if frame.hasalpha():
            colours, alpha = frame.extract_band(0, n=frame.bands - 1), frame[frame.bands - 1] * mask / _ALL
        else:
            colours, alpha = frame, mask * (canvas.most / _ALL)
        return colours.bandjoin(alpha.rint().cast(frame.format))

    return canvas.of_each_frame(cut)


def _painted(canvas: Canvas, mask: pyvips.Image, ink: Rgba) -> Canvas:
    """With the ink outside of the mask. The alpha is left alone."""

    def painted(frame: pyvips.Image) -> pyvips.Image:
        frame = frame.copy_memory()  # it is read twice
        bands = frame.bands - frame.hasalpha()
        color = inks.samples(ink, frame)[:bands]
        colours = frame.extract_band(0, n=bands)
        changed = as_samples((colours - color) * (mask / _ALL) + color, frame)
        return changed.bandjoin(frame[bands]) if frame.hasalpha() else changed

    return canvas._replace(image=inks.with_room_for(canvas.image, ink)).of_each_frame(painted)


def _mask(operation: Round, size: Size) -> pyvips.Image:
    """One band, uint8, in memory: 255 within the shape."""
    if not operation.circle:
        rx, ry = operation.radii(size)
        return _rounded(size, rx, ry, operation.rounded)
    side = min(size.width_px, size.height_px)
    circle = _rounded(Size(side, side), side / 2, side / 2, frozenset(CORNERS))
    left, top = corner("center", Size(side, side), size)
    return circle.embed(left, top, size.width_px, size.height_px).copy_memory()


def _rounded(size: Size, rx: float, ry: float, corners: frozenset[Corner]) -> pyvips.Image:
    outside = pyvips.Image.black(size.width_px, size.height_px)
    if not rx or not ry:
        return outside.invert().copy_memory()
    top_left = ellipse.outside(rx, ry)
    for name in corners:
        piece = top_left.fliphor() if "right" in name else top_left
        piece = piece.flipver() if "bottom" in name else piece
        left = size.width_px - piece.width if "right" in name else 0
        top = size.height_px - piece.height if "bottom" in name else 0
        outside = outside.draw_image(piece, left, top, mode="add")  # two may meet within one pixel
    return outside.invert().copy_memory()
