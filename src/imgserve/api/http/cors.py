"""CORS headers (Fetch standard) for pages of the listed origins; without a list there are none.

``entrance`` adds them to every answer, so that a listed page can read refusals too. Keys travel in Authorization and
there are no cookies, so credentials are never allowed.
"""

from imgserve.api.http.asgi import Headers, Scope

_METHODS = b"GET, HEAD, POST"
_REQUEST_HEADERS = b"authorization, content-type, idempotency-key, last-event-id, prefer, x-request-id"
_SHOWN_HEADERS = (
    b"idempotent-replayed, location, preference-applied, retry-after, server-timing, x-imgserve-detail, x-imgserve-job,"
    b" x-request-id"
)
_REMEMBERED_S = b"600"


def lines(scope: Scope, origins: frozenset[str]) -> tuple[Headers, bool]:
    """Headers for the answer; and whether the request is a preflight of a listed origin, which needs nothing else."""
    if not origins:
        return (), False
    headers = dict(scope["headers"])
    origin = headers.get(b"origin", b"")
    vary = (b"vary", b"Origin")
    if origin.decode("latin-1") not in origins:
        return (vary,), False
    allowed = ((b"access-control-allow-origin", origin), vary)
    if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
        return (*allowed, *_preflight(headers)), True
    return (*allowed, (b"access-control-expose-headers", _SHOWN_HEADERS)), False


def _preflight(headers: dict[bytes, bytes]) -> Headers:
    allowed: Headers = (
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _REQUEST_HEADERS),
        (b"access-control-max-age", _REMEMBERED_S),
    )
    if headers.get(b"access-control-request-private-network") == b"true":
        return (*allowed, (b"access-control-allow-private-network", b"true"))
    return allowed
