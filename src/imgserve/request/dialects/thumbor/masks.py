"""thumbor's filters of blur, masks, curves and grain, with the operations that were made after its formulas."""

import re
from functools import lru_cache
from itertools import pairwise
from math import exp
from typing import Annotated, ClassVar, Literal

from imgserve.request.dialects.thumbor.arguments import (
    BOOLEAN,
    DECIMAL,
    NONZERO,
    POSITIVE,
    Kind,
    decimal,
    decimal_text,
    whole,
)
from imgserve.request.dialects.thumbor.stage import Filter, Stage
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.convolve import MAX_SIDE, Convolve
from imgserve.request.operations.curve import Curve
from imgserve.request.operations.equalize import Equalize
from imgserve.request.operations.noise import Noise
from imgserve.request.operations.saturate import Saturate

Matrix = tuple[float, ...]
Points = tuple[tuple[int, int], ...]

_MOST_RADIUS = 150
_LEAST_SIGMA, _MOST_SIGMA = 0.3, 250.0
_MOST_FACTOR = 100.0
_MOST_NOISE = 510
_MOST_WEIGHT = 1000.0
_MOST_AMOUNT = 100.0
# Four levels need a mask of 31 x 31. thumbor's fifth one matters only for a radius above 2.
_LEVELS = 4
_LEAST_GAIN = 0.05
_DIGITS = 7
_WHITE = 255
_POINT = re.compile(r"\((\d++),(\d++)\)", re.ASCII)


def _matrix(text: str) -> Matrix | None:
    numbers = text.split(";", MAX_SIDE**2)
    return tuple(map(decimal, numbers)) if len(numbers) <= MAX_SIDE**2 else None


def _points(text: str) -> Points | None:
    """None: they do not go from left to right. thumbor divides by their distances."""
    points = tuple((min(whole(x), _WHITE), min(whole(y), _WHITE)) for x, y in _POINT.findall(text))
    return points if all(left[0] < right[0] for left, right in pairwise(points)) else None


def _points_text(points: Points) -> str:
    return f"[{','.join(f'({x},{y})' for x, y in points)}]"


MATRIX = Kind(
    re.compile(r"-?\d++(?:\.\d*+)?+(?:;-?\d++(?:\.\d*+)?+)*+", re.ASCII),
    _matrix,
    lambda numbers: ";".join(map(decimal_text, numbers)),
)
POINTS = Kind(re.compile(r"\[(?:\(\d++,\d++\),?)*+\]", re.ASCII), _points, _points_text)


class Soft(Filter, frozen=True):
    """``sigma`` 0: as much as the radius. The kernel has ``2 * radius + 1`` taps."""

    word: ClassVar[str] = "blur"

    radius: Annotated[int, NONZERO]
    sigma: Annotated[float, DECIMAL] = 0.0

    def applied(self, stage: Stage) -> Stage:
        sigma = min(max(abs(self.sigma or float(self.radius)), _LEAST_SIGMA), _MOST_SIGMA)
        return stage.then(Blur(sigma, min(self.radius, _MOST_RADIUS)))


class Sharp(Filter, frozen=True):
    """By wavelets."""

    word: ClassVar[str] = "sharpen"

    amount: Annotated[float, DECIMAL]
    radius: Annotated[float, DECIMAL]
    luminance_only: Annotated[bool, BOOLEAN]

    def applied(self, stage: Stage) -> Stage:
        mask = _wavelet(min(max(self.amount, -_MOST_AMOUNT), _MOST_AMOUNT), self.radius)
        channels: Literal["all", "luma"] = "luma" if self.luminance_only else "all"
        return stage.then(Convolve(mask, normalize=False, channels=channels)) if len(mask) > 1 else stage


class Saturation(Filter, frozen=True):
    word: ClassVar[str] = "saturation"

    factor: Annotated[float, DECIMAL]

    def applied(self, stage: Stage) -> Stage:
        factor = min(max(self.factor, -_MOST_FACTOR), _MOST_FACTOR)
        return stage.then(Saturate(factor)) if factor != 1 else stage


