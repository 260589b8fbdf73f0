"""linear: multiply and add, exact to the level. Called by ``pipeline.py``."""

from imgserve.imaging.worker import tones
from imgserve.imaging.worker.canvas import Canvas
from imgserve.request.imageinfo import Size
from imgserve.request.operations.linear import Linear


def applied(canvas: Canvas, operation: Linear, _size: Size) -> Canvas:
    def curve(values: tones.Values, most: int) -> tones.Values:
        summands = [number * most / 255 for number in _numbers(operation.add)]
        return values.linear(_numbers(operation.multiply), summands)

    return tones.changed(canvas, curve)


def _numbers(numbers: float | tuple[float, ...]) -> list[float]:
    """One, or one for each channel."""
    if isinstance(numbers, tuple):
        return [numbers[0]] if len(set(numbers)) == 1 else list(numbers)
    return [numbers]
