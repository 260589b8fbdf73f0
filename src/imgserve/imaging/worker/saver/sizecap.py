"""Finds the highest quality whose file is small enough (``max_bytes``). Called by ``save``.

An encoder's bytes grow with its quality, about exponentially. Each step guesses by the sizes of earlier encodes, but
stays where the remaining steps can still decide between all qualities: so no more are needed than by bisection.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from imgserve.imaging.faults import MaxBytesUnreachable
from imgserve.request.encode import MOST_ENCODES

_LOWEST = 1
# Of the logarithm of the bytes with each quality. Until a file fits, nothing better is known.
_GROWTH = 0.025
_BELOW = 0.999  # the lowest quality is taken for one that fits


class Fitted(NamedTuple):
    """The file, and the number of encodes that it took."""

    file: bytes
    encodes: int


def fitted(encode_at: Callable[[int], bytes], highest: int, most_bytes: int) -> Fitted:
    """The file of the highest quality, of at most ``highest``, that has at most ``most_bytes``.

    Raises MaxBytesUnreachable.
    """
    file = encode_at(highest)
    if len(file) <= most_bytes:
        return Fitted(file, 1)
    best: bytes | None = None
    fitting, excessive = (_LOWEST - 1, 0), (highest, len(file))  # quality and bytes of the nearest encodes
    encodes = 1
    while fitting[0] + 1 < excessive[0]:
        quality = _next(fitting, excessive, most_bytes, MOST_ENCODES - encodes)
        file = encode_at(quality)
        encodes += 1
        if len(file) <= most_bytes:
            best, fitting = file, (quality, len(file))
        else:
            excessive = quality, len(file)
    if best is None:
        raise MaxBytesUnreachable(
            f"the result has {excessive[1]:,} bytes at quality {excessive[0]}, more than max_bytes ({most_bytes:,})",
            "ask for more bytes or a smaller picture",
        ).at(("encode", "max_bytes"))
    return Fitted(best, encodes)


def _next(fitting: tuple[int, int], excessive: tuple[int, int], most_bytes: int, encodes_left: int) -> int:
    """Between both qualities, so that ``encodes_left`` encodes are enough whatever this one shows."""
    (low, fitting_bytes), (high, high_bytes) = fitting, excessive
    expected = high_bytes * math.exp(-_GROWTH * (high - low))
    low_bytes = fitting_bytes or min(expected, most_bytes * _BELOW)
    share = math.log(most_bytes / low_bytes) / math.log(high_bytes / low_bytes)
    guess = low + int(share * (high - low)) + 1
    # Behind this encode each side may have as many possible outcomes as the encodes after it can tell apart.
    outcomes = 1 << (encodes_left - 1)
    return max(low + 1, high - outcomes, min(guess, high - 1, low + outcomes))
