"""How many pixels are equal to their left neighbour. Called by save.

Rows are compared as one number with the same number moved by a pixel, since Python has no other arithmetic on bytes
that is as fast, and for a small picture libvips' operations cost ten times as much.
"""

from typing import Literal

_ORDER: Literal["little"] = "little"


def share(pixels: bytes, width: int, pixel_bytes: int) -> float:
    """The ratio of equal pixels to those that have such a neighbour: ``width`` is at least 2."""
    pairs = len(pixels) // pixel_bytes - 1
    differing = _number(pixels[pixel_bytes:]) ^ _number(pixels[:-pixel_bytes])
    parts = differing.to_bytes(pairs * pixel_bytes, _ORDER)
    of_pixel = 0  # a byte for each pair, zero if all bytes of both are equal
    for byte in range(pixel_bytes):
        of_pixel |= _number(parts[byte::pixel_bytes])
    compared = of_pixel.to_bytes(pairs, _ORDER)
    seams = compared[width - 1 :: width]  # the last pixel of a row and the first one of the next
    return (compared.count(0) - seams.count(0)) / (pairs - len(seams))


def _number(data: bytes) -> int:
    return int.from_bytes(data, _ORDER)