class Equalized(Filter, frozen=True):
    word: ClassVar[str] = "equalize"

    def applied(self, stage: Stage) -> Stage:
        return stage.then(Equalize())


class Grain(Filter, frozen=True):
    """``seed`` 0: thumbor takes another one each time; here it is a seed like all others."""

    word: ClassVar[str] = "noise"

    amount: Annotated[int, POSITIVE]
    seed: Annotated[int, POSITIVE] = 0

    def applied(self, stage: Stage) -> Stage:
        amount = min(self.amount, _MOST_NOISE)
        return stage.then(Noise(amount, self.seed)) if amount else stage


class Convolution(Filter, frozen=True):
    """A matrix that is not rectangular, or has no middle, is ignored; so is one that is too large."""

    word: ClassVar[str] = "convolution"

    matrix: Annotated[Matrix, MATRIX]
    columns: Annotated[int, NONZERO]
    is_normalized: Annotated[bool, BOOLEAN] = True

    def applied(self, stage: Stage) -> Stage:
        count, columns = len(self.matrix), self.columns
        if count % 2 == 0 or count % columns or columns > MAX_SIDE or count > MAX_SIDE * columns:
            return stage
        largest = max(map(abs, self.matrix))
        scale = _MOST_WEIGHT / largest if self.is_normalized and largest > _MOST_WEIGHT else 1.0
        weights = [min(max(number * scale, -_MOST_WEIGHT), _MOST_WEIGHT) for number in self.matrix]
        mask = tuple(tuple(weights[first : first + columns]) for first in range(0, count, columns))
        return stage.then(Convolve(mask, self.is_normalized))


class Curves(Filter, frozen=True):
    """Natural cubic splines: those of the channels first, then that of all. One without points changes nothing."""

    word: ClassVar[str] = "curve"

    all: Annotated[Points, POINTS]
    red: Annotated[Points, POINTS]
    green: Annotated[Points, POINTS]
    blue: Annotated[Points, POINTS]

    def applied(self, stage: Stage) -> Stage:
        curve = Curve(*(_curve(points) for points in (self.all, self.red, self.green, self.blue)))
        return stage.then(curve) if curve != Curve() else stage


@lru_cache(maxsize=64)
def _wavelet(amount: float, radius: float) -> tuple[tuple[float, ...], ...]:
    """The mask of thumbor's sharpening (``lib/wavelet_sharpen.c``), which is linear.

    The picture is parted into details of five levels, each twice as wide as the one before, and a rest. Each detail is
    amplified, most at the level of the radius. The widest levels, which hardly are, stay in the rest.
    """
    factors = [1 + amount * exp(-((level - radius) ** 2) / 1.5) for level in range(_LEVELS)]
    while factors and abs(factors[-1] - 1) < _LEAST_GAIN:
        factors.pop()
    # What is left of the picture below each level: it itself, then smoothed by one hat after the other.
    side = 2 ** (len(factors) + 1) - 1
    smooth = [0.0] * side
    smooth[side // 2] = 1.0
    mask = [[0.0] * side for _ in range(side)]
    for level, (gain, before) in enumerate(zip([*factors, 1.0], [0.0, *factors], strict=True)):
        for row, down in zip(mask, smooth, strict=True):
            for column, across in enumerate(smooth):
                row[column] += (gain - before) * down * across
        smooth = _hatted(smooth, 2**level)
    return tuple(tuple(round(weight, _DIGITS) for weight in row) for row in mask)


def _hatted(line: list[float], distance: int) -> list[float]:
    """A quarter of the value at this distance on both sides, half of the value itself."""
    padded = [0.0] * distance + line + [0.0] * distance
    return [value / 2 + (padded[index] + padded[index + 2 * distance]) / 4 for index, value in enumerate(line)]


def _curve(points: Points) -> tuple[tuple[float, ...], ...] | None:
    """A single point makes the curve flat."""
    if len(points) == 1:
        level = float(points[0][1])
        return ((0.0, level), (float(_WHITE), level))
    return tuple((float(x), float(y)) for x, y in points) or None
