"""The applications behind the two listeners: each takes the handlers of its rows of the table of routes.

``POST /`` is raw ASGI: no framework answer can leak into it. So are the calls of ``/v1``: they stream, wait, and answer
each error as a problem.
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from litestar import Litestar, MediaType, Request, get
from litestar.handlers import HTTPRouteHandler

from imgserve.api import problems
from imgserve.api.auth import Identify, operator
from imgserve.api.classic import Classic
from imgserve.api.config import Config
from imgserve.api.entrance import Entrance
from imgserve.api.http.asgi import App, Receive, Scope, Send
from imgserve.api.http.body import Body
from imgserve.api.http.headers import page
from imgserve.api.refusals import Refusals
from imgserve.api.routes import Routes, table
from imgserve.errors import ImgserveError
from imgserve.telemetry import metrics

Apps = Mapping[tuple[str, str], App]  # by method and path


def for_clients(
    config: Config,
    upload: Body,
    identify: Identify,
    classic: Classic,
    refusals: Refusals,
    raw: Apps,
    handlers: Iterable[HTTPRouteHandler],
) -> App:
    routes = Routes(row for row in table(config, upload) if row.right != "local")
    pages: Any = Litestar(
        [_index(), *handlers], exception_handlers=problems.HANDLERS, openapi_config=None, logging_config=None
    )
    app = _application({("POST", "/"): classic, **raw}, pages)

    async def deny(error: ImgserveError, scope: Scope, send: Send) -> None:
        if not scope["path"].startswith("/v1/"):
            await classic.deny_unread(error, scope, send)
            return
        metrics.REFUSALS.labels(error.code).inc()
        refusals.note(scope, error.code, error.sentence())
        await problems.answer(error, scope, send)

    return Entrance(routes, identify, app, deny, config.origins())


def for_operator(config: Config, upload: Body, classic: Classic, raw: Apps) -> App:
    routes = Routes(row for row in table(config, upload) if row.right == "local" or row.is_operators)
    return Entrance(routes, operator, _application({("POST", "/"): classic, **raw}), problems.deny)


def _application(apps: Apps, pages: App | None = None) -> App:
    """``pages`` has the handlers of all other rows."""

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        app = apps.get((scope["method"], scope["route"].path), pages)
        assert app is not None, "a row without a handler"
        await app(scope, receive, send)

    return handler


def _index() -> HTTPRouteHandler:
    text = page().replace("VERSION", version("imgserve"))

    @get("/", media_type=MediaType.HTML, sync_to_thread=False)
    def index(request: Request[Any, Any, Any]) -> str:
        host = request.headers.get("host", "localhost").replace("<", "").replace("&", "")
        return text.replace("HOST", host)

    return index
