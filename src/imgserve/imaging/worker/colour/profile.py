"""Whether an ICC profile is sRGB's or Display P3's: then no colours are converted, which saves half of a render.

Called by load and jpegheader. The primaries and the curve decide, not the name: ICC.1:2010, sections 7.2, 7.3, 10.6,
10.18, 10.31; the curve of sRGB and its primaries: IEC 61966-2-1; the primaries of Display P3: SMPTE EG 432-1; both
adapted to D50.
"""

import struct
from collections.abc import Mapping

from imgserve.imaging.worker.colour import curves
from imgserve.imaging.worker.colour.curves import Curve

_Colorants = Mapping[bytes, tuple[float, float, float]]

_HEADER_BYTES = 128
_SRGB: _Colorants = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
_P3: _Colorants = {
    b"rXYZ": (0.5151, 0.2412, -0.0011),
    b"gXYZ": (0.2920, 0.6922, 0.0419),
    b"bXYZ": (0.1571, 0.0666, 0.7841),
}
_CURVES = (b"rTRC", b"gTRC", b"bTRC")
_TABLES = (b"A2B0", b"A2B1", b"A2B2")  # with these a profile's primaries do not count
_NEAR_XYZ = 0.002
_NEAR_LIGHT = 0.002  # half a step of 8 bits
_STEPS = 16
_SRGB_FORM = 3  # a parametric curve of this form has five numbers


def is_srgb(profile: bytes) -> bool:
    """False also for bytes that are no profile."""
    return _has(profile, _SRGB)


def is_display_p3(profile: bytes) -> bool:
    """Its curve is sRGB's."""
    return _has(profile, _P3)


def _has(profile: bytes, primaries: _Colorants) -> bool:
    """Whether it has these primaries and sRGB's curve."""
    try:
        return _is_of(profile, primaries)
    except (struct.error, IndexError, KeyError, ZeroDivisionError, OverflowError, TypeError):
        return False


def bands_of(profile: bytes) -> int:
    """The number of colours in a picture that it is for; 0 for any but RGB and grey."""
    return {b"RGB ": 3, b"GRAY": 1}.get(profile[16:20], 0) if profile[36:40] == b"acsp" else 0


def _is_of(profile: bytes, primaries: _Colorants) -> bool:
    if profile[16:24] != b"RGB XYZ ":
        return False
    tags = _tags(profile)
    if any(name in tags for name in _TABLES):
        return False
    for name, expected in primaries.items():
        values = struct.unpack_from(">3i", tags[name], 8)
        if any(abs(value / 65536 - other) > _NEAR_XYZ for value, other in zip(values, expected, strict=True)):
            return False
    return all(_is_srgb_curve(data) for data in {tags[name] for name in _CURVES})


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
    entries = (struct.unpack_from(">4sII", profile, _HEADER_BYTES + 4 + 12 * n) for n in range(min(count, 100)))
    return {name: profile[at : at + length] for name, at, length in entries}


def _is_srgb_curve(data: bytes) -> bool:
    curve = _table(data) if data[:4] == b"curv" else _formula(data)
    return all(abs(curve(step / _STEPS) - curves.srgb(step / _STEPS)) <= _NEAR_LIGHT for step in range(_STEPS + 1))


def _table(data: bytes) -> Curve:
    (count,) = struct.unpack_from(">I", data, 8)

    def read(value: float) -> float:
        at = value * (count - 1)
        low = min(int(at), count - 2)
        one, next_one = struct.unpack_from(">2H", data, 12 + 2 * low)
        return float((one + (next_one - one) * (at - low)) / 65535)

    return read


def _formula(data: bytes) -> Curve:
    (form,) = struct.unpack_from(">H", data, 8)
    if data[:4] != b"para" or form != _SRGB_FORM:
        raise KeyError(form)
    gamma, a, b, c, d = (number / 65536 for number in struct.unpack_from(">5i", data, 12))
    return lambda value: float((a * value + b) ** gamma if value >= d else c * value)
