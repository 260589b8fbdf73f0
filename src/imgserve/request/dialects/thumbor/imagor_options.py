"""imagor's filters whose place in the URL does not matter: they change what is asked for, and no pixels themselves."""

import re
from typing import Annotated, ClassVar
from urllib.parse import quote

from msgspec.structs import replace

from imgserve.request.dialects.thumbor.arguments import NUMBER, POSITIVE, TEXT, Kind, decimal, decimal_text
from imgserve.request.dialects.thumbor.options import Option, Request
from imgserve.request.dialects.thumbor.parameters import Edges, Imagor, OutputFormat

_NUMBER = r"(?:\d++(?:\.\d++)?|\.\d++)"
PLACE = Kind(re.compile(rf"{_NUMBER}(?:[x:]{_NUMBER}){{0,3}}", re.ASCII), str)
PROFILE = Kind(re.compile("srgb|p3"), str)
_NUMBERS = re.compile(_NUMBER, re.ASCII)
_FORMATS: dict[str, OutputFormat] = {
    "jpeg": "jpeg", "jpg": "jpeg", "png": "png", "gif": "gif", "webp": "webp", "avif": "avif", "tiff": "tiff",
    "jxl": "jxl", "jp2": "jp2", "heif": "heic", "bmp": "jpeg", "pdf": "jpeg", "svg": "jpeg",
}  # fmt: skip
_QUARTERS = (90, 180, 270)
_MOST_PAGE, _MOST_DPI, _LEAST_DPI, _MOST_FRAMES = 10_000, 2_400, 1, 10_000


class ImagorOption(Option, frozen=True):
    """One that only imagor has, or that means something else there."""

    def changed(self, request: Request) -> Request:
        imagor = self.of_imagor(request.parameters.imagor or Imagor())
        return replace(request, parameters=replace(request.parameters, imagor=imagor))

    def of_imagor(self, imagor: Imagor) -> Imagor:
        raise NotImplementedError


class FormatOption(Option, frozen=True):
    word: ClassVar[str] = "format"

    name: Annotated[str, TEXT]

    def changed(self, request: Request) -> Request:
        name = _FORMATS.get(self.name.lower(), request.parameters.format)
        return replace(request, parameters=replace(request.parameters, format=name))


class AutoJpgOption(Option, frozen=True):
    """The same as ``format(jpeg)``."""

    word: ClassVar[str] = "autojpg"

    def changed(self, request: Request) -> Request:
        return replace(request, parameters=replace(request.parameters, format="jpeg"))


class FocalOption(Option, frozen=True):
    """A box or a point; of shares of the sides if all numbers are at most 1."""

    word: ClassVar[str] = "focal"

    place: Annotated[str, PLACE]
    y: Annotated[str, PLACE] = ""

    def changed(self, request: Request) -> Request:
        numbers = [decimal(number) for text in (self.place, self.y) for number in _NUMBERS.findall(text)]
        match numbers:
            case [left, top]:
                right, bottom = left, top
            case [left, top, right, bottom] if right > left and bottom > top:
                pass
            case _:
                return request
        focals = (*request.parameters.focals, Edges(left, top, right, bottom))
        return replace(request, parameters=replace(request.parameters, focals=focals))


class AttachmentOption(Option, frozen=True):
    word: ClassVar[str] = "attachment"

    filename: Annotated[str, TEXT] = ""

    def changed(self, request: Request) -> Request:
        stem = self.filename.rpartition(".")[0] or self.filename
        return replace(request, answer=replace(request.answer, filename=stem, is_attachment=True))


