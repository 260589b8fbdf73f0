"""BlurHash: a blurred picture as 28 letters (github.com/woltapp/blurhash, Algorithm.md, 2019).

The first terms of a cosine transform of linear light, in base 83: the mean colour, then the others as parts of the
largest.
"""

import math
from collections.abc import Sequence

ACROSS, DOWN = 4, 3
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
_STEPS = 166  # of the largest term
_LEVELS = 19  # of each colour of a term


def blurhash(width: int, height: int, rgb: Sequence[int]) -> str:
    """``rgb``: rows of pixels, 8 bits, sRGB."""
    linear = [_LINEAR[value] for value in rgb]
    terms = [_term(linear, width, height, x, y) for y in range(DOWN) for x in range(ACROSS)]
    mean, *others = terms
    # The largest, not that of the largest amount: all encoders do so, and lower values are cut.
    largest = max(value for term in others for value in term)
    steps = max(0, min(82, math.floor(largest * _STEPS - 0.5)))
    scale = (steps + 1) / _STEPS
    texts = [_base_83(ACROSS - 1 + (DOWN - 1) * 9, 1), _base_83(steps, 1), _base_83(_colour(mean), 4)]
    texts += [_base_83(_levels(term, scale), 2) for term in others]
    return "".join(texts)


def _term(linear: Sequence[float], width: int, height: int, across: int, down: int) -> list[float]:
    """One frequency, of each colour."""
    wave_x = [math.cos(math.pi * across * x / width) for x in range(width)]
    sums = [0.0, 0.0, 0.0]
    for y in range(height):
        row, factor = linear[y * width * 3 : (y + 1) * width * 3], math.cos(math.pi * down * y / height)
        for band in range(3):
            sums[band] += factor * sum(map(_product, row[band::3], wave_x))
    weight = (1 if across == down == 0 else 2) / (width * height)
    return [total * weight for total in sums]


def _product(one: float, other: float) -> float:
    return one * other


def _colour(linear: Sequence[float]) -> int:
    red, green, blue = map(_to_srgb, linear)
    return red << 16 | green << 8 | blue


def _levels(term: Sequence[float], scale: float) -> int:
    number = 0
    for value in term:
        root = math.copysign(math.sqrt(abs(value / scale)), value)
        number = number * _LEVELS + max(0, min(_LEVELS - 1, math.floor(root * 9 + 9.5)))
    return number


def _base_83(number: int, length: int) -> str:
    return "".join(_LETTERS[number // 83**place % 83] for place in reversed(range(length)))


def _to_linear(value: int) -> float:
    """IEC 61966-2-1."""
    part = value / 255
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def _to_srgb(value: float) -> int:
    part = max(0.0, min(1.0, value))
    encoded = part * 12.92 if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055
    return math.floor(encoded * 255 + 0.5)


_LINEAR = [_to_linear(value) for value in range(256)]
