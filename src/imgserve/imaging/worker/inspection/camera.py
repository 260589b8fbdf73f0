"""EXIF for people: the fields of a block by name, and the position in its GPS part (Exif 2.32, 4.6.4 to 4.6.6).

Blocks that cannot be read, maker notes, thumbnails and fields that describe the file alone are left out.
"""

import struct
from collections.abc import Mapping, Sequence

from imgserve.imaging.messages import ExifValue, Position
from imgserve.imaging.worker.metadata.exif import Directory, Entry, Exif

_NAMES: Mapping[int, str] = {
    0x010E: "ImageDescription", 0x010F: "Make", 0x0110: "Model", 0x0112: "Orientation", 0x0131: "Software",
    0x0132: "DateTime", 0x013B: "Artist", 0x8298: "Copyright", 0x829A: "ExposureTime", 0x829D: "FNumber",
    0x8822: "ExposureProgram", 0x8827: "PhotographicSensitivity", 0x9003: "DateTimeOriginal",
    0x9004: "DateTimeDigitized", 0x9010: "OffsetTime", 0x9011: "OffsetTimeOriginal", 0x9201: "ShutterSpeedValue",
    0x9202: "ApertureValue", 0x9203: "BrightnessValue", 0x9204: "ExposureBiasValue", 0x9205: "MaxApertureValue",
    0x9206: "SubjectDistance", 0x9207: "MeteringMode", 0x9208: "LightSource", 0x9209: "Flash", 0x920A: "FocalLength",
    0x9290: "SubSecTime", 0x9291: "SubSecTimeOriginal", 0xA001: "ColorSpace", 0xA20E: "FocalPlaneXResolution",
    0xA20F: "FocalPlaneYResolution", 0xA402: "ExposureMode", 0xA403: "WhiteBalance", 0xA404: "DigitalZoomRatio",
    0xA405: "FocalLengthIn35mmFilm", 0xA406: "SceneCaptureType", 0xA420: "ImageUniqueID", 0xA430: "CameraOwnerName",
    0xA431: "BodySerialNumber", 0xA432: "LensSpecification", 0xA433: "LensMake", 0xA434: "LensModel",
    0xA435: "LensSerialNumber",
}  # fmt: skip
_ASCII, _UNSIGNED, _FRACTIONS = 2, {1: "B", 3: "H", 4: "I"}, {5: "I", 10: "i"}
_MOST_TEXT, _MOST_VALUES = 400, 8
_LATITUDE_SIDE, _LATITUDE, _LONGITUDE_SIDE, _LONGITUDE, _ALTITUDE_SIDE, _ALTITUDE = 1, 2, 3, 4, 5, 6
_BELOW_SEA = b"\1"


def fields(exif: Exif | None) -> dict[str, ExifValue]:
    """No field tells a place."""
    if exif is None:
        return {}
    entries = {**exif.main, **exif.photo}
    values = {name: _value(entries[tag], exif) for tag, name in _NAMES.items() if tag in entries}
    return {name: value for name, value in values.items() if value is not None}


def position(exif: Exif | None) -> Position | None:
    if exif is None:
        return None
    latitude = _degrees(exif, _LATITUDE, _LATITUDE_SIDE, b"S", 90)
    longitude = _degrees(exif, _LONGITUDE, _LONGITUDE_SIDE, b"W", 180)
    if latitude is None or longitude is None:
        return None
    height = _fractions(exif.position.get(_ALTITUDE), exif)
    is_below = _bytes(exif.position, _ALTITUDE_SIDE).startswith(_BELOW_SEA)
    return Position(latitude, longitude, (-height[0] if is_below else height[0]) if height else None)


def _degrees(exif: Exif, tag: int, side: int, negative: bytes, most: int) -> float | None:
    parts = _fractions(exif.position.get(tag), exif)
    if len(parts) != 3:
        return None
    degrees = parts[0] + parts[1] / 60 + parts[2] / 3600
    if not 0 <= degrees <= most:
        return None
    return round(-degrees if _bytes(exif.position, side).startswith(negative) else degrees, 7)


def _bytes(directory: Directory, tag: int) -> bytes:
    return directory[tag].value if tag in directory else b""


def _value(entry: Entry, exif: Exif) -> ExifValue | None:
    if entry.kind == _ASCII:
        text = entry.value.split(b"\0")[0].decode("utf-8", "replace").strip()
        return "".join(letter for letter in text[:_MOST_TEXT] if letter.isprintable()) or None
    numbers: Sequence[int | float] = _fractions(entry, exif) or _numbers(entry, _UNSIGNED.get(entry.kind), exif)
    if not numbers or len(numbers) > _MOST_VALUES:
        return None
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def _fractions(entry: Entry | None, exif: Exif) -> list[float]:
    """Of rational numbers; none where one is divided by 0."""
    if entry is None or entry.kind not in _FRACTIONS:
        return []
    numbers = _numbers(entry, _FRACTIONS[entry.kind], exif)
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    return [round(above / below, 6) for above, below in pairs] if all(below for _, below in pairs) else []


def _numbers(entry: Entry, form: str | None, exif: Exif) -> tuple[int, ...]:
    if form is None:
        return ()
    mark, size = "<" if exif.order == "little" else ">", struct.calcsize(form)
    count = len(entry.value) // size
    return struct.unpack(f"{mark}{count}{form}", entry.value[: count * size])
