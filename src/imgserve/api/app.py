"""The applications behind the two listeners: each takes the handlers of its rows of the table of routes.

``POST /`` is raw ASGI: no framework answer can leak into it. So are calls that bring a picture: they stream it.
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
from imgserve.api.routes import Routes, table
from imgserve.errors import ImgserveError


def for_clients(
    config: Config,
    upload: Body,
    identify: Identify,
    classic: Classic,
    raw: Mapping[tuple[str, str], App],
    handlers: Iterable[HTTPRouteHandler],
) -> App:
    """``raw``: further ASGI handlers by method and path."""
    pages = _litestar([_index(), *handlers])
    apps: dict[tuple[str, str], App] = {("POST", "/"): classic, **raw}

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        await apps.get((scope["method"], scope["route"].path), pages)(scope, receive, send)

    async def deny(error: ImgserveError, scope: Scope, send: Send) -> None:
        is_native = scope["path"].startswith("/v1/")
        await (problems.deny if is_native else classic.deny_unread)(error, scope, send)

    routes = Routes(row for row in table(config, upload) if row.right != "local")
    return Entrance(routes, identify, handler, deny, config.origins())


def for_operator(config: Config, upload: Body, handlers: Iterable[HTTPRouteHandler]) -> App:
    routes = Routes(row for row in table(config, upload) if row.right == "local")
    return Entrance(routes, operator, _litestar(handlers), problems.deny)


def _litestar(handlers: Iterable[HTTPRouteHandler]) -> Any:
    return Litestar([*handlers], exception_handlers=problems.HANDLERS, openapi_config=None, logging_config=None)


def _index() -> HTTPRouteHandler:
    text = page().replace("VERSION", version("imgserve"))

    @get("/", media_type=MediaType.HTML, sync_to_thread=False)
    def index(request: Request[Any, Any, Any]) -> str:
        host = request.headers.get("host", "localhost").replace("<", "").replace("&", "")
        return text.replace("HOST", host)

    return index
