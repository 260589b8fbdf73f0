"""curve: natural cubic splines, as tables. Called by ``pipeline.py``.

A natural spline has no curvature at both ends. With the second derivatives m of its points and the distances h between
them, each inner point gives a row of a tridiagonal system: h[i-1] m[i-1] + 2 (h[i-1] + h[i]) m[i] + h[i] m[i+1] =
6 (slope[i] - slope[i-1]).
"""

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from math import ceil, floor

import pyvips

from imgserve.imaging.worker import tones
from imgserve.imaging.worker.canvas import Canvas
from imgserve.request.imageinfo import Size
from imgserve.request.operations.curve import Curve, Points

_LEVELS = 255


def applied(canvas: Canvas, operation: Curve, _size: Size) -> Canvas:
    def curve(_values: tones.Values, most: int) -> tones.Values:
        channels = [operation.red, operation.green, operation.blue]
        channels = channels[:1] if len(set(channels)) == 1 else channels
        tables: Iterable[Sequence[int]] = [_table(points, most) for points in channels]
        if operation.all is not None:
            whole = _table(operation.all, most)
            tables = [[whole[level] for level in table] for table in tables]
        values = array("d", chain.from_iterable(zip(*tables, strict=True)))
        return pyvips.Image.new_from_memory(values.tobytes(), most + 1, 1, len(channels), "double")

    return tones.changed(canvas, curve)


def _table(points: Points | None, most: int) -> Sequence[int]:
    """The value of each level, rounded half up and clipped."""
    if points is None:
        return range(most + 1)
    scale = most / _LEVELS
    xs, ys = ([point[axis] * scale for point in points] for axis in (0, 1))
    table = [floor(ys[0] + 0.5)] * ceil(xs[0])
    for (x, next_x), (y, next_y), (bend, next_bend) in zip(
        pairwise(xs), pairwise(ys), pairwise(_bends(xs, ys)), strict=True
    ):
        width = next_x - x
        for level in range(len(table), ceil(next_x)):
            right = (level - x) / width
            left = 1 - right
            bent = (left**3 - left) * bend + (right**3 - right) * next_bend
            value = left * y + right * next_y + bent * width * width / 6
            table.append(min(max(floor(value + 0.5), 0), most))
    return table + [floor(ys[-1] + 0.5)] * (most + 1 - len(table))


def _bends(xs: Sequence[float], ys: Sequence[float]) -> list[float]:
    """The second derivative at each point, by elimination from the first to the last and back."""
    widths = [right - left for left, right in pairwise(xs)]
    slopes = [(right - left) / width for (left, right), width in zip(pairwise(ys), widths, strict=True)]
    shares, sums = [0.0], [0.0]
    for (before, after), (slope, next_slope) in zip(pairwise(widths), pairwise(slopes), strict=True):
        pivot = 2 * (before + after) - before * shares[-1]
        sums.append((6 * (next_slope - slope) - before * sums[-1]) / pivot)
        shares.append(after / pivot)
    bends = [0.0]
    for share, total in zip(reversed(shares), reversed(sums), strict=True):
        bends.append(total - share * bends[-1])
    return bends[::-1]
