"""imagor's filters that change colours and sharpness; most are calls of libvips (``vipsprocessor/filter.go``)."""

from typing import Annotated, ClassVar

from imgserve.request.dialects.thumbor.arguments import DECIMAL, POSITIVE
from imgserve.request.dialects.thumbor.stage import Filter, Stage
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.grayscale import Grayscale
from imgserve.request.operations.linear import Linear
from imgserve.request.operations.modulate import Modulate
from imgserve.request.operations.negate import Negate
from imgserve.request.operations.pixelate import Pixelate
from imgserve.request.operations.sharpen import Sharpen

_WHITE, _MIDDLE = 255.0, 128.0
_LEAST_SIGMA, _MOST_BLUR, _MOST_SHARPEN = 0.3, 250.0, 10.0
_MOST_FACTOR = 100.0
_CURVE = 259.0  # of the contrast formula


class Brightness(Filter, frozen=True):
    word: ClassVar[str] = "brightness"

    amount: Annotated[float, DECIMAL]

    def applied(self, stage: Stage) -> Stage:
        return stage.then(Linear(add=_levels(self.amount))) if self.amount else stage


class Contrast(Filter, frozen=True):
    word: ClassVar[str] = "contrast"

    amount: Annotated[float, DECIMAL]

    def applied(self, stage: Stage) -> Stage:
        if not self.amount:
            return stage
        level = _levels(self.amount)
        factor = (_CURVE * (level + _WHITE)) / (_WHITE * (_CURVE - level))
        return stage.then(Linear(multiply=factor, add=_MIDDLE - _MIDDLE * factor))


class Rgb(Filter, frozen=True):
    word: ClassVar[str] = "rgb"

    red: Annotated[float, DECIMAL]
    green: Annotated[float, DECIMAL]
    blue: Annotated[float, DECIMAL]

    def applied(self, stage: Stage) -> Stage:
        summands = (_levels(self.red), _levels(self.green), _levels(self.blue))
        return stage.then(Linear(add=summands)) if any(summands) else stage


class Hue(Filter, frozen=True):
    word: ClassVar[str] = "hue"

    degrees: Annotated[float, DECIMAL]

    def applied(self, stage: Stage) -> Stage:
        return _modulated(stage, 0.0, 0.0, self.degrees)


class Saturation(Filter, frozen=True):
    word: ClassVar[str] = "saturation"

    amount: Annotated[float, DECIMAL]

    def applied(self, stage: Stage) -> Stage:
        return _modulated(stage, 0.0, self.amount, 0.0)


class Modulated(Filter, frozen=True):
    word: ClassVar[str] = "modulate"

    brightness: Annotated[float, DECIMAL]
    saturation: Annotated[float, DECIMAL]
    hue: Annotated[float, DECIMAL]

    def applied(self, stage: Stage) -> Stage:
        return _modulated(stage, self.brightness, self.saturation, self.hue)


class Gray(Filter, frozen=True):
    word: ClassVar[str] = "grayscale"

    def applied(self, stage: Stage) -> Stage:
        return stage.then(Grayscale())


class Inverted(Filter, frozen=True):
    word: ClassVar[str] = "invert"

    def applied(self, stage: Stage) -> Stage:
        return stage.then(Negate())


class Soft(Filter, frozen=True):
    """Of two arguments the second one counts. Animations stay as they are."""

    word: ClassVar[str] = "blur"

    first: Annotated[float, DECIMAL]
    second: Annotated[float, DECIMAL] = -1.0

    def applied(self, stage: Stage) -> Stage:
        sigma = (self.first if self.second < 0 else self.second) / 2
        if sigma < _LEAST_SIGMA or stage.is_animated:
            return stage
        return stage.then(Blur(min(sigma, _MOST_BLUR)))


class Sharp(Filter, frozen=True):
    """Of several arguments the second one counts. Animations stay as they are."""

    word: ClassVar[str] = "sharpen"

    first: Annotated[float, DECIMAL]
    second: Annotated[float, DECIMAL] = -1.0

    def applied(self, stage: Stage) -> Stage:
        sigma = 1 + 2 * (self.first if self.second < 0 else self.second)
        if sigma < _LEAST_SIGMA or stage.is_animated:
            return stage
        return stage.then(Sharpen(min(sigma, _MOST_SHARPEN), flat=0.0, jagged=2.0))


class Pixelated(Filter, frozen=True):
    word: ClassVar[str] = "pixelate"

    size: Annotated[int, POSITIVE] = 10

    def applied(self, stage: Stage) -> Stage:
        return stage.then(Pixelate(min(self.size, 512))) if self.size > 1 else stage


def _levels(per_cent: float) -> float:
    return min(max(per_cent * _WHITE / 100, -_WHITE), _WHITE)


def _modulated(stage: Stage, brightness: float, saturation: float, hue: float) -> Stage:
    """Per cent, per cent and degrees."""
    factors = [min(max(1 + amount / 100, 0.0), _MOST_FACTOR) for amount in (brightness, saturation)]
    modulate = Modulate(factors[0], factors[1], hue % 360)
    return stage.then(modulate) if modulate != Modulate() else stage
