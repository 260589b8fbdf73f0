"""The grammar of IIIF's paths: text in, ``Parameters`` out, and back; ``parse(generate(x)) == x``. Pure.

Image API 3.0 and 2.1, sections 3 and 4. Each part of a path is percent-decoded once, after the path was divided at its
slashes. An identifier becomes the name of a source, which the mount's list judges; it never becomes a path by itself.
"""

import re
from collections.abc import Collection
from typing import Literal
from urllib.parse import quote, unquote, unquote_to_bytes

import msgspec

from imgserve.request.dialects.iiif.numbers import DECIMAL, WHOLE, written
from imgserve.request.dialects.iiif.parameters import (
    Box,
    Parameters,
    Percents,
    Pixels,
    Quality,
    Region,
    Scale,
    Sides,
    Size,
    Version,
)
from imgserve.request.dialects.iiif.refused import BadRequest, NotFound
from imgserve.request.encode import Format
from imgserve.request.url import MAX_LENGTH

FORMATS: dict[str, Format] = {
    "jpg": "jpeg", "png": "png", "webp": "webp", "tif": "tiff", "gif": "gif", "avif": "avif",
}  # fmt: skip
INFO = "info.json"

_EXTENSION = {value: word for word, value in FORMATS.items()}
_QUALITIES: dict[str, Quality] = {"default": "default", "color": "default", "gray": "gray", "bitonal": "bitonal"}
_REGIONS: dict[str, Literal["full", "square"]] = {"full": "full", "square": "square"}
_SIZES: dict[Version, dict[str, Literal["max", "full"]]] = {2: {"max": "max", "full": "full"}, 3: {"max": "max"}}
_FULL_CIRCLE = 360.0

_PIXELS = re.compile(rf"({WHOLE}),({WHOLE}),({WHOLE}),({WHOLE})")
_PERCENTS = re.compile(rf"pct:({DECIMAL}),({DECIMAL}),({DECIMAL}),({DECIMAL})")
_SIDES = re.compile(rf"({WHOLE})?,({WHOLE})?")
_BOX = re.compile(rf"!({WHOLE}),({WHOLE})")
_SCALE = re.compile(rf"pct:({DECIMAL})")
_ROTATION = re.compile(rf"(!)?({DECIMAL})")

_PARTS = 5  # of an image's path: identifier, region, size, rotation, and quality with format
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_IS_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*+://")
_SLASHES = re.compile(r"[/\\]")
# What a path's segment may hold as it is. Commas and semicolons part Link headers.
_SAFE = "!$&'()*+=:~"


class Request(msgspec.Struct, frozen=True):
    """``identifier`` is decoded. ``parameters`` of other kinds than a picture have the version alone."""

    kind: Literal["picture", "info", "redirect"]
    identifier: str
    parameters: Parameters


def parse(path: str, version: Version, formats: Collection[str] = frozenset(FORMATS)) -> Request:
    """``path`` has no slash before the identifier and is not decoded. ``formats``: the offered ones, by extension.

    Raises BadRequest, NotFound.
    """
    if len(path) > MAX_LENGTH:
        raise BadRequest(f"expected a path of at most {MAX_LENGTH} characters, got {len(path)}")
    first, *rest = path.split("/")
    identifier = _identifier(first)
    plain = Parameters(version)
    if not rest:
        return Request("redirect", identifier, plain)
    if rest == [INFO]:
        return Request("info", identifier, plain)
    if len(rest) >= _PARTS or rest[-1] in (INFO, ""):
        raise NotFound("the path has too many parts: a slash of an identifier is written %2F")
    if len(rest) < _PARTS - 1:
        raise BadRequest("expected IDENTIFIER/REGION/SIZE/ROTATION/QUALITY.FORMAT or IDENTIFIER/info.json")
    region, size, rotation, last = map(_decoded, rest)
    is_mirrored, angle = _rotation(rotation)
    quality, output_format = _quality_and_format(last, formats)
    wanted, may_enlarge = _size_of_2(size) if version == 2 else _size_of_3(size)
    parameters = Parameters(version, _region(region), wanted, may_enlarge, is_mirrored, angle, quality, output_format)
    return Request("picture", identifier, parameters)


def generate(request: Request) -> str:
    """The path, without a slash before it."""
    identifier = encoded(request.identifier)
    match request.kind:
        case "redirect":
            return identifier
        case "info":
            return f"{identifier}/{INFO}"
        case "picture":
            return f"{identifier}/{generate_parameters(request.parameters)}"


def generate_parameters(asked: Parameters) -> str:
    """The part of the path behind the identifier."""
    upscaling = "^" if asked.may_enlarge else ""
    mirror = "!" if asked.is_mirrored else ""
    last = f"{asked.quality}.{_EXTENSION[asked.format]}"
    return f"{_region_text(asked.region)}/{upscaling}{_size_text(asked.size)}/{mirror}{written(asked.rotation)}/{last}"


