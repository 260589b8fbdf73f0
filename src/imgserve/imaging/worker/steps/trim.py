"""trim: cut each frame to the box that holds the content of all. Called by ``pipeline.py``."""

from typing import NamedTuple

import pyvips

from imgserve.imaging.worker.canvas import Canvas
from imgserve.imaging.worker.colour import inks
from imgserve.imaging.worker.colour.convert import Rgba
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import Size
from imgserve.request.operations.trim import Trim

_SMALLEST_PX = 3
_LEVELS = 255
_MEDIAN_PX = 3
_CONTENT = b"\xff"


class _Span(NamedTuple):
    """The first row or column with content, and the first one behind it."""

    begin: int
    end: int


def applied(canvas: Canvas, operation: Trim, _size: Size) -> Canvas:
    canvas = canvas._replace(image=canvas.image.copy_memory())  # it is read twice
    left, top, size = box(canvas, operation)
    if size == canvas.size:
        return canvas
    return canvas.of_each_frame(lambda frame: frame.crop(left, top, size.width_px, size.height_px))


def box(canvas: Canvas, operation: Trim) -> Part:
    """The part that stays, of a canvas in memory."""
    width, height = canvas.size.width_px, canvas.size.height_px
    whole = Part(0, 0, canvas.size)
    if min(width, height) < _SMALLEST_PX:
        return whole
    columns, rows = _content(canvas, operation).project()
    across = _span(_marks(columns))
    marks = _marks(rows)
    spans = [_span(marks[first : first + height]) for first in range(0, len(marks), height)]
    down = [span for span in spans if span is not None]
    if across is None or not down:
        return whole
    left, right = _evened(across, width) if operation.even_x else across
    top, bottom = _Span(min(span.begin for span in down), max(span.end for span in down))
    top, bottom = _evened(_Span(top, bottom), height) if operation.even_y else (top, bottom)
    return Part(left, top, Size(right - left, bottom - top))


def _content(canvas: Canvas, operation: Trim) -> pyvips.Image:
    """255 for each pixel that differs from the background, 0 elsewhere; one band.

    A pixel is laid on the background first: what is half transparent differs half as much.
    """
    image, most = canvas.image, canvas.most
    if operation.matte is not None and image.hasalpha():
        image = _on(image, inks.rgba(operation.matte))
    if operation.background == "corner":
        x, y = (0, 0) if operation.corner == "top_left" else (canvas.size.width_px - 1, canvas.size.height_px - 1)
        background = list(image.getpoint(x, y))
    else:
        ink = inks.rgba(operation.background)
        image = inks.coloured(image) if len(set(ink[:3])) > 1 else image
        background = inks.samples(ink, inks.with_room_for(image.crop(0, 0, 1, 1), ink))
    if operation.median:  # of each frame alone
        image = canvas._replace(image=image).of_each_frame(lambda frame: frame.median(_MEDIAN_PX)).image.copy_memory()
    threshold = operation.threshold * most / _LEVELS
    if operation.distance == "euclidean":
        return _squares(image, background) > threshold * threshold
    colours = image.bands - image.hasalpha()
    is_transparent = len(background) > colours and background[colours] == 0
    alpha = image[colours] if image.hasalpha() else None
    if is_transparent:
        return alpha > threshold if alpha is not None else (image[0] * 0 + most) > threshold
    if image.format == "ushort":  # a product of two has more digits than a float
        image = image.cast("double")
    difference = (image.extract_band(0, n=colours) - background[:colours]).abs()
    if alpha is not None:
        difference, threshold = difference * alpha, threshold * most
    return (difference > threshold).bandor()


def _on(image: pyvips.Image, ink: Rgba) -> pyvips.Image:
    """As imgproxy, whose results have the same size: in whole numbers."""
    image = inks.with_room_for(image, ink)
    return image.flatten(
        background=inks.samples(ink, image)[: image.bands - 1], max_alpha=inks.most(image)
    ).copy_memory()


def _squares(image: pyvips.Image, background: list[float]) -> pyvips.Image:
    """The square of each pixel's distance, exact."""
    if len(background) > image.bands:
        image = image.bandjoin(inks.most(image))
    difference = image.cast("double") - background
    return sum((difference * difference).bandsplit())


def _marks(counts: pyvips.Image) -> bytes:
    """A byte for each row or column: 255 with content, 0 without."""
    return bytes((counts > 0).write_to_memory())


def _span(marks: bytes) -> _Span | None:
    begin = marks.find(_CONTENT)
    return _Span(begin, marks.rfind(_CONTENT) + 1) if begin >= 0 else None


def _evened(span: _Span, side: int) -> _Span:
    margin = min(span.begin, side - span.end)
    return _Span(margin, side - margin)
