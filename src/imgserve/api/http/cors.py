"""Which pages of other origins may use the doors from a browser: none, until they are listed (Fetch standard, CORS).

A pure ASGI middleware around everything, refusals too, because a page that is let in wants to read those. Keys travel
in Authorization and there are no cookies, so credentials are never allowed.
"""

from imgserve.api.auth import App, Receive, Scope, Send

_METHODS = b"GET, HEAD, POST"
_REQUEST_HEADERS = b"authorization, content-type"
_SHOWN_HEADERS = b"x-imgserve-job, retry-after"
_REMEMBERED_S = b"600"

Headers = list[tuple[bytes, bytes]]


class Cors:
    def __init__(self, app: App, origins: frozenset[str]) -> None:
        self._app = app
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"")
        if origin.decode("latin-1") not in self._origins:
            await self._app(scope, receive, _adding(send, [(b"vary", b"Origin")]))
        elif scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await _allow(origin, headers, send)
        else:
            shown = (b"access-control-expose-headers", _SHOWN_HEADERS)
            await self._app(scope, receive, _adding(send, [*_named(origin), shown]))


def _named(origin: bytes) -> Headers:
    return [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]


async def _allow(origin: bytes, headers: dict[bytes, bytes], send: Send) -> None:
    """The answer to a preflight, which never carries a key: it says what may be asked and does nothing."""
    allowed = [
        *_named(origin),
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _REQUEST_HEADERS),
        (b"access-control-max-age", _REMEMBERED_S),
        (b"content-length", b"0"),
    ]
    if headers.get(b"access-control-request-private-network") == b"true":
        allowed.append((b"access-control-allow-private-network", b"true"))
    await send({"type": "http.response.start", "status": 200, "headers": allowed})
    await send({"type": "http.response.body", "body": b""})


def _adding(send: Send, headers: Headers) -> Send:
    async def adding(message: Scope) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *headers]}
        await send(message)

    return adding
