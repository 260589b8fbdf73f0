"""The corner that a quarter of an ellipse leaves, exact to the share of each pixel. Called by ``round.py``.

The corner is the area above ``y(x) = ry (1 - sqrt(1 - (1 - x / rx)^2))``, from x = 0 to rx. Its share of a pixel comes
from the integral of y, which is known: that of sqrt(1 - u^2) is (u sqrt(1 - u^2) + asin u) / 2.
"""

from math import asin, ceil, floor, sqrt

import pyvips

_ALL = 255


def outside(rx: float, ry: float) -> pyvips.Image:
    """The top left corner: one band, uint8, 255 outside of the ellipse; as wide and high as the radii, rounded up."""
    width, height = ceil(rx), ceil(ry)
    pixels = bytearray(width * height)
    for x in range(width):
        end = min(x + 1.0, rx)
        first, last = floor(_y(end, rx, ry)), min(ceil(_y(x, rx, ry)), height)
        pixels[x : x + width * first : width] = bytes([_ALL]) * first
        below = _area_below(first, x, end, rx, ry)
        for y in range(first, last):
            above, below = below, _area_below(y + 1, x, end, rx, ry)
            pixels[x + width * y] = round(_ALL * min(max(above - below, 0.0), 1.0))
        if end < x + 1:  # the column goes on beyond the ellipse's middle
            pixels[x : x + width * first : width] = bytes([round(_ALL * (end - x))]) * first
    return pyvips.Image.new_from_memory(bytes(pixels), width, height, 1, "uchar")


def _y(x: float, rx: float, ry: float) -> float:
    return ry * (1 - sqrt(max(0.0, 1 - (1 - x / rx) ** 2)))


def _area_below(y: float, start: float, end: float, rx: float, ry: float) -> float:
    """The part of the corner between ``start`` and ``end`` that lies lower than ``y``."""
    reach = rx * (1 - sqrt(max(0.0, 1 - (1 - y / ry) ** 2))) if y < ry else 0.0
    until = min(max(reach, start), end)
    return _integral(until, rx, ry) - _integral(start, rx, ry) - y * (until - start)


def _integral(x: float, rx: float, ry: float) -> float:
    """Of y, from 0 to x."""
    u = max(0.0, 1 - x / rx)
    return ry * x - rx * ry * (asin(1) - u * sqrt(1 - u * u) - asin(u)) / 2
