"""ICC profiles of three primaries, or of grey, and a curve. Called by numbers.

ICC.1:2010 (version 4): header 7.2, three-component matrix profiles 8.3.3, monochrome 8.3.4, curves 10.5 and 10.15;
adaptation to D50 by Bradford: annex E.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from imgserve.imaging.worker.colour import curves
from imgserve.imaging.worker.colour.curves import Curve, Power

Point = tuple[float, float]


class Primaries(NamedTuple):
    """Red, green, blue and white as CIE 1931 x, y."""

    red: Point
    green: Point
    blue: Point
    white: Point


Row = Sequence[float]
Matrix = Sequence[Row]

_D50: Row = (0.9642, 1.0, 0.8249)
_BRADFORD: Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_LARGEST = 10.0
_HEADER_BYTES, _ENTRY_BYTES = 128, 12


def rgb(primaries: Primaries, curve: Curve, name: str = "numbers") -> bytes:
    """``is_possible`` is true of the primaries."""
    columns = _transposed(_colorants(primaries))
    tag = _curve_tag(curve)
    tags = [(b"rXYZ", _xyz(columns[0])), (b"gXYZ", _xyz(columns[1])), (b"bXYZ", _xyz(columns[2]))]
    return _profile(b"RGB ", [*tags, (b"rTRC", tag), (b"gTRC", tag), (b"bTRC", tag)], name)


def grey(curve: Curve) -> bytes:
    return _profile(b"GRAY", [(b"kTRC", _curve_tag(curve))])


def is_possible(primaries: Primaries) -> bool:
    """Whether the white lies within the primaries and is not black, and the numbers fit into a profile."""
    try:
        lights, rows = _lights(primaries), _colorants(primaries)
    except ZeroDivisionError:
        return False
    return min(lights) > 0 and all(abs(value) < _LARGEST for row in rows for value in row)


def _colorants(primaries: Primaries) -> Matrix:
    """Linear RGB to XYZ under D50."""
    points = zip(primaries[:3], _lights(primaries), strict=True)
    columns = [[value * light for value in _xyz_of(point)] for point, light in points]
    source, target = _apply(_BRADFORD, _xyz_of_white(primaries.white)), _apply(_BRADFORD, _D50)
    scaled = [[value * to / by for value in row] for row, to, by in zip(_BRADFORD, target, source, strict=True)]
    return _product(_product(_inverse(_BRADFORD), scaled), _transposed(columns))


def _lights(primaries: Primaries) -> Row:
    """The amount of each primary in white. Raises ZeroDivisionError."""
    return _apply(_inverse(_transposed([_xyz_of(point) for point in primaries[:3]])), _xyz_of_white(primaries.white))


def _xyz_of(point: Point) -> Row:
    """With X + Y + Z = 1: primaries such as X and Z themselves have y = 0."""
    x, y = point
    return x, y, 1 - x - y


def _xyz_of_white(point: Point) -> Row:
    """With Y = 1. Raises ZeroDivisionError."""
    return [value / point[1] for value in _xyz_of(point)]


def _transposed(rows: Matrix) -> Matrix:
    return tuple(zip(*rows, strict=True))


def _apply(matrix: Matrix, vector: Row) -> Row:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def _product(one: Matrix, other: Matrix) -> Matrix:
    return _transposed([_apply(one, column) for column in _transposed(other)])


def _inverse(matrix: Matrix) -> Matrix:
    """By cofactors. Raises ZeroDivisionError."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    cofactors = ((e * i - f * h, c * h - b * i, b * f - c * e),
                 (f * g - d * i, a * i - c * g, c * d - a * f),
                 (d * h - e * g, b * g - a * h, a * e - b * d))  # fmt: skip
    determinant = a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0]
    return [[value / determinant for value in row] for row in cofactors]


def _curve_tag(curve: Curve) -> bytes:
    if curve is curves.srgb:
        numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + _fixed(numbers)
    if isinstance(curve, Power):
        return b"para\0\0\0\0" + struct.pack(">HH", 0, 0) + _fixed((curve.gamma,))
    table = curves.sampled(curve)
    return b"curv\0\0\0\0" + struct.pack(">I", len(table) // 2) + table


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _fixed(values: Sequence[float]) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _profile(space: bytes, tags: list[tuple[bytes, bytes]], description: str = "numbers") -> bytes:
    letters = description.encode("utf-16-be")
    text = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(letters), 28) + letters
    tags = [(b"desc", text), (b"cprt", text), (b"wtpt", _xyz(_D50)), *tags]
    table, data, at = b"", b"", _HEADER_BYTES + 4 + _ENTRY_BYTES * len(tags)
    for name, body in tags:
        table += name + struct.pack(">II", at + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", at + len(data), b"none", 4 << 24, b"mntr", space, b"XYZ ", bytes(12), b"acsp"
    )
    return header + bytes(28) + _fixed(_D50) + bytes(48) + struct.pack(">I", len(tags)) + table + data
