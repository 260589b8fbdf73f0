"""The answers to errors: thumbor's status for each code, and no body. Called by ``dialect``.

thumbor has 400 for URLs and pictures, 404 for sources that cannot be had, 500 for all else. An error
that it does not know, such as a server that has too much to do, has the status that it has everywhere here.
"""

from math import ceil

from imgserve.errors import ImgserveError
from imgserve.request.dialects.dialect import Header, Refusal, UrlRefused

_BAD_REQUEST, _NOT_FOUND, _INTERNAL, _LATE, _SLOW = 400, 404, 500, 504, 503
_STATUS = {
    "request_invalid": _BAD_REQUEST,
    "source_refused": _BAD_REQUEST,
    "source_unreadable": _BAD_REQUEST,
    "source_too_small": _BAD_REQUEST,
    "page_missing": _BAD_REQUEST,
    "svg_invalid": _BAD_REQUEST,
    "picture_too_large": _BAD_REQUEST,
    "not_svg": _BAD_REQUEST,
    "nothing_left": _BAD_REQUEST,
    "max_bytes_unreachable": _BAD_REQUEST,
    "root_unavailable": _NOT_FOUND,
    "source_lost": _NOT_FOUND,
    "source_not_found": _NOT_FOUND,
    "source_too_large": _NOT_FOUND,
    "source_unavailable": _NOT_FOUND,
    "render_timeout": _SLOW,
}
_BUSY = (429, 503)


def refusal(error: ImgserveError) -> Refusal:
    headers = retry_after(error)
    if isinstance(error, UrlRefused) or error.status in _BUSY:
        return Refusal(error.status, headers=headers)
    if error.code == "source_unavailable" and getattr(error, "is_late", False):
        return Refusal(_LATE, headers=headers)
    return Refusal(_STATUS.get(error.code, _INTERNAL), headers=headers)


def retry_after(error: ImgserveError) -> tuple[Header, ...]:
    """For a server that has too much to do."""
    if error.status not in _BUSY or error.retry_after_s is None:
        return ()
    return ((b"retry-after", str(ceil(error.retry_after_s)).encode()),)
