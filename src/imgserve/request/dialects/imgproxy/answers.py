"""Statuses, bodies and headers of answers: errors and parameters in, what is sent out. For ``dialect``.

Bodies tell nothing about the server or the source; the log has the details.
"""

from math import ceil

from imgserve.errors import ImgserveError
from imgserve.request.dialects.dialect import Asked, Header, Refusal
from imgserve.request.dialects.disposition import content_disposition
from imgserve.request.dialects.imgproxy.parameters import Parameters
from imgserve.request.dialects.imgproxy.refused import ImgproxyRefused
from imgserve.request.faults import RequestInvalid

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
    return (content_disposition("attachment" if is_attachment else "inline", asked, media_type),)


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