def encoded(identifier: str) -> str:
    """As one segment of a path."""
    return quote(identifier, safe=_SAFE)


def as_called(segment: str) -> str:
    """A segment as the client wrote it, in characters that headers can hold."""
    return quote(segment, safe=f"{_SAFE}%@,;")


def source_of(identifier: str) -> str:
    """The name that the mount judges. Of an identifier that is no URL each character is part of the name."""
    return identifier if _IS_URL.match(identifier) else quote(identifier, safe=f"{_SAFE}/@,;")


def identifier_of(source: str) -> str:
    """The opposite of ``source_of``."""
    return source if _IS_URL.match(source) else unquote(source)


def _identifier(segment: str) -> str:
    """Raises NotFound."""
    if not segment or not segment.isascii() or _BROKEN_ESCAPE.search(segment):
        raise NotFound("expected an identifier, percent-encoded")
    try:
        identifier = unquote_to_bytes(segment).decode()
    except UnicodeError:
        raise NotFound("expected an identifier in UTF-8, percent-encoded") from None
    if _CONTROL.search(identifier) or not {".", ".."}.isdisjoint(_SLASHES.split(identifier)):
        raise NotFound("expected an identifier without control characters and without the parts . and ..")
    if "" in identifier.split("/") and not _IS_URL.match(identifier):
        raise NotFound("expected an identifier without empty parts")
    return identifier


def _decoded(segment: str) -> str:
    """Raises BadRequest."""
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeError:
        raise BadRequest("expected region, size, rotation, quality and format in ASCII") from None


def _region(text: str) -> Region:
    """Raises BadRequest."""
    if text in _REGIONS:
        return _REGIONS[text]
    region: Pixels | Percents | None = None
    if matched := _PIXELS.fullmatch(text):
        region = Pixels(*map(int, matched.groups()))
    elif matched := _PERCENTS.fullmatch(text):
        region = Percents(*map(float, matched.groups()))
    if region is None or not (region.width > 0 and region.height > 0):
        raise BadRequest("expected a region: full, square, x,y,w,h or pct:x,y,w,h, with w and h above 0")
    return region


def _size_of_3(text: str) -> tuple[Size, bool]:
    """The size, and whether it may enlarge. Raises BadRequest."""
    plain = text.removeprefix("^")
    size = _SIZES[3].get(plain) or _size(plain)
    if size is None:
        raise BadRequest("expected a size: max, w, or ,h or w,h or !w,h or pct:n above 0, with ^ or without")
    return size, plain != text


def _size_of_2(text: str) -> tuple[Size, bool]:
    """Raises BadRequest."""
    size = _SIZES[2].get(text) or _size(text)
    if size is None:
        raise BadRequest("expected a size: full, max, w, or ,h or w,h or !w,h or pct:n above 0")
    return size, False


def _size(text: str) -> Sides | Box | Scale | None:
    size: Sides | Box | Scale | None = None
    numbers: tuple[float | None, ...] = (None,)
    if matched := _SIDES.fullmatch(text):
        width, height = (None if side is None else int(side) for side in matched.groups())
        size, numbers = Sides(width, height), (width, height)
    elif matched := _BOX.fullmatch(text):
        size = Box(int(matched[1]), int(matched[2]))
        numbers = size.width, size.height
    elif matched := _SCALE.fullmatch(text):
        size = Scale(float(matched[1]))
        numbers = (size.percent,)
    given = [number for number in numbers if number is not None]
    return size if given and all(number > 0 for number in given) else None


def _rotation(text: str) -> tuple[bool, float]:
    """Raises BadRequest."""
    matched = _ROTATION.fullmatch(text)
    angle = float(matched[2]) if matched else -1.0
    if matched is None or angle > _FULL_CIRCLE:
        raise BadRequest("expected a rotation from 0 to 360, with ! before it or without")
    return matched[1] is not None, angle % _FULL_CIRCLE


def _quality_and_format(text: str, formats: Collection[str]) -> tuple[Quality, Format]:
    """Raises BadRequest."""
    quality, _, extension = text.rpartition(".")
    if quality not in _QUALITIES:
        raise BadRequest(f"expected a quality, {', '.join(_QUALITIES)}, and a dot behind it")
    if extension not in formats:
        raise BadRequest(f"expected a format, {', '.join(sorted(formats))}")
    return _QUALITIES[quality], FORMATS[extension]


def _region_text(region: Region) -> str:
    match region:
        case Pixels(x, y, width, height):
            return f"{x},{y},{width},{height}"
        case Percents(x, y, width, height):
            return f"pct:{','.join(map(written, (x, y, width, height)))}"
    return region


def _size_text(size: Size) -> str:
    match size:
        case Sides(width, height):
            return f"{width or ''},{height or ''}"
        case Box(width, height):
            return f"!{width},{height}"
        case Scale(percent):
            return f"pct:{written(percent)}"
    return size
