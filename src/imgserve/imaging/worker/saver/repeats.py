"""How many pixels are equal to their left neighbour. Called by save.

Rows are compared as one number with the same number moved by a pixel, since Python has no other arithmetic on bytes
that is as fast, and for a small picture libvips' operations cost ten times as much.
"""

from typing import Literal

_ORDER: Literal["little"] = "little"
_BYTE = 8  # bits


def share(pixels: bytes, width: int, pixel_bytes: int) -> float:
    """The ratio of equal pixels to those that have such a neighbour: ``width`` is at least 2."""
    pairs = len(pixels) // pixel_bytes - 1
    number, pixel_bits = int.from_bytes(pixels, _ORDER), pixel_bytes * _BYTE
    differing = (number >> pixel_bits) ^ (number & ((1 << pairs * pixel_bits) - 1))
    of_pixel = differing  # whose first byte is zero if all bytes of both are equal
    for byte in range(1, pixel_bytes):
        of_pixel |= differing >> byte * _BYTE
    compared = of_pixel.to_bytes(pairs * pixel_bytes, _ORDER)[::pixel_bytes]
    seams = compared[width - 1 :: width]  # the last pixel of a row and the first one of the next
    return (compared.count(0) - seams.count(0)) / (pairs - len(seams))
