"""The applications behind the listeners: each takes the handlers of its rows of the table of routes.

All are ASGI handlers: ``POST /`` answers nothing that its clients do not know; the calls of ``/v1`` stream, wait,
and answer errors as problems.
"""

from collections.abc import Mapping
from importlib.metadata import version

from imgserve.api import problems
from imgserve.api.auth import Identify, operator
from imgserve.api.classic import Classic
from imgserve.api.config import Config
from imgserve.api.entrance import NO_MOUNTS, Entrance
from imgserve.api.http.asgi import App, Receive, Scope, Send, answer
from imgserve.api.http.body import Body
from imgserve.api.http.headers import page
from imgserve.api.mounts import Mounts
from imgserve.api.refusals import Refusals
from imgserve.api.routes import Routes, table
from imgserve.errors import ImgserveError
from imgserve.telemetry import metrics

Apps = Mapping[tuple[str, str], App]  # by method and path

_HTML = ((b"content-type", b"text/html; charset=utf-8"),)


def for_clients(
    config: Config,
    upload: Body,
    identify: Identify,
    classic: Classic,
    refusals: Refusals,
    apps: Apps,
    mounts: Mounts = NO_MOUNTS,
) -> App:
    routes = Routes(row for row in table(config, upload) if row.right != "local")
    app = _application({("POST", "/"): classic, ("GET", "/"): _index(), **apps})

    async def deny(error: ImgserveError, scope: Scope, send: Send) -> None:
        if not scope["path"].startswith("/v1/"):
            await classic.deny_unread(error, scope, send)
            return
        metrics.REFUSALS.labels(error.code).inc()
        refusals.note(scope, error.code, error.sentence())
        await problems.answer(error, scope, send)

    return Entrance(routes, identify, app, deny, config.origins(), mounts)


def for_probes(config: Config, identify: Identify, apps: Apps) -> App:
    """For a server that takes no jobs: the routes of ``apps`` alone."""
    routes = Routes(row for row in table(config) if (row.method, row.path) in apps)
    return Entrance(routes, identify, _application(apps), problems.deny, config.origins())


def for_operator(config: Config, upload: Body, classic: Classic, apps: Apps) -> App:
    routes = Routes(row for row in table(config, upload) if row.right == "local" or row.is_operators)
    return Entrance(routes, operator, _application({("POST", "/"): classic, **apps}), problems.deny)


def _application(apps: Apps) -> App:
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        await apps[scope["method"], scope["route"].path](scope, receive, send)

    return handler


def _index() -> App:
    text = page().replace("VERSION", version("imgserve"))

    async def index(scope: Scope, _receive: Receive, send: Send) -> None:
        hosts = (value.decode("latin-1") for name, value in scope["headers"] if name == b"host")
        host = next(hosts, "localhost").replace("<", "").replace("&", "")
        await answer(send, 200, _HTML, text.replace("HOST", host).encode())

    return index
