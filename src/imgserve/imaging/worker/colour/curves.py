"""From stored values to light, by the code numbers of ITU-T H.273, table 3. Called by numbers, iccmatrix and profile.

In and out: 0 to 1; 1 is the white of an ordinary screen. Brighter light (PQ: SMPTE ST 2084; HLG: ARIB STD-B67,
both in ITU-R BT.2100) is compressed below it: BT.2408 puts the white of a page at 203 cd/m2.
"""

import math
import struct
from collections.abc import Callable
from functools import lru_cache

import msgspec

Curve = Callable[[float], float]

_WHITE_CD_M2, _PQ_PEAK_CD_M2, _HLG_PEAK_CD_M2, _HLG_SYSTEM_GAMMA = 203.0, 10_000.0, 1000.0, 1.2
_KNEE = 0.5  # of white: below it nothing is changed
_SAMPLES = 4096
_NARROW_LOW, _NARROW_HIGH = 16 / 255, 235 / 255


class Power(msgspec.Struct, frozen=True):
    """``value ** gamma``."""

    gamma: float

    def __call__(self, value: float) -> float:
        return float(max(0.0, value) ** self.gamma)


def srgb(value: float) -> float:
    return float(((value + 0.055) / 1.055) ** 2.4 if value > 0.04045 else value / 12.92)


def by_code(transfer: int) -> Curve:
    """sRGB's for unspecified and unknown ones, and for those of television, which screens show as sRGB."""
    return _CURVES.get(transfer, srgb)


def is_known(transfer: int) -> bool:
    return transfer in _TELEVISION or transfer in _CURVES


def narrow(curve: Curve) -> Curve:
    """The same for values in the narrow range, 16 to 235."""
    return lambda value: curve(min(1.0, max(0.0, (value - _NARROW_LOW) / (_NARROW_HIGH - _NARROW_LOW))))


@lru_cache(maxsize=8)  # 4,096 samples take 3 ms
def sampled(curve: Curve) -> bytes:
    """A table of 16-bit numbers, big-endian."""
    values = (curve(step / (_SAMPLES - 1)) for step in range(_SAMPLES))
    return struct.pack(f">{_SAMPLES}H", *(round(min(1.0, max(0.0, value)) * 65535) for value in values))


def _pq(value: float) -> float:
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = value ** (1 / m2)
    return _bent((max(0.0, power - c1) / (c2 - c3 * power)) ** (1 / m1) * _PQ_PEAK_CD_M2 / _WHITE_CD_M2)


def _hlg(value: float) -> float:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = value * value / 3 if value <= 0.5 else (math.exp((value - c) / a) + b) / 12
    return _bent(scene**_HLG_SYSTEM_GAMMA * _HLG_PEAK_CD_M2 / _WHITE_CD_M2)


def _bent(light: float) -> float:
    """Compressed above the knee, to reach 1 at the peak of most displays (Reinhard 2002, equation 4)."""
    if light <= _KNEE:
        return light
    above, peak = (light - _KNEE) / (1 - _KNEE), (_HLG_PEAK_CD_M2 / _WHITE_CD_M2 - _KNEE) / (1 - _KNEE)
    return min(1.0, _KNEE + (1 - _KNEE) * above * (1 + above / peak**2) / (1 + above))


def _log(decades: float) -> Curve:
    return lambda value: 10 ** ((value - 1) * decades) if value > 0 else 0.0


def _cinema(value: float) -> float:
    """SMPTE ST 428-1: white is 48 of the 52.37 cd/m2 that the values reach to."""
    return min(1.0, float(max(0.0, value) ** 2.6) * 52.37 / 48)


_TELEVISION = frozenset({1, 6, 7, 11, 12, 13, 14, 15})  # 13 is sRGB's own
_CURVES: dict[int, Curve] = {
    4: Power(2.2), 5: Power(2.8), 8: Power(1.0), 9: _log(2.0), 10: _log(2.5), 16: _pq, 17: _cinema, 18: _hlg,
}  # fmt: skip
