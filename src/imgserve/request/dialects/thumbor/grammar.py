"""thumbor's URL without its signature: text in, a request out, and back.

    [debug/][meta/][trim/][crop/][fit/][size/][halign/][valign/][smart/][filters:…/]source

Each part may be missing, the order is fixed, and what does not fit it belongs to the source (libthumbor, ``url.py``).
Each part but the filters is one segment, so it is read by an expression of its own, from left to right. The last
segment is always the source's.
"""

import re
from collections.abc import Iterable
from typing import ClassVar, cast
from urllib.parse import quote, unquote_to_bytes

import msgspec
from msgspec.structs import replace

from imgserve.request.dialects.dialect import Answer
from imgserve.request.dialects.thumbor import filters, options
from imgserve.request.dialects.thumbor.arguments import whole
from imgserve.request.dialects.thumbor.options import Option, Request
from imgserve.request.dialects.thumbor.parameters import (
    Corner,
    Edges,
    Fit,
    HAlign,
    Parameters,
    Side,
    Trimming,
    VAlign,
)
from imgserve.request.dialects.thumbor.stage import Filter

FILTERS = "filters:"
_DEBUG, _META, _SMART = (re.compile(word) for word in ("debug", "meta", "smart"))
_TRIM = re.compile(r"trim(?::(top-left|bottom-right))?(?::(\d++))?", re.ASCII)
_CROP = re.compile(r"(\d++)x(\d++):(\d++)x(\d++)", re.ASCII)
_FIT = re.compile(r"(?:adaptive-)?(?:full-)?fit-in")
_SIZE = re.compile(r"(-)?(\d++|orig)?x(-)?(\d++|orig)?", re.ASCII)
_HALIGN, _VALIGN = re.compile("left|center|right"), re.compile("top|middle|bottom")
_OPTIONS = (_DEBUG, _META, _TRIM, _CROP, _FIT, _SIZE, _HALIGN, _VALIGN, _SMART)

# Black to white: a higher tolerance leaves nothing, as this one does.
_MOST_TOLERANCE = 442
_MOST_LEVELS = 10
_SOURCE_SAFE = "/:@!$&'()*+,;=~"
_FILTER_SAFE = ":@!$&'()*+,;=~|[]"


