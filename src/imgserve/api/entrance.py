"""The first application behind each listener: applies the row of a route to each request.

In: ASGI from ``http/connection``. Every answer has the row's headers, and X-Request-Id. The principal is identified
before a handler is called, and before a path is answered with 404. A handler reads ``scope["route"]``,
``scope["principal"]`` and ``scope["request_id"]``; that of a mount reads ``scope["cors"]``, headers of its answer.
"""

import re
from collections.abc import Awaitable, Callable, Mapping

from imgserve.api import problems
from imgserve.api.auth import Identify
from imgserve.api.http import cors
from imgserve.api.http.asgi import NO_CONTENT, App, Receive, Scope, Send, adding, answer, new_request_id
from imgserve.api.http.lingering import Lingering, has_body
from imgserve.api.mounts import Mounts
from imgserve.api.problems import MethodNotAllowed, NoSuchPage
from imgserve.api.protected import NotAuthorised
from imgserve.api.routes import ELSEWHERE, Route, Routes
from imgserve.errors import ImgserveError
from imgserve.telemetry import logs

# A client's own id is kept if it is such a token: it stands in the log.
_REQUEST_ID = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")

NO_MOUNTS = Mounts()

Deny = Callable[[ImgserveError, Scope, Send], Awaitable[None]]


class Entrance:
    """``app`` has the handlers of all ``routes``; ``deny`` answers a request without a valid principal. ``mounts`` have
    the paths that are no routes.
    """

    def __init__(
        self,
        routes: Routes,
        identify: Identify,
        app: App,
        deny: Deny,
        origins: frozenset[str] = frozenset(),
        mounts: Mounts = NO_MOUNTS,
    ) -> None:
        self._mounts = mounts
        self._routes = routes
        self._identify = identify
        self._app = app
        self._deny = deny
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        rows = self._routes.at(scope["path"])
        mounted = None if rows else self._mounts.at(scope)
        # The right of a path's first row also guards the answer that a method is not allowed.
        usual = next(iter(rows.values()), ELSEWHERE) if mounted is None else mounted.route
        route = rows.get(scope["method"]) or usual
        if has_body(scope):
            lingering = Lingering(receive, send)
            receive, send = lingering.receive, lingering.send
        lines, is_preflight = cors.lines(scope, self._origins if route.has_cors else frozenset())
        scope["cors"] = lines
        request_id = _request_id(scope)
        scope["request_id"] = request_id.decode()
        logs.request.set(scope["request_id"])
        send = adding(send, (*route.headers, (b"x-request-id", request_id), *lines))
        try:
            if is_preflight:  # it never carries a key, and nothing is done for it
                await answer(send, 200, ())
            elif mounted is not None:  # its right is its own: a signature, or a list of sources
                await mounted.app(scope, receive, send)
            else:
                await self._pass(scope, receive, send, rows, route)
        except Exception as error:  # noqa: BLE001 - the boundary: the answer to a bug of ours has the headers too
            await problems.answer(problems.bug(error, scope["path"]), scope, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, rows: Mapping[str, Route], route: Route) -> None:
        try:
            scope["principal"] = self._identify(route.right, scope)
        except NotAuthorised as error:
            await self._deny(error, scope, send)
            return
        scope["route"] = route
        if scope["method"] in rows:
            await self._app(scope, receive, send)
            return
        allowed = ", ".join(sorted({*rows, "OPTIONS"}))
        allow = (b"allow", allowed.encode())
        if not rows:
            logs.event("refused", code=NoSuchPage.code)
            await problems.answer(NoSuchPage(scope["path"]), scope, send)
        elif scope["method"] == "OPTIONS":
            await answer(send, NO_CONTENT, (allow,))
        else:
            logs.event("refused", code=MethodNotAllowed.code)
            refusal = MethodNotAllowed(scope["method"], scope["path"], allowed)
            await problems.answer(refusal, scope, send, allow)


def _request_id(scope: Scope) -> bytes:
    """The client's, or a new one."""
    sent: list[bytes] = [value for name, value in scope["headers"] if name == b"x-request-id"]
    return sent[0] if len(sent) == 1 and _REQUEST_ID.fullmatch(sent[0]) else new_request_id()
