"""thumbor's filters that change colours. The formulas are those of its C extensions (``ext/filters``)."""

from typing import Annotated, ClassVar

from imgserve.request.dialects.thumbor.arguments import HEX, NUMBER, POSITIVE
from imgserve.request.dialects.thumbor.stage import Filter, Stage
from imgserve.request.operations.grayscale import Grayscale
from imgserve.request.operations.linear import Linear

_WHITE = 255
_MIDDLE = 128
# So steep a contrast leaves three levels. More of it changes nothing.
_MOST_CONTRAST = 12_800
_MOST_PER_CENT = 10_000
# Linear rounds to the nearest; C cuts the fraction off. The rest of a per cent's hundredth keeps whole values whole.
_CUT = -0.499


class Brightness(Filter, frozen=True):
    word: ClassVar[str] = "brightness"

    amount: Annotated[int, NUMBER]

    def applied(self, stage: Stage) -> Stage:
        summand = _levels(self.amount)
        return stage.then(Linear(add=float(summand))) if summand else stage


class Rgb(Filter, frozen=True):
    word: ClassVar[str] = "rgb"

    red: Annotated[int, NUMBER]
    green: Annotated[int, NUMBER]
    blue: Annotated[int, NUMBER]

    def applied(self, stage: Stage) -> Stage:
        summands = tuple(float(_levels(amount)) for amount in (self.red, self.green, self.blue))
        return stage.then(Linear(add=summands)) if any(summands) else stage


class Contrast(Filter, frozen=True):
    word: ClassVar[str] = "contrast"

    amount: Annotated[int, NUMBER]

    def applied(self, stage: Stage) -> Stage:
        factor = min((self.amount + 100) ** 2 // 100, _MOST_CONTRAST) / 100
        return stage.then(Linear(multiply=factor, add=_MIDDLE - _MIDDLE * factor)) if factor != 1 else stage


class Colorize(Filter, frozen=True):
    word: ClassVar[str] = "colorize"

    red: Annotated[int, POSITIVE]
    green: Annotated[int, POSITIVE]
    blue: Annotated[int, POSITIVE]
    color: Annotated[str, HEX]

    def applied(self, stage: Stage) -> Stage:
        shares = [min(share, _MOST_PER_CENT) / 100 for share in (self.red, self.green, self.blue)]
        if not any(shares):
            return stage
        color = bytes.fromhex(self.color)
        multiply = tuple(1 - share for share in shares)
        add = tuple(level * share + _CUT for level, share in zip(color, shares, strict=True))
        return stage.then(Linear(multiply=multiply, add=add))


class Gray(Filter, frozen=True):
    word: ClassVar[str] = "grayscale"

    def applied(self, stage: Stage) -> Stage:
        return stage.then(Grayscale(method="luma"))


def _levels(per_cent: int) -> int:
    """Of 255, cut towards zero as C divides. More than all of them make no difference."""
    levels = min(abs(per_cent) * _WHITE // 100, _WHITE)
    return levels if per_cent > 0 else -levels
