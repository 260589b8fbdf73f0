"""Statuses, bodies and headers of answers: errors and parameters in, what is sent out. For ``dialect``.

Bodies tell nothing about the server or the source; the log has the details.
"""

from math import ceil
from urllib.parse import quote, unquote

from imgserve.errors import ImgserveError
from imgserve.request.dialects.dialect import Asked, Header, Refusal
from imgserve.request.dialects.imgproxy.parameters import Parameters
from imgserve.request.dialects.imgproxy.refused import ImgproxyRefused
from imgserve.request.faults import RequestInvalid

_FALLBACK_NAME = "image"
_MOST_NAME = 200  # characters: file systems take 255 bytes, an extension included

# Status and body, by the error's code.
_ANSWERS: dict[str, tuple[int, bytes]] = {
    "source_refused": (404, b"Invalid source URL"),
    "source_not_found": (404, b"Source is unreachable"),
    "source_unavailable": (404, b"Source is unreachable"),
    "source_lost": (404, b"Source is unreachable"),
    "root_unavailable": (404, b"Source is unreachable"),
    "credential_not_allowed": (404, b"Source is unreachable"),
    "source_too_large": (422, b"Invalid source image"),
    "picture_too_large": (422, b"Invalid source image"),
    "request_invalid": (422, b"Invalid source image"),
    "source_too_small": (422, b"Invalid source image"),
    "nothing_left": (422, b"Invalid source image"),
    "not_svg": (422, b"Invalid source image"),
    "page_missing": (422, b"Invalid source image"),
    "source_unreadable": (422, b"Broken or unsupported image"),
    "svg_invalid": (422, b"Broken or unsupported image"),
    "render_failed": (422, b"Broken or unsupported image"),
    "max_bytes_unreachable": (422, b"Broken or unsupported image"),
    "render_timeout": (503, b"Timeout"),
    "no_worker": (503, b"Timeout"),
    "on_demand_full": (429, b"Too many requests"),
    "on_demand_quota_full": (429, b"Too many requests"),
    "transfers_busy": (429, b"Too many requests"),
    "rate_limited": (429, b"Too many requests"),
    "draining": (503, b"Service unavailable"),
}
_EXTENSIONS = {"jpeg": "jpg", "icon": "ico"}
_INTERNAL = (500, b"Internal error")
_LATE = (504, b"Source is unreachable")


def refusal(error: ImgserveError) -> Refusal:
    status, body = _answer(error)
    headers: tuple[Header, ...] = ()
    if error.retry_after_s is not None:
        headers = ((b"retry-after", str(ceil(error.retry_after_s)).encode()),)
    return Refusal(status, body, headers=headers)


def headers(asked: Asked[Parameters], media_type: str) -> tuple[Header, ...]:
    # What is no picture is not shown.
    is_attachment = asked.answer.is_attachment or not media_type.startswith("image/")
    kind = "attachment" if is_attachment else "inline"
    return ((b"content-disposition", _disposition(kind, _stem(asked), _extension(media_type))),)


def _answer(error: ImgserveError) -> tuple[int, bytes]:
    if isinstance(error, ImgproxyRefused):
        return error.status, error.body
    if isinstance(error, RequestInvalid) and all(fault.code.startswith("source_") for fault in error.faults):
        return _ANSWERS["source_refused"]
    status, body = _ANSWERS.get(error.code, _INTERNAL)
    if error.code not in ("source_unavailable", "source_not_found"):
        return status, body
    if getattr(error, "is_late", False):
        return _LATE
    # The source's own status, where its host gave one.
    answered = getattr(error, "answered", None) or status
    return (502 if answered >= 500 else answered if answered >= 400 else status), body


def _stem(asked: Asked[Parameters]) -> str:
    """The name that is asked for, else that of the source's file, without its extension."""
    if asked.answer.filename:
        return asked.answer.filename
    path = asked.source.partition("?")[0].partition("#")[0]
    _, _, behind = path.partition("://")
    # A URL's host is no file; a name beneath the base URL is one without a slash too.
    name = "" if behind and "/" not in behind else unquote((behind or path).rpartition("/")[2])
    stem, dot, _ = name.rpartition(".")
    return (stem if dot else name) or _FALLBACK_NAME


def _extension(media_type: str) -> str:
    """By the kind of the bytes: ``image/svg+xml`` is ``svg``, ``image/jpeg`` is ``jpg``; else ``bin``."""
    family, _, name = media_type.partition("/")
    word = name.partition("+")[0].removeprefix("x-")
    return "bin" if family != "image" else _EXTENSIONS.get(word, word)


def _disposition(kind: str, stem: str, extension: str) -> bytes:
    """A name beyond ASCII stands in RFC 6266's second parameter, and the first has a mark for each character."""
    stem = "".join(one for one in stem if one.isprintable())[:_MOST_NAME]
    plain = "".join(one if one.isascii() else "_" for one in stem).replace('"', "%22").replace("\\", "%5C")
    text = f'{kind}; filename="{plain}.{extension}"'
    if not stem.isascii():
        text += f"; filename*=UTF-8''{quote(f'{stem}.{extension}', safe='')}"
    return text.encode()
