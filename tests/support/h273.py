"""The code points of ITU-T H.273, tables 2 and 3, by its formulas: what a colour stored under each looks like.

Chromaticities and curves are those of the tables; nothing here comes from the server.
"""

from collections.abc import Callable

import numpy as np

from tests.support import profiles
from tests.support.profiles import D50, SRGB, Floats

Points = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
Curve = Callable[[Floats], Floats]

WHITES = {"D65": (0.3127, 0.3290), "C": (0.310, 0.316), "DCI": (0.314, 0.351), "E": (1 / 3, 1 / 3)}
PRIMARIES: dict[int, tuple[Points, str]] = {
    1: (((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)), "D65"),
    4: (((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), "C"),
    5: (((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)), "D65"),
    6: (((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)), "D65"),
    7: (((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)), "D65"),
    8: (((0.681, 0.319), (0.243, 0.692), (0.145, 0.049)), "C"),
    9: (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), "D65"),
    10: (((1.0, 0.0), (0.0, 1.0), (0.0, 0.0)), "E"),
    11: (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), "DCI"),
    12: (((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), "D65"),
    22: (((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)), "D65"),
}


def _srgb(value: Floats) -> Floats:
    return SRGB.linear(value)


# Television's curves (1, 6, 7, 11, 12, 14, 15) are shown by a screen's own, as browsers do. 16 and 18: see the test.
CURVES: dict[int, Curve] = {
    **dict.fromkeys((1, 6, 7, 11, 12, 13, 14, 15), _srgb),
    4: lambda value: value**2.2,
    5: lambda value: value**2.8,
    8: lambda value: value,
    9: lambda value: np.where(value > 0, 10.0 ** (2 * (value - 1)), 0),
    10: lambda value: np.where(value > 0, 10.0 ** (2.5 * (value - 1)), 0),
    17: lambda value: value**2.6 * 52.37 / 48,
}


def shown(stored: Floats, primaries: int, transfer: int) -> Floats:
    """sRGB, 0 to 255, of colours (... x 3, 0 to 255); white becomes white (Bradford)."""
    points, white = PRIMARIES[primaries]
    columns = np.array([[x, y, 1 - x - y] for x, y in points]).T
    x, y = WHITES[white]
    white_xyz = np.array([x / y, 1.0, (1 - x - y) / y])
    scaled = columns * np.linalg.solve(columns, white_xyz)
    cone = np.diag((profiles.BRADFORD @ D50) / (profiles.BRADFORD @ white_xyz))
    adapted = np.linalg.inv(profiles.BRADFORD) @ cone @ profiles.BRADFORD @ scaled
    xyz = np.clip(CURVES[transfer](stored / 255), 0, 1) @ adapted.T
    return SRGB.encoded(xyz @ np.linalg.inv(SRGB.colorants()).T) * 255
