"""ICC profiles made by arithmetic, and the colours they stand for; nothing here comes from a colour engine.

ICC.1:2001-04 (version 2) and ICC.1:2010 (version 4): header 7.2, matrix and grey profiles 8.3, lut8Type 10.8, curves
10.5 and 10.15. Chromaticities: IEC 61966-2-1 (sRGB), SMPTE EG 432-1 with D65 (Display P3), Adobe RGB (1998).
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
D65, D50 = np.array([0.95047, 1.0, 1.08883]), np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


class Space(NamedTuple):
    """Red, green and blue as x, y; a gamma, or None for sRGB's own curve."""

    name: bytes
    primaries: tuple[tuple[float, float], ...]
    gamma: float | None

    def colorants(self) -> Floats:
        """Linear RGB to XYZ under D50: 3 x 3, a column for each primary."""
        columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in self.primaries]).T
        scaled = columns * np.linalg.solve(columns, D65)
        cone = np.diag((BRADFORD @ D50) / (BRADFORD @ D65))
        adapted: Floats = np.linalg.inv(BRADFORD) @ cone @ BRADFORD @ scaled
        return adapted

    def encoded(self, linear: Floats) -> Floats:
        """0 to 1, linear to as stored."""
        linear = np.clip(linear, 0, 1)
        if self.gamma is not None:
            return linear ** (1 / self.gamma)
        return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)

    def linear(self, stored: Floats) -> Floats:
        if self.gamma is not None:
            return stored**self.gamma
        return np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)

    def profile(self) -> bytes:
        if self.gamma is None:
            return matrix(self.colorants().T, _srgb_curve(), self.name, version=4)
        return matrix(self.colorants().T, _gamma_curve(self.gamma), self.name)


SRGB = Space(b"sRGB", ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), None)
DISPLAY_P3 = Space(b"Display P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), None)
ADOBE_RGB = Space(b"Adobe RGB", ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), 563 / 256)


def to_space(srgb: Floats, space: Space) -> Floats:
    """sRGB colours (... x 3, 0 to 1) as ``space`` stores them."""
    xyz = SRGB.linear(srgb) @ SRGB.colorants().T
    return space.encoded(xyz @ np.linalg.inv(space.colorants()).T)


def lab(srgb: Floats) -> Floats:
    """CIE L*a*b* under D50 of sRGB colours (... x 3, 0 to 1)."""
    share = (SRGB.linear(srgb) @ SRGB.colorants().T) / D50
    f = np.where(share > 216 / 24389, np.cbrt(share), (share * 24389 / 27 + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def from_lab(colors: Floats) -> Floats:
    """sRGB (0 to 1, clipped to what it can show) of CIE L*a*b* under D50."""
    fy = (colors[..., 0] + 16) / 116
    f = np.stack([fy + colors[..., 1] / 500, fy, fy - colors[..., 2] / 200], axis=-1)
    share = np.where(f**3 > 216 / 24389, f**3, (116 * f - 16) * 27 / 24389)
    return SRGB.encoded((share * D50) @ np.linalg.inv(SRGB.colorants()).T)


def delta_e(one: Floats, other: Floats) -> float:
    """The largest CIE76 distance between colours of two lists (sRGB, 0 to 255)."""
    return float(np.linalg.norm(lab(one / 255) - lab(other / 255), axis=-1).max())


def matrix(
    primaries: Sequence[Sequence[float]] | Floats, curve: bytes, name: bytes = b"RGB", version: int = 2
) -> bytes:
    """An RGB profile of red, green and blue (each in XYZ under D50) and one curve for all, a whole tag."""
    tags = [(tag, _xyz(primary)) for tag, primary in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)]
    tags += [(tag, curve) for tag in (b"rTRC", b"gTRC", b"bTRC")]
    return _profile(name, b"mntr", b"RGB ", b"XYZ ", tags, version)


def grey(gamma: float) -> bytes:
    return _profile(b"grey", b"mntr", b"GRAY", b"XYZ ", [(b"kTRC", _gamma_curve(gamma))])


def press(inks: Floats) -> bytes:
    """A CMYK profile. ``inks``: 2 x 2 x 2 x 2 x 3, the L*a*b* of each full overprint by C, M, Y, K (whole numbers)."""
    table = np.stack([inks[..., 0] * 2.55, inks[..., 1] + 128, inks[..., 2] + 128], axis=-1)
    identity = bytes(range(256))
    unit = struct.pack(">9i", *(65536 * int(n in (0, 4, 8)) for n in range(9)))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + unit + identity * 4 + table.round().astype(np.uint8).tobytes()
    return _profile(b"press", b"prtr", b"CMYK", b"Lab ", [(b"A2B0", lut + identity * 3)])


def _profile(
    name: bytes, kind: bytes, space: bytes, connection: bytes, tags: list[tuple[bytes, bytes]], version: int = 2
) -> bytes:
    description = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + bytes(79)
    if version == 4:
        text = name.decode().encode("utf-16-be")
        description = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    tags = [(b"desc", description), (b"cprt", b"text\0\0\0\0None\0"), (b"wtpt", _xyz(D50)), *tags]
    table, data, at = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, body in tags:
        table += tag + struct.pack(">II", at + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", at + len(data), b"none", version << 24, kind, space, connection, bytes(12), b"acsp"
    )
    header += bytes(28) + _s15(D50) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + data


def _gamma_curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def _srgb_curve() -> bytes:
    """parametricCurveType 3: (a x + b) ^ g from d on, c x below."""
    return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + _s15((2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))


def _xyz(values: Sequence[float] | Floats) -> bytes:
    return b"XYZ \0\0\0\0" + _s15(values)


def _s15(values: Sequence[float] | Floats) -> bytes:
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)
