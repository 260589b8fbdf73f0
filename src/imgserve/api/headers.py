"""Headers that every answer carries, whatever door it comes from: browsers shall neither guess, frame, keep nor tell.

A pure ASGI middleware around everything else. Nothing that imgserve answers is worth a cache, and its page needs one
style sheet and nothing more.
"""

import base64
import hashlib
import re
from typing import Any

from imgserve.api.auth import App, Receive, Scope, Send

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def policy(page: str) -> str:
    """The Content-Security-Policy under which the page's own styles work, named by their hash, and nothing else."""
    hashes = (base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in _STYLE.findall(page))
    styles = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; style-src {styles}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Headed:
    """``app`` with the headers on each of its answers; one that sets Cache-Control itself keeps its own."""

    def __init__(self, app: App, page: str) -> None:
        self._app = app
        self._headers = [
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"content-security-policy", policy(page).encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headed(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                if not any(name == b"cache-control" for name, _ in own):
                    own.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*own, *self._headers]}
            await send(message)

        await self._app(scope, receive, headed)
