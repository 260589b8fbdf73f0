"""The two roundings of the original: of Go's ``math.Round`` and ``math.RoundToEven``, on the same 64-bit floats."""

import math

_HALF = 0.5


def rounded(value: float) -> int:
    """Half away from zero. The fraction of a float is exact, while ``value + 0.5`` is not."""
    whole = math.trunc(value)
    if abs(value - whole) >= _HALF:
        whole += 1 if value > 0 else -1
    return whole


def rounded_to_even(value: float) -> int:
    return round(value)