class Path:
    """The rest of a path, from which parts are taken. Local to one call of ``parse``."""

    def __init__(self, text: str) -> None:
        self.rest = text

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The next segment, if it is of the pattern and something follows it."""
        segment, _, rest = self.rest.partition("/")
        match = pattern.fullmatch(segment) if rest else None
        if match is not None:
            self.rest = rest
        return match

    def take_filters(self) -> str:
        """Up to the first ``)/`` with something behind it."""
        if not self.rest.startswith(FILTERS):
            return ""
        end = self.rest.find(")/", len(FILTERS) + 1)
        if end < 0 or end + 2 == len(self.rest):
            return ""
        text, self.rest = self.rest[len(FILTERS) : end + 1], self.rest[end + 2 :]
        return text


def parse(text: str) -> Request | None:
    """``text`` is the path behind the signature, not decoded. None: there is no source, or no UTF-8."""
    path = Path(text)
    is_debug, is_meta = path.take(_DEBUG) is not None, path.take(_META) is not None
    trim, crop, fit = path.take(_TRIM), path.take(_CROP), path.take(_FIT)
    size, halign, valign = path.take(_SIZE), path.take(_HALIGN), path.take(_VALIGN)
    parameters = Parameters(
        trim=None if trim is None else _trimming(trim),
        crop=None if crop is None else edges(crop.groups()),
        fit=cast(Fit, fit[0] if fit else ""),
        width=_side(size[2]) if size else 0,
        height=_side(size[4]) if size else 0,
        is_flopped=bool(size and size[1]),
        is_flipped=bool(size and size[3]),
        halign=cast(HAlign, halign[0] if halign else "center"),
        valign=cast(VAlign, valign[0] if valign else "middle"),
        is_smart=path.take(_SMART) is not None,
        is_debug=is_debug,
        is_meta=is_meta,
    )
    filter_text, source = decoded(path.take_filters()), decoded(path.rest)
    if filter_text is None or not source:
        return None
    request = Request(source, parameters, Answer(kind="info" if is_meta else "picture"))
    return with_filters(request, (filters.read(one, _KINDS) for one in filters.split(filter_text)))


def generate(request: Request) -> str:
    """The text that ``parse`` reads."""
    asked = request.parameters
    words = ["debug"] * asked.is_debug + ["meta"] * asked.is_meta
    words += _trim_text(asked.trim) + _crop_text(asked.crop) + [asked.fit] * bool(asked.fit)
    if asked.width or asked.height or asked.is_flopped or asked.is_flipped:
        words.append(f"{'-' * asked.is_flopped}{asked.width}x{'-' * asked.is_flipped}{asked.height}")
    words += [asked.halign] * (asked.halign != "center") + [asked.valign] * (asked.valign != "middle")
    words += ["smart"] * asked.is_smart
    drawn = [*options.generated(request), *filters.write(asked.filters)]
    if drawn:
        words.append(FILTERS + quote(":".join(drawn), safe=_FILTER_SAFE))
    return "/".join([*words, source_text(request.source, _OPTIONS)])


def with_filters(request: Request, read: Iterable[Filter | Option | None]) -> Request:
    """Options change the request; the others keep their order."""
    drawn: list[Filter] = []
    for one in read:
        if isinstance(one, Option):
            request = one.changed(request)
        elif one is not None:
            drawn.append(one)
    return replace(request, parameters=replace(request.parameters, filters=tuple(drawn)))


def source_text(source: str, patterns: Iterable[re.Pattern[str]]) -> str:
    """Encoded; without a slash where its first segment would pass for an option."""
    text = quote(source, safe=_SOURCE_SAFE)
    segment, slash, _ = text.partition("/")
    is_option = slash and (text.startswith(FILTERS) or any(pattern.fullmatch(segment) for pattern in patterns))
    return text.replace("/", "%2F") if is_option else text


def decoded(text: str) -> str | None:
    """Percent-decoded once; None for bytes that are no UTF-8."""
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode()
    except UnicodeError:
        return None


def signed_part(path: str) -> tuple[str, str] | None:
    """The signature, or ``unsafe``, and the text behind it. None: one of them is missing."""
    path = path.removeprefix("/")
    end = path.find("/", 1)
    return (path[:end], path[end + 1 :]) if 0 < end < len(path) - 1 else None


def edges(digits: Iterable[str]) -> Edges | None:
    """None: all zero, which crops nothing."""
    left, top, right, bottom = (float(whole(one)) for one in digits)
    return Edges(left, top, right, bottom) if left or top or right or bottom else None


class ExtractFocal(Option, frozen=True):
    """For a source that is a thumbor URL with a crop: the crop becomes the focal point, its source the source."""

    word: ClassVar[str] = "extract_focal"

    def changed(self, request: Request) -> Request:
        inner = _with_crop(request.source)
        if inner is None:
            return request
        source, box = inner
        return options.with_focal(replace(request, source=source), box)


def _with_crop(source: str) -> tuple[str, Edges] | None:
    for _ in range(_MOST_LEVELS):
        address = source.partition("://")[2] if source.startswith(("http://", "https://")) else source
        signed = signed_part(address.partition("/")[2] or address)
        if signed is None:
            return None
        path = Path(signed[1])
        for pattern in (_DEBUG, _META, _TRIM):
            path.take(pattern)
        crop = path.take(_CROP)
        for pattern in (_FIT, _SIZE, _HALIGN, _VALIGN, _SMART):
            path.take(pattern)
        path.take_filters()
        source = path.rest
        if crop is not None:
            left, top, right, bottom = (float(whole(one)) for one in crop.groups())
            return source, Edges(left, top, right, bottom)
    return None


_KINDS: filters.Kinds = {**filters.THUMBOR, ExtractFocal.word: ExtractFocal}


def _trimming(match: re.Match[str]) -> Trimming:
    """``trim:10`` passes, and thumbor takes the number for a corner, which is not the top left one."""
    corner, tolerance = match.groups()
    if corner is None:
        return Trimming() if tolerance is None else Trimming("bottom-right")
    return Trimming(cast(Corner, corner), min(whole(tolerance or "0"), _MOST_TOLERANCE))


def _trim_text(trim: Trimming | None) -> list[str]:
    if trim is None:
        return []
    if trim.tolerance:
        return [f"trim:{trim.corner}:{trim.tolerance}"]
    return ["trim" if trim.corner == "top-left" else f"trim:{trim.corner}"]


def _crop_text(crop: Edges | None) -> list[str]:
    if crop is None:
        return []
    left, top, right, bottom = (int(edge) for edge in msgspec.structs.astuple(crop))
    return [f"{left}x{top}:{right}x{bottom}"]


def _side(text: str | None) -> Side:
    return "orig" if text == "orig" else whole(text or "0")
