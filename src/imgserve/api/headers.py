"""Headers that every answer carries, whatever door it comes from: browsers shall neither guess, frame, keep nor tell.

``fixed`` are the HTTP server's own, so that what it answers itself has them too; ``Uncached`` is a pure ASGI middleware
around everything else. Nothing that imgserve answers is worth a cache, and its page needs one style sheet and nothing
more.
"""

import base64
import hashlib
import re
from importlib import resources
from typing import Any

from imgserve.api.auth import App, Receive, Scope, Send

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def page() -> str:
    return (resources.files("imgserve.api") / "page.html").read_text(encoding="utf-8")


def policy(text: str) -> str:
    """The Content-Security-Policy under which the page's own styles work, named by their hash, and nothing else."""
    hashes = (base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in _STYLE.findall(text))
    styles = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; style-src {styles}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def fixed() -> list[tuple[str, str]]:
    return [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", policy(page())),
    ]


class Uncached:
    """``app`` with Cache-Control on each of its answers; one that sets it itself keeps its own."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def uncached(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                if not any(name == b"cache-control" for name, _ in own):
                    message = {**message, "headers": [*own, (b"cache-control", b"no-store")]}
            await send(message)

        await self._app(scope, receive, uncached)
