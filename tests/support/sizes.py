"""How large a test is: small enough for every change, or the full size of ``make chaos``.

``CHAOS=full`` in the environment chooses. What a test measures it reports as figures, which ``make chaos`` keeps.
"""

import os
import statistics
from collections.abc import Callable, Sequence
from typing import TypeVar

N = TypeVar("N")

# A wait that is longer has failed. No measure of speed: at a load of 30 all takes fifteen times as long.
PATIENCE_S = 120.0
# A wait for something that must end it earlier: it has failed where PATIENCE_S is over first.
FOREVER_S = 3600.0
IS_FULL = os.environ.get("CHAOS") == "full"
Figures = Callable[[str, object], None]


def sized(reduced: N, full: N) -> N:
    return full if IS_FULL else reduced


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the line that fits best, in units of y for one of x."""
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope
