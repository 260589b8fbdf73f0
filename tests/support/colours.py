"""The published formulas of colour operations, in numpy. Nothing here comes from imgserve.

Arrays of float, ``... x 3`` for colours. sRGB: IEC 61966-2-1, values from 0 to 255. CIE Lab and LCh: CIE 15, for D65.
"""

from collections.abc import Sequence
from math import perm
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_D65 = np.array([95.047, 100.0, 108.8827])
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_TABLE_ENDS_AT = 20  # libvips' masks are whole numbers, the highest of them 20


def linear_of(srgb: NDArray[Any]) -> Floats:
    v = np.asarray(srgb, float) / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def srgb_of(linear: Floats) -> Floats:
    v = np.clip(linear, 0, 1)
    return 255 * np.where(v <= 0.0031308, v * 12.92, 1.055 * v ** (1 / 2.4) - 0.055)


def lab_of(srgb: NDArray[Any]) -> Floats:
    ratio = linear_of(srgb) @ _TO_XYZ.T * 100 / _D65
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def srgb_of_lab(lab: Floats) -> Floats:
    lightness, a, b = np.moveaxis(lab, -1, 0)
    y = (lightness + 16) / 116
    f = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    ratio = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    return srgb_of(ratio * _D65 / 100 @ np.linalg.inv(_TO_XYZ).T)


def luminance(srgb: NDArray[Any]) -> Floats:
    """Height x width x 1: the sRGB grey with the light of the colour (ITU-R BT.709 weights)."""
    return srgb_of(linear_of(srgb) @ _LUMINANCE)[..., None]


def modulated(srgb: Floats, brightness: float, saturation: float, hue: float, lightness: float) -> Floats:
    """In LCh, by sharp's documentation of ``modulate``."""
    first, a, b = np.moveaxis(lab_of(srgb), -1, 0)
    angle, chroma = np.arctan2(b, a) + np.radians(hue), np.hypot(a, b) * saturation
    return srgb_of_lab(
        np.stack([first * brightness + lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=-1)
    )


def tinted(grey: Floats, color: tuple[int, int, int]) -> Floats:
    """The grey's lightness L, and the colour's chroma times 1 - (2 L / 100 - 1)^2, as sharp documents its ``tint``."""
    lightness = lab_of(np.repeat(grey, 3, axis=-1))[..., :1]
    weight = 1 - (2 * lightness / 100 - 1) ** 2
    return srgb_of_lab(np.concatenate([lightness, weight * lab_of(np.array(color))[1:]], axis=-1))


def stretched(srgb: Floats, low: float, high: float) -> Floats:
    """L from ``low`` to ``high`` becomes 0 to 100."""
    lab = lab_of(srgb)
    return srgb_of_lab(np.concatenate([(lab[..., :1] - low) * 100 / (high - low), lab[..., 1:]], axis=-1))


def mask(sigma: float, ends_at: float) -> Floats:
    """libvips' gaussmat: whole numbers, cut where the Gaussian is below ``ends_at`` of its height; their sum is 1."""
    reach = next(x for x in range(10_000) if np.exp(-(x**2) / (2 * sigma**2)) < ends_at) - 1
    whole = np.rint(_TABLE_ENDS_AT * np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2)))
    return np.asarray(whole / whole.sum())


def gaussian(values: Floats, sigma: float, ends_at: float = 0.2) -> Floats:
    """Height x width x bands; the last pixels go on beyond the edges."""
    return _in_both_directions(values, mask(sigma, ends_at))


def gaussian_to(values: Floats, sigma: float, radius: int) -> Floats:
    """As ``gaussian``, of the formula itself up to ``radius``."""
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    return _in_both_directions(values, weights / weights.sum())


def _in_both_directions(values: Floats, weights: Floats) -> Floats:
    reach = len(weights) // 2
    for axis in (0, 1):
        around = [(reach, reach) if n == axis else (0, 0) for n in range(3)]
        wide = np.pad(values, around, mode="edge")
        length = values.shape[axis]
        values = sum(w * np.take(wide, range(n, n + length), axis) for n, w in enumerate(weights))
    return values


def sharpened(srgb: Floats, sigma: float, flat: float, jagged: float) -> Floats:
    """libvips' sharpen: L moves by a broken line of its difference to its blur, x1 = 2, y2 = 10, y3 = 20."""
    lab = lab_of(srgb)
    lightness = lab[..., :1]
    away = lightness - gaussian(lightness, sigma, 0.1)
    edge = np.sign(away) * (np.abs(away) - 2) * jagged + np.sign(away) * 2 * flat
    moved = np.clip(np.where(np.abs(away) < 2, away * flat, edge), -20, 10)
    return srgb_of_lab(np.concatenate([np.clip(lightness + moved, 0, 100), lab[..., 1:]], axis=-1))


def convolved(values: Floats, weights: Sequence[Sequence[float]]) -> Floats:
    """The mask is not turned; the last pixels go on beyond the edges."""
    mask_of = np.array(weights, float)
    down, across = (side // 2 for side in mask_of.shape)
    wide = np.pad(values, ((down, down), (across, across), (0, 0)), mode="edge")
    height, width = values.shape[:2]
    terms = [w * wide[y : y + height, x : x + width] for (y, x), w in np.ndenumerate(mask_of)]
    return np.asarray(np.sum(terms, axis=0))


def spline(points: Sequence[Sequence[float]], values: NDArray[Any]) -> Floats:
    """A natural cubic spline: each piece a polynomial of x, all of their coefficients in one system of equations."""
    xs, ys = np.array(points, float).T
    count = len(points) - 1
    rows, right = [], []

    def row(piece: int, derivative: int, x: float, other: int | None = None) -> Floats:
        result = np.zeros(4 * count)
        for number, sign in ((piece, 1), (other, -1)):
            if number is not None:
                terms = np.array([perm(power, derivative) for power in range(derivative, 4)], float)
                result[4 * number + derivative : 4 * number + 4] = sign * terms * x ** np.arange(4 - derivative)
        return result

    for piece in range(count):
        for end in (piece, piece + 1):
            rows.append(row(piece, 0, xs[end] / 255))
            right.append(ys[end])
    for piece in range(count - 1):
        for derivative in (1, 2):
            rows.append(row(piece, derivative, xs[piece + 1] / 255, piece + 1))
            right.append(0)
    for piece, x in ((0, xs[0]), (count - 1, xs[-1])):
        rows.append(row(piece, 2, x / 255))
        right.append(0)
    pieces = np.linalg.solve(np.array(rows), np.array(right)).reshape(count, 4)
    places = np.clip(np.searchsorted(xs, values, "right") - 1, 0, count - 1)
    powers = (np.clip(values, xs[0], xs[-1]) / 255)[..., None] ** np.arange(4)
    return np.asarray(np.clip((pieces[places] * powers).sum(axis=-1), 0, 255), float)


def cells(values: Floats, side: int) -> Floats:
    """Each pixel the mean of its cell."""
    result = np.empty_like(values)
    for top in range(0, values.shape[0], side):
        for left in range(0, values.shape[1], side):
            part = (slice(top, top + side), slice(left, left + side))
            result[part] = values[part].mean(axis=(0, 1))
    return result
