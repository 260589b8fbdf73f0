"""trim: cut each frame to the box that holds the content of all. Called by ``pipeline.py``."""

from typing import NamedTuple

import pyvips

from imgserve.imaging.worker.canvas import Canvas
from imgserve.imaging.worker.colour import inks
from imgserve.request.imageinfo import Size
from imgserve.request.operations.trim import Trim

_SMALLEST_PX = 3
_LEVELS = 255
_CONTENT = b"\xff"


class _Span(NamedTuple):
    """The first row or column with content, and the first one behind it."""

    begin: int
    end: int


def applied(canvas: Canvas, operation: Trim, _size: Size) -> Canvas:
    width, height = canvas.size.width_px, canvas.size.height_px
    if min(width, height) < _SMALLEST_PX:
        return canvas
    canvas = canvas._replace(image=canvas.image.copy_memory())  # it is read twice
    columns, rows = _content(canvas, operation).project()
    across = _span(_marks(columns))
    marks = _marks(rows)
    spans = [_span(marks[first : first + height]) for first in range(0, len(marks), height)]
    down = [span for span in spans if span is not None]
    if across is None or not down:
        return canvas
    left, right = _evened(across, width) if operation.even_x else across
    top, bottom = _Span(min(span.begin for span in down), max(span.end for span in down))
    top, bottom = _evened(_Span(top, bottom), height) if operation.even_y else (top, bottom)
    return canvas.of_each_frame(lambda frame: frame.crop(left, top, right - left, bottom - top))


def _content(canvas: Canvas, operation: Trim) -> pyvips.Image:
    """255 for each pixel that differs from the background, 0 elsewhere; one band.

    A pixel is laid on the background first: what is half transparent differs half as much.
    """
    image, most = canvas.image, canvas.most
    if operation.background == "corner":
        x, y = (0, 0) if operation.corner == "top_left" else (canvas.size.width_px - 1, canvas.size.height_px - 1)
        background = list(image.getpoint(x, y))
    else:
        ink = inks.rgba(operation.background)
        image = inks.coloured(image) if len(set(ink[:3])) > 1 else image
        background = inks.samples(ink, inks.with_room_for(image.crop(0, 0, 1, 1), ink))
    threshold = operation.threshold * most / _LEVELS
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


def _marks(counts: pyvips.Image) -> bytes:
    """A byte for each row or column: 255 with content, 0 without."""
    return bytes((counts > 0).write_to_memory())


def _span(marks: bytes) -> _Span | None:
    begin = marks.find(_CONTENT)
    return _Span(begin, marks.rfind(_CONTENT) + 1) if begin >= 0 else None


def _evened(span: _Span, side: int) -> _Span:
    margin = min(span.begin, side - span.end)
    return _Span(margin, side - margin)
