"""ICC profiles of three primaries, or of grey, and a curve. Called by colournumbers.

ICC.1:2010 (version 4): header 7.2, three-component matrix profiles 8.3.3, monochrome 8.3.4, curves 10.5 and 10.15;
adaptation to D50 by Bradford: annex E.
"""

import struct
from collections.abc import Sequence

from imgserve.imaging.worker.colour import curves
from imgserve.imaging.worker.colour.curves import Curve, Power

Point = tuple[float, float]
Row = tuple[float, float, float]
Matrix = tuple[Row, Row, Row]

_D50: Row = (0.9642, 1.0, 0.8249)
_BRADFORD: Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_LARGEST = 10.0
_HEADER_BYTES, _ENTRY_BYTES = 128, 12


def rgb(red: Point, green: Point, blue: Point, white: Point, curve: Curve) -> bytes:
    """Chromaticities as x, y: ``is_possible`` ones."""
    columns = _transposed(_colorants(red, green, blue, white))
    tags = [(name, _xyz(column)) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)]
    tag = _curve_tag(curve)
    return _profile(b"RGB ", [*tags, *((name, tag) for name in (b"rTRC", b"gTRC", b"bTRC"))])


def grey(curve: Curve) -> bytes:
    return _profile(b"GRAY", [(b"kTRC", _curve_tag(curve))])


def is_possible(red: Point, green: Point, blue: Point, white: Point) -> bool:
    """Whether these can make up colours: a white within them and not of y = 0, numbers that a profile holds."""
    try:
        lights, rows = _lights(red, green, blue, white), _colorants(red, green, blue, white)
    except ZeroDivisionError:
        return False
    return min(lights) > 0 and all(abs(value) < _LARGEST for row in rows for value in row)


def _colorants(red: Point, green: Point, blue: Point, white: Point) -> Matrix:
    """Linear RGB to XYZ under D50."""
    lights = _lights(red, green, blue, white)
    columns = [
        tuple(part * light for part in _as_xyz(point)) for point, light in zip((red, green, blue), lights, strict=True)
    ]
    white_xyz = _of_white(white)
    source, target = _apply(_BRADFORD, white_xyz), _apply(_BRADFORD, _D50)
    scaled = tuple(tuple(row[n] * target[at] / source[at] for n in range(3)) for at, row in enumerate(_BRADFORD))
    adaptation = _product(_inverse(_BRADFORD), scaled)
    return _product(adaptation, _transposed(columns))


def _lights(red: Point, green: Point, blue: Point, white: Point) -> Row:
    """How much of each primary makes up white. Raises ZeroDivisionError."""
    return _apply(_inverse(_transposed([_as_xyz(red), _as_xyz(green), _as_xyz(blue)])), _of_white(white))


def _as_xyz(point: Point) -> Row:
    """As bright as it may be: X and Z themselves have y = 0."""
    x, y = point
    return x, y, 1 - x - y


def _of_white(point: Point) -> Row:
    """As bright as white, Y = 1. Raises ZeroDivisionError."""
    x, y = point
    return x / y, 1.0, (1 - x - y) / y


def _transposed(rows: Sequence[Sequence[float]]) -> Matrix:
    first, second, third = (tuple(row[at] for row in rows) for at in range(3))
    return first, second, third  # type: ignore[return-value]


def _apply(matrix: Sequence[Sequence[float]], vector: Sequence[float]) -> Row:
    first, second, third = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return first, second, third


def _product(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> Matrix:
    return _transposed([_apply(one, column) for column in _transposed(other)])


def _inverse(matrix: Sequence[Sequence[float]]) -> Matrix:
    """By cofactors. Raises ZeroDivisionError."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    cofactors = ((e * i - f * h, c * h - b * i, b * f - c * e),
                 (f * g - d * i, a * i - c * g, c * d - a * f),
                 (d * h - e * g, b * g - a * h, a * e - b * d))  # fmt: skip
    determinant = a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0]
    first, second, third = (tuple(value / determinant for value in row) for row in cofactors)
    return first, second, third  # type: ignore[return-value]


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


def _profile(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    text = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 14, 28) + "numbers".encode("utf-16-be")
    tags = [(b"desc", text), (b"cprt", text), (b"wtpt", _xyz(_D50)), *tags]
    table, data, at = b"", b"", _HEADER_BYTES + 4 + _ENTRY_BYTES * len(tags)
    for name, body in tags:
        table += name + struct.pack(">II", at + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", at + len(data), b"none", 4 << 24, b"mntr", space, b"XYZ ", bytes(12), b"acsp"
    )
    return header + bytes(28) + _fixed(_D50) + bytes(48) + struct.pack(">I", len(tags)) + table + data
