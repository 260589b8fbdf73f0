"""The doors for programs on one screen: routes, and who may pass.

POST /        classic.py   the original protocol (raw ASGI: no framework answer can leak into it)
GET  /        page.html    a job with curl
GET  /health  health.py    open
GET  /metrics scrape.py    for Prometheus
"""

from importlib import resources
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request, get

from imgserve.api.auth import App, Guarded, Key, Keys, Receive, Scope, Send
from imgserve.api.classic import Classic, deny_unread
from imgserve.api.headers import Headed
from imgserve.api.health import health_handler
from imgserve.api.scrape import metrics_handler
from imgserve.imaging.pool import Pool
from imgserve.intake import Intake
from imgserve.jobs.queue import Queue
from imgserve.transfer.dispatch import Transfers


class Config(msgspec.Struct, frozen=True):
    """``keys`` are read from ``key_file``; an empty tuple means protected mode."""

    host: str = "0.0.0.0"  # noqa: S104 - as ever; protected mode serves loopback clients only until there are keys
    port: int = 8602
    key_file: str = ""
    keys: tuple[Key, ...] = ()
    max_body_bytes: int = 1_000_000
    header_timeout_s: float = 10.0
    body_timeout_s: float = 10.0

    def __repr__(self) -> str:
        return f"Config(host={self.host!r}, port={self.port}, key_file={self.key_file!r}, keys=<{len(self.keys)}>)"


def build(config: Config, keys: Keys, intake: Intake, queue: Queue, pool: Pool, transfers: Transfers) -> App:
    page = (resources.files("imgserve.api") / "page.html").read_text(encoding="utf-8")

    @get("/", media_type=MediaType.HTML, sync_to_thread=False)
    def index(request: Request[Any, Any, Any]) -> str:
        host = request.headers.get("host", "localhost").replace("<", "").replace("&", "")
        return page.replace("VERSION", version("imgserve")).replace("HOST", host)

    handlers = [index, health_handler(intake, pool), metrics_handler(queue, pool, transfers)]
    pages: Any = Litestar(handlers, openapi_config=None, logging_config=None)
    classic = Classic(intake, config.max_body_bytes, config.body_timeout_s)

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        is_classic = scope["path"] == "/" and scope["method"] == "POST"
        await (classic if is_classic else pages)(scope, receive, send)

    return Headed(Guarded(route, keys, deny_unread), page)
