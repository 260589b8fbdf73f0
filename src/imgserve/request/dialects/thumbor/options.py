"""thumbor's filters whose place in the URL does not matter: they change what is asked for, and no pixels themselves."""

import re
from typing import Annotated, ClassVar

import msgspec
from msgspec.structs import replace

from imgserve.request.dialects.dialect import Asked
from imgserve.request.dialects.thumbor.arguments import BOOLEAN, LAST_STRING, POSITIVE, whole
from imgserve.request.dialects.thumbor.parameters import Edges, OutputFormat, Parameters

Request = Asked[Parameters]

_BOX = re.compile(r"(\d++)x(\d++):(\d++)x(\d++)", re.ASCII)
_FORMATS: dict[str, OutputFormat] = {
    "png": "png", "jpeg": "jpeg", "jpg": "jpeg", "gif": "gif", "webp": "webp", "avif": "avif",
    "heic": "heic", "heif": "heic",
}  # fmt: skip
_MOST_BYTES = 999_999_999
_LEAST_BYTES = 100


class Option(msgspec.Struct, frozen=True):
    """Its fields are its arguments (``arguments``)."""

    word: ClassVar[str]

    def changed(self, request: Request) -> Request:
        raise NotImplementedError


class FormatOption(Option, frozen=True):
    """Of several the last one counts, also if it is unknown: then the format is the source's."""

    word: ClassVar[str] = "format"

    name: Annotated[str, LAST_STRING]

    def changed(self, request: Request) -> Request:
        return _with(request, format=_FORMATS.get(self.name.lower()))


class QualityOption(Option, frozen=True):
    word: ClassVar[str] = "quality"

    quality: Annotated[int, POSITIVE]

    def changed(self, request: Request) -> Request:
        return _with(request, quality=min(max(self.quality, 1), 100))


class MaxBytesOption(Option, frozen=True):
    word: ClassVar[str] = "max_bytes"

    size_bytes: Annotated[int, POSITIVE]

    def changed(self, request: Request) -> Request:
        return _with(request, max_bytes=min(max(self.size_bytes, _LEAST_BYTES), _MOST_BYTES))


class MaxAgeOption(Option, frozen=True):
    word: ClassVar[str] = "max_age"

    age_s: Annotated[int, POSITIVE]

    def changed(self, request: Request) -> Request:
        return replace(request, answer=replace(request.answer, max_age_s=self.age_s))


class AutoJpgOption(Option, frozen=True):
    """Where the settings turn it on for all, thumbor turns it off for a URL with the filter, whatever its value."""

    word: ClassVar[str] = "autojpg"

    is_on: Annotated[bool, BOOLEAN] = True

    def changed(self, request: Request) -> Request:
        return _with(request, is_auto_jpg=self.is_on)


class CoverOption(Option, frozen=True):
    word: ClassVar[str] = "cover"

    def changed(self, request: Request) -> Request:
        return _with(request, is_cover=True)


class StretchOption(Option, frozen=True):
    word: ClassVar[str] = "stretch"

    def changed(self, request: Request) -> Request:
        return _with(request, is_stretched=True)


class NoUpscaleOption(Option, frozen=True):
    word: ClassVar[str] = "no_upscale"

    def changed(self, request: Request) -> Request:
        return _with(request, is_kept_small=True)


class FocalOption(Option, frozen=True):
    word: ClassVar[str] = "focal"

    box: Annotated[str, LAST_STRING]

    def changed(self, request: Request) -> Request:
        match = _BOX.match(self.box)
        if match is None:
            return request
        left, top, right, bottom = (float(whole(digits)) for digits in match.groups())
        return with_focal(request, Edges(left, top, right, bottom))


def with_focal(request: Request, box: Edges) -> Request:
    """A box without an area has no weight."""
    if box.left == box.right or box.top == box.bottom:
        return request
    return _with(request, focals=(*request.parameters.focals, box))


def _with(request: Request, **changes: object) -> Request:
    return replace(request, parameters=replace(request.parameters, **changes))


def generated(request: Request) -> list[str]:
    """The filters that a request has options of, as ``name(arguments)``."""
    parameters, answer = request.parameters, request.answer
    words = [f"focal({_box_text(box)})" for box in parameters.focals]
    flags = {"stretch": parameters.is_stretched, "no_upscale": parameters.is_kept_small, "cover": parameters.is_cover}
    words += [f"{word}()" for word, is_set in flags.items() if is_set]
    values: dict[str, object] = {
        "format": parameters.format,
        "quality": parameters.quality,
        "max_bytes": parameters.max_bytes,
        "max_age": answer.max_age_s,
    }
    words += [f"{word}({value})" for word, value in values.items() if value is not None]
    if parameters.is_auto_jpg is not None:
        words.append(f"autojpg({str(parameters.is_auto_jpg).lower()})")
    return words


def _box_text(box: Edges) -> str:
    left, top, right, bottom = (int(edge) for edge in (box.left, box.top, box.right, box.bottom))
    return f"{left}x{top}:{right}x{bottom}"
