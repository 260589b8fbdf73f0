"""Statuses, bodies and headers of IIIF answers (Image API 3.0, sections 5.1, 6 and 7). Called by ``dialect``.

Any page may read any answer: each has ``Access-Control-Allow-Origin: *``.
"""

from math import ceil

from imgserve.errors import ImgserveError
from imgserve.request.dialects.dialect import Header, Refusal, UrlRefused
from imgserve.request.dialects.iiif.info_json import CONTEXT, PROFILE
from imgserve.request.dialects.iiif.parameters import Version
from imgserve.request.faults import RequestInvalid

ANY_ORIGIN: Header = (b"access-control-allow-origin", b"*")
REDIRECT_STATUS = 303
PREFLIGHT: tuple[Header, ...] = (
    ANY_ORIGIN,
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-max-age", b"86400"),
)
"""Of the answer to OPTIONS of any path."""

_BAD_REQUEST, _NOT_FOUND, _UNPROCESSABLE, _BAD_GATEWAY, _LATE, _INTERNAL, _SLOW = 400, 404, 422, 502, 504, 500, 503
# The section on statuses has no word about a source that is there and cannot be shown: these are HTTP's own.
_STATUS = {
    "source_refused": _NOT_FOUND,
    "source_not_found": _NOT_FOUND,
    "source_lost": _NOT_FOUND,
    "request_invalid": _BAD_REQUEST,
    "source_too_small": _UNPROCESSABLE,
    "nothing_left": _BAD_REQUEST,
    "source_unreadable": _UNPROCESSABLE,
    "source_too_large": _UNPROCESSABLE,
    "page_missing": _UNPROCESSABLE,
    "svg_invalid": _UNPROCESSABLE,
    "picture_too_large": _UNPROCESSABLE,
    "render_failed": _UNPROCESSABLE,
    "render_timeout": _SLOW,
    "source_unavailable": _BAD_GATEWAY,
}
_BUSY = (429, 503)


def refusal(error: ImgserveError) -> Refusal:
    """The body is one line for a person. It tells nothing about the source's place."""
    headers = (ANY_ORIGIN, *_retry_after(error))
    return Refusal(_status(error), f"{error.title}\n".encode(), headers=headers)


def image_headers(version: Version, canonical_uri: str) -> tuple[Header, ...]:
    """``canonical_uri`` empty: it is not known. One Link header: some clients read only the first."""
    links = [f'<{PROFILE[version]}>;rel="profile"']
    if canonical_uri:
        links.append(f'<{canonical_uri}>;rel="canonical"')
    return (ANY_ORIGIN, _link(*links))


def info_headers(version: Version, media_type: str) -> tuple[Header, ...]:
    links = [f'<{PROFILE[version]}>;rel="profile"']
    if version == 2 and media_type == "application/json":
        # JSON-LD 1.0, section 6.8: how plain JSON names its context.
        links.append(f'<{CONTEXT[2]}>;rel="http://www.w3.org/ns/json-ld#context";type="application/ld+json"')
    return (ANY_ORIGIN, (b"vary", b"Accept"), _link(*links))


def _link(*links: str) -> Header:
    return b"link", ",".join(links).encode("ascii")


def _status(error: ImgserveError) -> int:
    if isinstance(error, UrlRefused) or error.status in _BUSY:
        return error.status
    # A name that the mount does not allow, or that is none, is an unknown identifier.
    if isinstance(error, RequestInvalid) and all(fault.code.startswith("source_") for fault in error.faults):
        return _NOT_FOUND
    if error.code == "source_unavailable" and getattr(error, "is_late", False):
        return _LATE
    return _STATUS.get(error.code, _INTERNAL)


def _retry_after(error: ImgserveError) -> tuple[Header, ...]:
    if error.status not in _BUSY or error.retry_after_s is None:
        return ()
    return ((b"retry-after", str(ceil(error.retry_after_s)).encode()),)
