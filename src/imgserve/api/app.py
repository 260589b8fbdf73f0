"""The doors for programs on one screen: routes, and who may pass.

POST /        classic.py   the original protocol (raw ASGI: no framework answer can leak into it)
GET  /        page.html    a job with curl
GET  /health  health.py    open
GET  /metrics scrape.py    for Prometheus
"""

from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request, get

from imgserve.api.auth import App, Guarded, Key, Keys, Receive, Scope, Send
from imgserve.api.classic import Classic, deny_unread
from imgserve.api.cors import Cors, parse_origin
from imgserve.api.headers import page
from imgserve.api.health import health_handler
from imgserve.api.rate import Rates
from imgserve.api.scrape import metrics_handler
from imgserve.api.tls import Certificate, CertificateInvalid
from imgserve.imaging.pool import Pool
from imgserve.intake import Intake
from imgserve.jobs.queue import Queue
from imgserve.transfer.dispatch import Transfers


class Config(msgspec.Struct, frozen=True):
    """``keys`` are read from ``key_file``; an empty tuple means protected mode.

    ``tls_cert`` and ``tls_key`` are PEM files, both or none. ``cors_origins``: whose pages browsers may let in.
    """

    host: str = "0.0.0.0"  # noqa: S104 - as ever; protected mode serves loopback clients only until there are keys
    port: int = 8602
    tls_cert: str = ""
    tls_key: str = ""
    cors_origins: tuple[str, ...] = ()
    key_file: str = ""
    keys: tuple[Key, ...] = ()
    max_body_bytes: int = 1_000_000
    header_timeout_s: float = 10.0
    body_timeout_s: float = 10.0
    rate_per_minute: int = 0
    rate_burst: int = 60

    def certificate(self) -> Certificate | None:
        """None: no TLS. Raises CertificateInvalid."""
        return Certificate(self.tls_cert, self.tls_key) if self.tls_cert and self.tls_key else None

    def origins(self) -> frozenset[str]:
        """Raises ValueError for what ``problems`` would have named."""
        return frozenset(parse_origin(text) for text in self.cors_origins)

    def problems(self) -> tuple[str, ...]:
        """One sentence for each value that cannot work; it begins with the field's name and a colon."""
        found = []
        if bool(self.tls_cert) != bool(self.tls_key):
            given, missing = ("tls_cert", "tls_key") if self.tls_cert else ("tls_key", "tls_cert")
            found.append(f"{given}: expected {missing} beside it")
        try:
            self.certificate()
        except CertificateInvalid as error:
            found.append(f"{error.field}: {error.detail}")
        try:
            self.origins()
        except ValueError:
            found.append("cors_origins: expected origins such as https://example.com:8443, exact and without a path")
        return tuple(found)

    def __repr__(self) -> str:
        return f"Config(host={self.host!r}, port={self.port}, key_file={self.key_file!r}, keys=<{len(self.keys)}>)"


def build(config: Config, keys: Keys, intake: Intake, queue: Queue, pool: Pool, transfers: Transfers) -> App:
    text = page()

    @get("/", media_type=MediaType.HTML, sync_to_thread=False)
    def index(request: Request[Any, Any, Any]) -> str:
        host = request.headers.get("host", "localhost").replace("<", "").replace("&", "")
        return text.replace("VERSION", version("imgserve")).replace("HOST", host)

    handlers = [index, health_handler(intake, pool), metrics_handler(queue, pool, transfers)]
    pages: Any = Litestar(handlers, openapi_config=None, logging_config=None)
    rates = Rates(config.rate_per_minute, config.rate_burst)
    classic = Classic(intake, rates, config.max_body_bytes, config.body_timeout_s)

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        is_classic = scope["path"] == "/" and scope["method"] == "POST"
        await (classic if is_classic else pages)(scope, receive, send)

    origins = config.origins()
    guarded = Guarded(route, keys, deny_unread, origins)
    return Cors(guarded, origins) if origins else guarded
