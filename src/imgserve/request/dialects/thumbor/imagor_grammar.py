"""imagor's URL without its signature: text in, a request out, and back.

    [meta/][trim/][crop/][fit/][stretch/][size/][padding/][halign/][valign/][smart/][filters:…/]source

It is thumbor's with more words (imagor, ``imagorpath/parse.go``). Read from left to right, as in ``grammar``.
"""

import re
from typing import cast
from urllib.parse import quote

from imgserve.request.dialects.dialect import Answer
from imgserve.request.dialects.thumbor import grammar, imagor_filters, imagor_options
from imgserve.request.dialects.thumbor.arguments import decimal, decimal_text, whole
from imgserve.request.dialects.thumbor.grammar import FILTERS, Path
from imgserve.request.dialects.thumbor.imagor_overlay import BASE64
from imgserve.request.dialects.thumbor.imagor_overlay import decoded as without_base64
from imgserve.request.dialects.thumbor.options import Request
from imgserve.request.dialects.thumbor.parameters import (
    Corner,
    Edges,
    Fit,
    HAlign,
    Imagor,
    Padding,
    Parameters,
    Trimming,
    VAlign,
)

_NUMBER = r"(\d++(?:\.\d++)?|\.\d++)"
_META, _STRETCH, _SMART = (re.compile(word) for word in ("meta", "stretch", "smart"))
_TRIM = re.compile(r"trim(?::(top-left|bottom-right))?(?::(\d++))?", re.ASCII)
_CROP = re.compile(rf"{_NUMBER}x{_NUMBER}:{_NUMBER}x{_NUMBER}", re.ASCII)
_FIT = re.compile(r"(?:adaptive-)?(?:full-)?fit-in")
_SIZE = re.compile(r"(-)?(\d++)?x(-)?(\d++)?", re.ASCII)
_PADDING = re.compile(r"(\d++)x(\d++)(?::(\d++)x(\d++))?", re.ASCII)
_HALIGN, _VALIGN = re.compile("left|center|right"), re.compile("top|middle|bottom")
_OPTIONS = (_META, _TRIM, _CROP, _FIT, _STRETCH, _SIZE, _PADDING, _HALIGN, _VALIGN, _SMART)
_MOST_TOLERANCE = 255
_FILTER_SAFE = ":@!$&'()*+,;=~|[]%/"


def parse(text: str) -> Request | None:
    """``text`` is the path behind the signature, not decoded. None: there is no source, or no UTF-8."""
    path = Path(text.lstrip("/"))
    is_meta = path.take(_META) is not None
    trim, crop, fit = path.take(_TRIM), path.take(_CROP), path.take(_FIT)
    is_stretched = path.take(_STRETCH) is not None
    size, padding = path.take(_SIZE), path.take(_PADDING)
    halign, valign = path.take(_HALIGN), path.take(_VALIGN)
    parameters = Parameters(
        trim=None if trim is None else _trimming(trim),
        crop=None if crop is None else _edges(crop),
        fit=cast(Fit, fit[0] if fit else ""),
        is_stretched=is_stretched,
        width=whole(size[2] or "0") if size else 0,
        height=whole(size[4] or "0") if size else 0,
        is_flopped=bool(size and size[1]),
        is_flipped=bool(size and size[3]),
        halign=cast(HAlign, halign[0] if halign else "center"),
        valign=cast(VAlign, valign[0] if valign else "middle"),
        is_smart=path.take(_SMART) is not None,
        is_meta=is_meta,
        imagor=Imagor(Padding() if padding is None else _padding(padding)),
    )
    parts, rest = (
        imagor_filters.split(path.rest.removeprefix(FILTERS)) if path.rest.startswith(FILTERS) else ([], path.rest)
    )
    name = without_base64(rest)
    source = grammar.decoded(rest) if name == rest else name
    if not source:
        return None
    request = Request(source, parameters, Answer(kind="info" if is_meta else "picture"))
    return grammar.with_filters(request, map(imagor_filters.read, parts))


def generate(request: Request) -> str:
    """The text that ``parse`` reads."""
    asked = request.parameters
    padding = (asked.imagor or Imagor()).padding
    words = ["meta"] * asked.is_meta + _trim_text(asked.trim) + _crop_text(asked.crop)
    words += [asked.fit] * bool(asked.fit)
    # A padding alone would pass for a size.
    if asked.width or asked.height or asked.is_flopped or asked.is_flipped or padding != Padding():
        words.append(f"{'-' * asked.is_flopped}{asked.width}x{'-' * asked.is_flipped}{asked.height}")
    if padding != Padding():
        words.append(f"{padding.left}x{padding.top}:{padding.right}x{padding.bottom}")
    words += [asked.halign] * (asked.halign != "center") + [asked.valign] * (asked.valign != "middle")
    words += ["smart"] * asked.is_smart
    drawn = [*imagor_options.generated(request), *imagor_filters.write(asked.filters)]
    if drawn:
        words.append(FILTERS + quote(":".join(drawn), safe=_FILTER_SAFE))
    source = grammar.source_text(request.source, _OPTIONS)
    if source.startswith(("/", BASE64)):
        source = f"%{ord(source[0]):X}{source[1:]}"
    return "/".join([*words, source])


def _trimming(match: re.Match[str]) -> Trimming:
    """Without a tolerance it is 1."""
    corner, tolerance = match.groups()
    return Trimming(cast(Corner, corner or "top-left"), min(max(whole(tolerance or "0"), 1), _MOST_TOLERANCE))


def _trim_text(trim: Trimming | None) -> list[str]:
    return [] if trim is None else [f"trim:{trim.corner}:{trim.tolerance}"]


def _edges(match: re.Match[str]) -> Edges | None:
    left, top, right, bottom = map(decimal, match.groups())
    return Edges(left, top, right, bottom) if left or top or right or bottom else None


def _crop_text(crop: Edges | None) -> list[str]:
    if crop is None:
        return []
    left, top, right, bottom = map(decimal_text, (crop.left, crop.top, crop.right, crop.bottom))
    return [f"{left}x{top}:{right}x{bottom}"]


def _padding(match: re.Match[str]) -> Padding:
    """The right and the bottom follow the left and the top."""
    left, top, right, bottom = (None if digits is None else whole(digits) for digits in match.groups())
    return Padding(left or 0, top or 0, left or 0 if right is None else right, top or 0 if bottom is None else bottom)
