"""The applications behind the two listeners: each takes the handlers of its rows of the table of routes.

``POST /`` is raw ASGI: no framework answer can leak into it.
"""

from collections.abc import Iterable
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
from imgserve.api.http.headers import page
from imgserve.api.routes import Routes, table


def for_clients(config: Config, identify: Identify, classic: Classic, handlers: Iterable[HTTPRouteHandler]) -> App:
    pages = _litestar([_index(), *handlers])

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        is_classic = scope["route"].path == "/" and scope["method"] == "POST"
        await (classic if is_classic else pages)(scope, receive, send)

    routes = Routes(row for row in table(config) if row.right != "local")
    return Entrance(routes, identify, handler, classic.deny_unread, config.origins())


def for_operator(config: Config, handlers: Iterable[HTTPRouteHandler]) -> App:
    routes = Routes(row for row in table(config) if row.right == "local")
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
