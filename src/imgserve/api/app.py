"""The TCP listener serves the original protocol, and the handlers of all other ``routes`` that are not local.

``POST /`` is raw ASGI: no framework answer can leak into it.
"""

from importlib.metadata import version
from typing import Any

from litestar import Litestar, MediaType, Request, get

from imgserve.api.auth import Auth, Keys
from imgserve.api.classic import Classic, Refuser
from imgserve.api.config import Config
from imgserve.api.entrance import Entrance
from imgserve.api.health import health_handler
from imgserve.api.http.asgi import App, Receive, Scope, Send
from imgserve.api.http.headers import page
from imgserve.api.metrics import metrics_handler
from imgserve.api.problems import HANDLERS
from imgserve.api.protected import Protected
from imgserve.api.rate import Rates
from imgserve.api.refusals import Refusals
from imgserve.api.routes import Routes, table
from imgserve.engine.intake import Intake
from imgserve.imaging.pool import Pool
from imgserve.jobs.protocol import OperatorQueue
from imgserve.telemetry.states import States
from imgserve.transfer.dispatch import Transfers


def build(
    config: Config,
    keys: Keys,
    protected: Protected,
    refusals: Refusals,
    intake: Intake,
    queue: OperatorQueue,
    pool: Pool,
    transfers: Transfers,
    states: States,
) -> App:
    text = page()

    @get("/", media_type=MediaType.HTML, sync_to_thread=False)
    def index(request: Request[Any, Any, Any]) -> str:
        host = request.headers.get("host", "localhost").replace("<", "").replace("&", "")
        return text.replace("VERSION", version("imgserve")).replace("HOST", host)

    handlers = [index, health_handler(states, pool), metrics_handler(queue, pool, transfers, states)]
    pages: Any = Litestar(handlers, exception_handlers=HANDLERS, openapi_config=None, logging_config=None)
    rates = Rates(config.rate_per_minute, config.rate_burst)
    refuser = Refuser(refusals)
    classic = Classic(intake, rates, refuser)

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        is_classic = scope["route"].path == "/" and scope["method"] == "POST"
        await (classic if is_classic else pages)(scope, receive, send)

    routes = Routes(row for row in table(config) if row.right != "local")
    return Entrance(routes, Auth(keys, protected).principal, route, refuser.deny_unread, config.origins())
