"""What a client's headers say about pictures: the formats that it accepts by name, and its hints. Pure.

The one reader of Accept. Called by the mounts, which hand the result to their dialect as a ``Negotiable``, and by
``api/negotiate``. Accept is RFC 9110, sections 12.4.2 and 12.5.1; the hints are those of
https://wicg.github.io/responsive-image-client-hints/, numbers as in RFC 8941.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from imgserve.request.dialects.dialect import Header, Negotiable
from imgserve.request.encode import Format
from imgserve.request.recipe import MEDIA_TYPE

MAX_DPR, MIN_DPR = 8.0, 0.1
MAX_WIDTH_PX = 65_535

# Formats that a client must name: ``image/*`` and ``*/*`` are sent by clients that cannot show them.
_BY_NAME = frozenset({"avif", "webp", "jxl"})
_FORMAT_OF_TYPE: dict[str, Format] = {kind: name for name, kind in MEDIA_TYPE.items() if name in _BY_NAME}

# A browser sends up to ten ranges, in 150 bytes. A longer text is parsed anew each time.
_MOST_RANGES, _MOST_BYTES, _MOST_KEPT = 64, 4_096, 512
# A comma or a semicolon inside a quoted text parts nothing. An unfinished text reaches to the end.
_QUOTED = r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
_RANGE = re.compile(rf'(?:[^,"]|{_QUOTED})+', re.DOTALL)
_PARAMETER = re.compile(rf'(?:[^;"]|{_QUOTED})+', re.DOTALL)
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
_OWS = " \t"

_DECIMAL = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,20})?")  # Chrome's old header has all digits of a double
_INTEGER = re.compile(r"[0-9]{1,5}")
_DPR_PLACES = 3  # as RFC 8941 writes decimals, and so that few different ones reach the cache


class Range(NamedTuple):
    """A media range in lower case, and its weight. ``is_plain``: it has no parameters of its own."""

    name: str
    weight: float
    is_plain: bool


def ranges(values: Iterable[bytes]) -> Iterator[Range]:
    """The ranges of all Accept fields of a request. One that is not of the grammar is passed over, as servers do."""
    text = b",".join(values).decode("latin-1")
    is_whole = len(text) <= _MOST_BYTES
    parts = [match[0] for match in islice(_RANGE.finditer(text[:_MOST_BYTES]), _MOST_RANGES)]
    # The last range of a text that was cut may have lost its weight.
    for part in parts if is_whole else parts[:-1]:
        judged = _range(part)
        if judged is not None:
            yield judged


def weights(given: Iterable[Range], formats: Mapping[str, Format]) -> dict[Format, float]:
    """The weight of each format that the ranges name; of one that is named several times the lowest.

    ``formats``: those that count, by their media types in lower case.
    """
    found: dict[Format, float] = {}
    for one in given:
        name = formats.get(one.name)
        # ``image/webp;x=y`` accepts, or refuses, some pictures of that format only.
        if name is not None and one.is_plain:
            found[name] = min(one.weight, found.get(name, 1.0))
    return found


def accepted(values: Iterable[bytes], offered: Collection[Format]) -> frozenset[Format]:
    """The offered ones of AVIF and WebP that the Accept fields name, and nowhere refuse."""
    text = b",".join(values)
    return (_known(text) if len(text) <= _MOST_KEPT else _named(text)).intersection(offered)


def dpr(headers: Iterable[Header]) -> float | None:
    """Pixels of the device for one of CSS, 0.1 to 8. None: no hint, or none that is of the grammar."""
    text = _hint(headers, (b"sec-ch-dpr", b"dpr"), _DECIMAL)
    number = round(float(text), _DPR_PLACES) if text else 0.0
    return number if MIN_DPR <= number <= MAX_DPR else None


def width_px(headers: Iterable[Header]) -> int | None:
    """The width of the picture's place in pixels of the device, 1 to 65535. None as for ``dpr``."""
    text = _hint(headers, (b"sec-ch-width", b"width"), _INTEGER)
    number = int(text) if text else 0
    return number if 1 <= number <= MAX_WIDTH_PX else None


def negotiable(headers: Iterable[Header], offered: Collection[Format], *, takes_hints: bool) -> Negotiable:
    """``headers`` with lower-case names, as ASGI has them. ``offered``: the formats that the mount may answer with."""
    pairs = tuple(headers)
    formats = accepted((value for name, value in pairs if name == b"accept"), offered) if offered else frozenset()
    if not takes_hints:
        return Negotiable(formats)
    return Negotiable(formats, dpr(pairs), width_px(pairs))


# Browsers send few different ones, and reading one takes as long as half of a cached answer.
@lru_cache(maxsize=256)
def _known(text: bytes) -> frozenset[Format]:
    return _named(text)


def _named(text: bytes) -> frozenset[Format]:
    return frozenset(name for name, weight in weights(ranges((text,)), _FORMAT_OF_TYPE).items() if weight > 0)


def _range(part: str) -> Range | None:
    pieces = [match[0].strip(_OWS) for match in _PARAMETER.finditer(part)]
    if not any(pieces):
        return None
    name, is_plain = pieces[0].lower(), True
    for parameter in pieces[1:]:
        if parameter[:2].lower() != "q=":
            is_plain = is_plain and not parameter
            continue
        matched = _WEIGHT.fullmatch(parameter)
        if matched is None:
            return None
        return Range(name, float(matched[1]), is_plain)  # what follows the weight is no part of the range
    return Range(name, 1.0, is_plain)


def _hint(headers: Iterable[Header], names: tuple[bytes, ...], pattern: re.Pattern[str]) -> str:
    """The value of the first of these headers that is sent once and is a number; else empty."""
    given: dict[bytes, list[bytes]] = {name: [] for name in names}
    for name, value in headers:
        if name in given:
            given[name].append(value)
    for values in given.values():
        text = values[0].decode("latin-1").strip(_OWS) if len(values) == 1 else ""
        if pattern.fullmatch(text):
            return text
    return ""
