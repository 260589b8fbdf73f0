"""Turns a file's colour numbers into an ICC profile that libvips reads. Called by load.

PNG: the first of cICP, iCCP, sRGB, and gAMA with cHRM (PNG third edition, section 4.3). AVIF and HEIC: a ``colr`` box
of the kind nclx, unless one has a profile (ISO 14496-12, section 12.1.5); in an AVIF without any such box the sequence
header of the coded picture (AV1 Image File Format, section 2.1). TIFF: TransferFunction, WhitePoint and
PrimaryChromaticities (TIFF 6.0, section 20). The code numbers: ITU-T H.273, tables 2 and 3. GIF has none; JPEG and WebP
have them only in EXIF, which browsers do not read for colours.
"""

import struct
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import NamedTuple

from imgserve.imaging.worker.colour import curves, iccmatrix
from imgserve.imaging.worker.colour.curves import Curve, Power
from imgserve.imaging.worker.colour.iccmatrix import Point, Primaries
from imgserve.imaging.worker.formats import av1, isobmff, tiff
from imgserve.imaging.worker.source import Data
from imgserve.request.imageinfo import SourceFormat


class Colours(NamedTuple):
    primaries: Primaries
    curve: Curve


_D65, _C, _DCI, _E = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351), (1 / 3, 1 / 3)
SRGB = Primaries((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65)
_SMPTE_170M = Primaries((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65)
_P3 = Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65)
_PRIMARIES: dict[int, Primaries] = {
    1: SRGB,
    4: Primaries((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: Primaries((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: _SMPTE_170M,
    7: _SMPTE_170M,
    8: Primaries((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: Primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    10: Primaries((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), _E),  # X, Y and Z themselves
    11: _P3._replace(white=_DCI),
    12: _P3,
    22: Primaries((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
_NEAR = 0.002  # of a chromaticity: the error of rounding
_NEAR_GAMMA = 0.05  # libpng's threshold: a smaller difference is invisible
_SRGB_GAMMA = 45455
_HIGHEST, _LOWEST = 1_000_000, 1000  # of gAMA: other values are mistakes
_PNG_START = 8
_TRANSFER_FUNCTION, _WHITE_POINT, _PRIMARY_CHROMATICITIES, _ICC_PROFILE = 301, 318, 319, 34675
_MOST_CHUNKS = 1000
_LAST_GREY = 2
_PROFILES = (b"prof", b"rICC")
_OTHER_COLOUR_CHUNKS = {b"iCCP", b"sRGB", b"gAMA", b"cHRM"}


def profile(data: Data, source_format: SourceFormat, bands: int) -> bytes | None:
    """An ICC profile that overrides the picture's own; None without such numbers. ``bands``: 1 and 2 are grey."""
    reader = {"png": _of_png, "avif": _of_avif, "heic": _of_heic, "tiff": _of_tiff}.get(source_format)
    colours = reader(data) if reader else None
    if colours is None or (bands <= _LAST_GREY and colours.curve is curves.srgb):
        return None
    if bands <= _LAST_GREY:
        return iccmatrix.grey(colours.curve)
    return iccmatrix.rgb(*colours)


@cache
def display_p3() -> bytes:
    """The ICC profile of Display P3: the primaries of SMPTE EG 432-1, and sRGB's white and curve."""
    return iccmatrix.rgb(_P3, curves.srgb, "Display P3")


def _by_code(primaries: int, transfer: int, *, is_full_range: bool = True) -> Colours:
    """Unspecified and unknown numbers mean sRGB."""
    curve = curves.by_code(transfer)
    return Colours(_PRIMARIES.get(primaries, SRGB), curve if is_full_range else curves.narrow(curve))


def _of_png(data: Data) -> Colours | None:
    chunks = dict(_chunks(data))
    cicp = chunks.get(b"cICP", b"")
    if len(cicp) == 4:
        primaries, transfer, _, full_range = cicp
        is_known = primaries in _PRIMARIES and curves.is_known(transfer)
        if is_known or chunks.keys().isdisjoint(_OTHER_COLOUR_CHUNKS):
            return _by_code(primaries, transfer, is_full_range=bool(full_range))
    if b"iCCP" in chunks or b"sRGB" in chunks:
        return None
    return _of_gamma(chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b""))


def _of_gamma(gama: bytes, chrm: bytes) -> Colours | None:
    gamma = struct.unpack(">I", gama)[0] if len(gama) == 4 else _SRGB_GAMMA
    primaries = SRGB
    if len(chrm) == 32:
        white_x, white_y, *colours = (number / 100_000 for number in struct.unpack(">8I", chrm))
        primaries = _primaries((white_x, white_y), colours)
    has_gamma = len(gama) == 4 and _LOWEST <= gamma <= _HIGHEST
    if primaries == SRGB and (not has_gamma or abs(gamma / _SRGB_GAMMA - 1) < _NEAR_GAMMA):
        return None
    return Colours(primaries, Power(100_000 / gamma) if has_gamma else curves.srgb)


def _primaries(white: Point, colours: list[float]) -> Primaries:
    """sRGB's own for almost the same ones, and for impossible ones."""
    red_x, red_y, green_x, green_y, blue_x, blue_y = colours
    primaries = Primaries((red_x, red_y), (green_x, green_y), (blue_x, blue_y), white)
    pairs = zip(chain(*primaries), chain(*SRGB), strict=True)
    is_srgb = all(abs(one - other) < _NEAR for one, other in pairs)
    return SRGB if is_srgb or not iccmatrix.is_possible(primaries) else primaries


def _chunks(data: Data) -> Iterator[tuple[bytes, bytes]]:
    """The chunks before the pixels."""
    at = _PNG_START
    for _ in range(_MOST_CHUNKS):
        length, kind = int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 4 : at + 8])
        if kind in (b"IDAT", b"IEND", b""):
            return
        yield kind, bytes(data[at + 8 : at + 8 + min(length, 64)])
        at += 12 + length


def _of_avif(data: Data) -> Colours | None:
    boxes = isobmff.colour_boxes(data)
    if not any(box[:4] in (*_PROFILES, b"nclx") for box in boxes):
        numbers = av1.colour_numbers(isobmff.coded_beginning(data))
        return None if numbers is None else _by_code(*numbers)
    return _of_boxes(boxes)


def _of_heic(data: Data) -> Colours | None:
    return _of_boxes(isobmff.colour_boxes(data))


def _of_boxes(boxes: list[bytes]) -> Colours | None:
    if any(box[:4] in _PROFILES for box in boxes):
        return None
    for box in boxes:
        if box[:4] == b"nclx" and len(box) >= 11:
            return _by_code(*struct.unpack(">HH", box[4:8]))
    return None


def _of_tiff(data: Data) -> Colours | None:
    tags = tiff.tags(data, (_TRANSFER_FUNCTION, _WHITE_POINT, _PRIMARY_CHROMATICITIES, _ICC_PROFILE))
    if _ICC_PROFILE in tags or not tags:
        return None
    white, colours = tags.get(_WHITE_POINT, []), tags.get(_PRIMARY_CHROMATICITIES, [])
    white_point = (white[0], white[1]) if len(white) == 2 else _D65
    primaries = _primaries(white_point, colours) if len(colours) == 6 else SRGB
    curve = _tabled(tags.get(_TRANSFER_FUNCTION, []))
    return None if primaries == SRGB and curve is None else Colours(primaries, curve or curves.srgb)


def _tabled(values: list[float]) -> Curve | None:
    """TIFF's table of light for each stored value; of three equal tables the first."""
    count = next((2**bits for bits in (8, 16) if len(values) in (2**bits, 3 * 2**bits)), 0)
    if count == 0:
        return None
    table = tuple(values[:count])
    is_srgb = all(
        abs(table[at] / 65535 - curves.srgb(at / (count - 1))) < _NEAR_GAMMA for at in range(0, count, count // 16)
    )
    return None if is_srgb else lambda value: table[round(value * (count - 1))] / 65535