class ExpireOption(Option, frozen=True):
    word: ClassVar[str] = "expire"

    at_ms: Annotated[int, Kind(re.compile(r"\d{1,16}", re.ASCII), int)]

    def changed(self, request: Request) -> Request:
        """0: never."""
        at_s = max(1, self.at_ms // 1000) if self.at_ms else None
        return replace(request, answer=replace(request.answer, expires_at_s=at_s))


class RawOption(Option, frozen=True):
    """The source as it is."""

    word: ClassVar[str] = "raw"

    def changed(self, request: Request) -> Request:
        imagor = replace(request.parameters.imagor or Imagor(), is_raw=True)
        parameters = replace(request.parameters, imagor=imagor)
        return replace(request, parameters=parameters, answer=replace(request.answer, kind="raw"))


class UpscaleOption(ImagorOption, frozen=True):
    word: ClassVar[str] = "upscale"

    def of_imagor(self, imagor: Imagor) -> Imagor:
        return replace(imagor, is_enlarged=True)


class NoUpscaleOption(ImagorOption, frozen=True):
    word: ClassVar[str] = "no_upscale"

    def of_imagor(self, imagor: Imagor) -> Imagor:
        return replace(imagor, is_enlarged=False)


class OrientOption(ImagorOption, frozen=True):
    word: ClassVar[str] = "orient"

    degrees: Annotated[int, NUMBER]

    def of_imagor(self, imagor: Imagor) -> Imagor:
        return replace(imagor, orient=self.degrees) if self.degrees in _QUARTERS else imagor


class PageOption(ImagorOption, frozen=True):
    word: ClassVar[str] = "page"

    number: Annotated[int, POSITIVE]

    def of_imagor(self, imagor: Imagor) -> Imagor:
        return replace(imagor, page=min(self.number, _MOST_PAGE))


class DpiOption(ImagorOption, frozen=True):
    word: ClassVar[str] = "dpi"

    number: Annotated[int, POSITIVE]

    def of_imagor(self, imagor: Imagor) -> Imagor:
        return replace(imagor, dpi=min(max(self.number, _LEAST_DPI), _MOST_DPI))


class MaxFramesOption(ImagorOption, frozen=True):
    word: ClassVar[str] = "max_frames"

    number: Annotated[int, POSITIVE]

    def of_imagor(self, imagor: Imagor) -> Imagor:
        return replace(imagor, max_frames=min(self.number, _MOST_FRAMES))


class LosslessOption(ImagorOption, frozen=True):
    word: ClassVar[str] = "lossless"

    def of_imagor(self, imagor: Imagor) -> Imagor:
        return replace(imagor, is_lossless=True)


class PaletteOption(ImagorOption, frozen=True):
    word: ClassVar[str] = "palette"

    def of_imagor(self, imagor: Imagor) -> Imagor:
        return replace(imagor, has_palette=True)


class BitdepthOption(ImagorOption, frozen=True):
    word: ClassVar[str] = "bitdepth"

    bits: Annotated[int, POSITIVE]

    def of_imagor(self, imagor: Imagor) -> Imagor:
        return replace(imagor, bit_depth=self.bits) if self.bits in (8, 10, 16) else imagor


class StripMetadataOption(ImagorOption, frozen=True):
    word: ClassVar[str] = "strip_metadata"

    def of_imagor(self, imagor: Imagor) -> Imagor:
        return replace(imagor, has_metadata=False, profile="srgb")


class StripExifOption(ImagorOption, frozen=True):
    word: ClassVar[str] = "strip_exif"

    def of_imagor(self, imagor: Imagor) -> Imagor:
        return replace(imagor, has_metadata=False)


class StripIccOption(ImagorOption, frozen=True):
    word: ClassVar[str] = "strip_icc"

    def of_imagor(self, imagor: Imagor) -> Imagor:
        return replace(imagor, profile="srgb")


class ColorspaceOption(ImagorOption, frozen=True):
    word: ClassVar[str] = "to_colorspace"

    profile: Annotated[str, PROFILE] = "srgb"

    def of_imagor(self, imagor: Imagor) -> Imagor:
        return replace(imagor, profile="p3" if self.profile == "p3" else "srgb")


def generated(request: Request) -> list[str]:
    """The filters of a request's options, as ``name(arguments)``, not encoded."""
    asked, answer = request.parameters, request.answer
    imagor = asked.imagor or Imagor()
    words = [f"focal({_box_text(box)})" for box in asked.focals]
    flags = {
        "stretch": asked.is_stretched,
        "upscale": imagor.is_enlarged is True,
        "no_upscale": imagor.is_enlarged is False,
        "lossless": imagor.is_lossless,
        "palette": imagor.has_palette,
        "strip_exif": not imagor.has_metadata,
        "raw": imagor.is_raw,
    }
    words += [f"{word}()" for word, is_set in flags.items() if is_set]
    numbers = {
        "orient": imagor.orient,
        "page": imagor.page,
        "dpi": imagor.dpi,
        "max_frames": imagor.max_frames,
        "bitdepth": imagor.bit_depth,
    }
    words += [f"{word}({number})" for word, number in numbers.items() if number]
    values: dict[str, object] = {
        "format": asked.format,
        "quality": asked.quality,
        "max_bytes": asked.max_bytes,
        "max_age": answer.max_age_s,
        "expire": None if answer.expires_at_s is None else answer.expires_at_s * 1000,
        "to_colorspace": None if imagor.profile == "source" else imagor.profile,
    }
    words += [f"{word}({value})" for word, value in values.items() if value is not None]
    if answer.is_attachment:
        # The last dot begins an extension, which is left out.
        stem = f"{answer.filename}.x" if "." in answer.filename else answer.filename
        words.append(f"attachment({quote(stem, safe='')})")
    return words


def _box_text(box: Edges) -> str:
    left, top, right, bottom = map(decimal_text, (box.left, box.top, box.right, box.bottom))
    return f"{left}x{top}" if (left, top) == (right, bottom) else f"{left}x{top}:{right}x{bottom}"
