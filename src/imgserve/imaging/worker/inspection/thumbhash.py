"""ThumbHash: a picture in some 25 bytes, with its proportions and its transparency (evanw.github.io/thumbhash, 2023).

The colours become a lightness and two differences, which are written as the first terms of a cosine transform: the
constant term, the largest of the others, and each of these as four bits of that.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

MOST_SIDE = 100  # a larger picture has no better hash


class _Terms(NamedTuple):
    """The constant term, the others as fractions of the largest, and the largest."""

    constant: float
    others: list[float]
    largest: float


def thumbhash(width: int, height: int, rgba: Sequence[int]) -> bytes:
    """``rgba``: rows of pixels, 8 bits, straight alpha; sides of at most 100 pixels."""
    pixels = [tuple(rgba[at : at + 4]) for at in range(0, len(rgba), 4)]
    opacity = [alpha / 255 for *_, alpha in pixels]
    in_all = sum(opacity)
    behind = [sum(pixel[band] * part for pixel, part in zip(pixels, opacity, strict=True)) / 255 for band in range(3)]
    behind = [value / in_all for value in behind] if in_all else behind
    is_transparent = in_all < len(pixels)
    red, green, blue = (
        [under * (1 - part) + pixel[band] / 255 * part for pixel, part in zip(pixels, opacity, strict=True)]
        for band, under in enumerate(behind)
    )
    colours = list(zip(red, green, blue, strict=True))
    most = 5 if is_transparent else 7
    across, down = (max(1, _rounded(most * side / max(width, height))) for side in (width, height))
    light = _terms([(r + g + b) / 3 for r, g, b in colours], width, height, max(3, across), max(3, down))
    yellow = _terms([(r + g) / 2 - b for r, g, b in colours], width, height, 3, 3)
    reddish = _terms([r - g for r, g, _ in colours], width, height, 3, 3)
    is_wide = width > height
    head = _rounded(63 * light.constant) | _rounded(31.5 + 31.5 * yellow.constant) << 6
    head |= _rounded(31.5 + 31.5 * reddish.constant) << 12 | _rounded(31 * light.largest) << 18 | is_transparent << 23
    rest = (down if is_wide else across) | _rounded(63 * yellow.largest) << 3
    rest |= _rounded(63 * reddish.largest) << 9 | is_wide << 15
    written = head.to_bytes(3, "little") + rest.to_bytes(2, "little")
    channels = [light, yellow, reddish]
    if is_transparent:
        alpha = _terms(opacity, width, height, 5, 5)
        written += bytes([_rounded(15 * alpha.constant) | _rounded(15 * alpha.largest) << 4])
        channels.append(alpha)
    halves = [_rounded(15 * part) for channel in channels for part in channel.others]
    halves += [0] * (len(halves) % 2)
    return written + bytes(low | high << 4 for low, high in zip(halves[::2], halves[1::2], strict=True))


def _terms(values: Sequence[float], width: int, height: int, across: int, down: int) -> _Terms:
    """Of the terms the triangle of low frequencies, row by row."""
    waves_x = [[math.cos(math.pi / width * number * (x + 0.5)) for x in range(width)] for number in range(across)]
    rows = [values[at : at + width] for at in range(0, len(values), width)]
    by_row = [[sum(map(_product, row, wave)) for wave in waves_x] for row in rows]
    terms = []
    for number in range(down):
        wave = [math.cos(math.pi / height * number * (y + 0.5)) for y in range(height)]
        terms += [
            sum(row[other] * factor for row, factor in zip(by_row, wave, strict=True)) / (width * height)
            for other in range(across)
            if other * down < across * (down - number)
        ]
    constant, *others = terms
    largest = max(map(abs, others))
    return _Terms(constant, [0.5 + 0.5 / largest * term for term in others] if largest else others, largest)


def _product(one: float, other: float) -> float:
    return one * other


def _rounded(value: float) -> int:
    """Half up."""
    return math.floor(value + 0.5)
