"""imagor's dialect: thumbor's grammar with more words, and imagor's meaning where the two differ."""

from typing import ClassVar
from urllib.parse import unquote

import msgspec
from msgspec.structs import replace

from imgserve.errors import ImgserveError
from imgserve.request.dialects.dialect import (
    Called,
    Described,
    Header,
    Negotiable,
    Planned,
    Refusal,
    UrlRefused,
)
from imgserve.request.dialects.disposition import content_disposition
from imgserve.request.dialects.thumbor import answers, grammar, imagor_grammar, imagor_plan, plan
from imgserve.request.dialects.thumbor.config import Config
from imgserve.request.dialects.thumbor.geometry import Trimmed, box_of
from imgserve.request.dialects.thumbor.options import Request
from imgserve.request.dialects.thumbor.parameters import Parameters
from imgserve.request.dialects.thumbor.refused import BadUrl, NotSigned, UrlExpired
from imgserve.request.dialects.thumbor.signature import is_signature, signature
from imgserve.request.encode import Format
from imgserve.request.faults import RequestInvalid
from imgserve.request.formats import ANIMATED
from imgserve.request.geometry import Part
from imgserve.request.imageinfo import ImageInfo
from imgserve.request.recipe import DEFAULT_LOAD

_UNSAFE = "unsafe"
_PREFERRED: tuple[Format, ...] = ("avif", "webp")
_BUSY, _TIMEOUT, _TOO_LARGE, _UNKNOWN, _NOT_FOUND, _INTERNAL = 429, 408, 422, 406, 404, 500
_OVERLOADED = (429, 503)
_STATUS = {
    "request_invalid": 400,
    "source_refused": 400,
    "source_too_small": 400,
    "source_unreadable": _UNKNOWN,
    "svg_invalid": _UNKNOWN,
    "not_svg": _UNKNOWN,
    "picture_too_large": _TOO_LARGE,
    "source_too_large": _TOO_LARGE,
    "render_timeout": _TIMEOUT,
    "page_missing": _NOT_FOUND,
    "root_unavailable": _NOT_FOUND,
    "source_lost": _NOT_FOUND,
    "source_not_found": _NOT_FOUND,
    "source_unavailable": _NOT_FOUND,
}


class Imagor:
    """``default_scheme``: that of a source, or of a watermark, without one, where the mount has no base URL."""

    name = "thumbor"
    load = DEFAULT_LOAD
    default_scheme: ClassVar[str] = "https"

    def __init__(self, config: Config, *, allow_unsigned: bool = False) -> None:
        self._config = config
        self._allow_unsigned = allow_unsigned

    def parse(self, raw_path: str, negotiable: Negotiable, now_s: float, *, needs_signature: bool = True) -> Request:
        """Raises BadUrl, NotSigned, UrlExpired."""
        signed = grammar.signed_part(f"/{raw_path.lstrip('/')}")
        if signed is None:
            raise BadUrl("expected /SIGNATURE/OPTIONS/SOURCE or /unsafe/OPTIONS/SOURCE")
        is_signed = needs_signature and self._check(*signed)
        request = imagor_grammar.parse(signed[1])
        if request is None:
            raise BadUrl("expected a source in UTF-8 behind the options")
        if request.answer.kind == "raw" and not self._config.allow_raw:
            raise BadUrl("raw() is asked for, and the settings do not allow it")
        expires_at_s = request.answer.expires_at_s
        if expires_at_s is not None and now_s > expires_at_s:
            raise UrlExpired("the time of expire() is over")
        is_open = request.parameters.format is None
        accepted = tuple(one for one in _PREFERRED if is_open and one in negotiable.formats)
        return replace(request, is_signed=is_signed, parameters=replace(request.parameters, accepted=accepted))

    def plan(self, parameters: Parameters, info: ImageInfo) -> Planned:
        """Raises BadUrl, SizeTooLarge, FormatUnknown."""
        return imagor_plan.planned(parameters, info, self._config)

    def trimmed(self, parameters: Parameters, info: ImageInfo, kept: Part) -> Planned:
        """Animations are not trimmed. Raises BadUrl, SizeTooLarge."""
        planned = self.plan(parameters, info)
        trimmed = Trimmed(plan.size_of(info, is_upright=True), kept.left, kept.top)
        made = imagor_plan.operations(parameters, kept.size, has_alpha=info.may_be_transparent, trimmed=trimmed)
        return Planned(replace(planned.recipe, operations=(box_of(kept), *made.operations)))

    def described(self, asked: Request, info: ImageInfo, called: Called, kept: Part | None = None) -> Described:
        """With the result's size and none of EXIF's fields. Raises BadUrl."""
        whole = plan.size_of(info, is_upright=True)
        trimmed = None if kept is None else Trimmed(whole, kept.left, kept.top)
        size = whole if kept is None else kept.size
        made = imagor_plan.operations(asked.parameters, size, has_alpha=info.may_be_transparent, trimmed=trimmed)
        shown = asked.parameters.format or info.format
        body = msgspec.json.encode(
            {
                "format": shown,
                "content_type": "image/svg+xml" if shown == "svg" else f"image/{shown}",
                "width": made.size.width_px,
                "height": made.size.height_px,
                "orientation": 1,
                "pages": info.frames if shown in ANIMATED else 1,
                "bands": 4 if info.may_be_transparent else 3,
                "exif": {},
            }
        )
        return Described(body, "application/json")

    def refusal(self, error: ImgserveError) -> Refusal:
        if isinstance(error, UrlRefused):
            status = error.status
        elif error.status in _OVERLOADED:
            status = _BUSY
        elif isinstance(error, RequestInvalid) and any(fault.code == "result_too_large" for fault in error.faults):
            status = _TOO_LARGE
        else:
            status = _STATUS.get(error.code, _INTERNAL)
        body = msgspec.json.encode({"message": error.title, "status": status})
        return Refusal(status, body, "application/json", answers.retry_after(error))

    def headers(self, asked: Request, info: ImageInfo, planned: Planned) -> tuple[Header, ...]:
        """None of its own."""
        return ()

    def answer_headers(self, asked: Request, media_type: str) -> tuple[Header, ...]:
        return (content_disposition("attachment", asked, media_type),) if asked.answer.is_attachment else ()

    def preflight(self) -> tuple[Header, ...]:
        return ()

    def path(self, request: Request, *, is_signed: bool = True) -> str:
        """The path of a request, with a slash before it, signed by the first key. The opposite of ``parse``."""
        text = imagor_grammar.generate(request)
        if not is_signed:
            return f"/{_UNSAFE}/{text}"
        return f"/{signature(self._config.keys[0].text, text, self._config)}/{text}"

    def _check(self, word: str, text: str) -> bool:
        """Whether the URL is signed, as it was sent or decoded. Raises NotSigned."""
        if word == _UNSAFE and self._allow_unsigned:
            return False
        if word == _UNSAFE or not is_signature(unquote(word), (text, unquote(text)), self._config):
            raise NotSigned("the signature is not that of any key and this URL")
        return True
