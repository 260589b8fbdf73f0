"""The one table of routes: for each its right, its body's limits, its headers, and whether other origins may call it.

``entrance`` looks up each request in it before anything else is done: a path without a row does not exist.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from imgserve.api.config import Config
from imgserve.api.http.asgi import Headers
from imgserve.api.http.body import Body
from imgserve.api.http.headers import STREAM, STRICT

# open: all clients. key: a valid key or, while there are none, programs of this machine. local: the control socket.
Right = Literal["open", "key", "local"]
CALL_BYTES = 1_000_000
# A picture with its JSON, by the default settings.
UPLOAD = Body(50_000_000 + CALL_BYTES + 65_536, 10.0, 10_240, 300.0)


class Route(msgspec.Struct, frozen=True):
    """``body`` None: the route reads no body. ``has_cors``: pages of the listed origins may call it.

    ``is_operators``: the control socket has it too, for a principal that sees all.
    """

    method: str
    path: str
    right: Right
    body: Body | None = None
    headers: Headers = STRICT
    has_cors: bool = False
    is_operators: bool = False


def table(config: Config, upload: Body = UPLOAD) -> tuple[Route, ...]:
    """``upload`` limits a request that brings a picture."""
    job = Body(config.max_body_bytes, config.body_timeout_s)
    return (
        Route("POST", "/", "key", job, STRICT, has_cors=True, is_operators=True),
        Route("GET", "/", "key", None, STRICT, has_cors=True),
        Route("GET", "/health", "open", None, STRICT, has_cors=True),
        Route("GET", "/health/live", "open", None, STRICT),
        # Monitors of the reachability of sites ask so.
        Route("HEAD", "/health", "open", None, STRICT, has_cors=True),
        Route("HEAD", "/health/live", "open", None, STRICT),
        Route("GET", "/metrics", "key", None, STRICT, has_cors=True),
        Route("POST", "/v1/render", "key", upload, STRICT, has_cors=True),
        Route("GET", "/v1/info", "key", None, STRICT, has_cors=True),
        Route("POST", "/v1/info", "key", upload, STRICT, has_cors=True),
        Route("GET", "/v1/openapi.json", "open", None, STRICT, has_cors=True),
        Route("GET", "/v1/docs", "open", None, STRICT),
        Route("GET", "/v1/presets", "key", None, STRICT, has_cors=True, is_operators=True),
        Route("GET", "/v1/server", "key", None, STRICT, has_cors=True, is_operators=True),
        Route("GET", "/v1/jobs", "key", None, STRICT, has_cors=True, is_operators=True),
        Route("POST", "/v1/jobs", "key", job, STRICT, has_cors=True, is_operators=True),
        Route("GET", "/v1/jobs/{job_id}", "key", None, STRICT, has_cors=True, is_operators=True),
        Route("POST", "/v1/jobs/{job_id}/cancel", "key", None, STRICT, has_cors=True, is_operators=True),
        Route("POST", "/v1/jobs/{job_id}/retry", "key", job, STRICT, has_cors=True, is_operators=True),
        Route("GET", "/v1/jobs/{job_id}/events", "key", None, STREAM, has_cors=True, is_operators=True),
        Route("GET", "/v1/jobs/{job_id}/webhooks", "key", None, STRICT, has_cors=True, is_operators=True),
        Route("POST", "/v1/jobs/{job_id}/webhooks/replay", "key", None, STRICT, has_cors=True, is_operators=True),
        Route("GET", "/v1/events", "key", None, STREAM, has_cors=True, is_operators=True),
        Route("GET", "/v1/cache", "key", None, STRICT, has_cors=True, is_operators=True),
        Route("POST", "/v1/cache/purge", "key", job, STRICT, has_cors=True, is_operators=True),
        Route("GET", "/v1/refusals", "local", None, STRICT),
    )


# For a path without a row: 404 only for a principal, so that strangers cannot probe for pages.
ELSEWHERE = Route("", "", "key", None, STRICT, has_cors=True)


class Routes:
    """The rows of one listener, by path and method."""

    def __init__(self, rows: Iterable[Route]) -> None:
        self._by_path: dict[str, dict[str, Route]] = {}
        for row in rows:
            self._by_path.setdefault(row.path, {})[row.method] = row
        self._patterns = [
            (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), at) for path, at in self._by_path.items() if "{" in path
        ]

    def at(self, path: str) -> Mapping[str, Route]:
        """The rows of one path by their methods; empty when there is no such page."""
        path = "/" + path.strip("/") if path.strip("/") else path  # "//" is not "/", which a proxy in front may think
        known = self._by_path.get(path)
        return known or next((at for pattern, at in self._patterns if pattern.fullmatch(path)), {})
