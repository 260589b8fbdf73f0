"""Who may ask: protected mode without keys, a key on every request with them.

A pure ASGI middleware. Without keys only programs on this machine are served; a web page or a proxy is not one of
them, whatever address it comes from, so the headers that give them away are refused too.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

from imgserve.errors import ImgserveError

Scope = dict[str, Any]  # ASGI's own shape
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Deny = Callable[[ImgserveError, Scope, Receive, Send], Awaitable[None]]

MIN_KEY_LENGTH = 16
OPEN_PATHS = frozenset({"/health"})
KEY_HINT = "start the server with --api-key-file and send Authorization: Bearer KEY"


class NotAuthorised(ImgserveError):
    code = "not_authorised"
    classic_code: ClassVar[int | None] = 302
    status = 401
    title = "The caller is not known"


class KeyFileInvalid(ImgserveError):
    code = "key_file_invalid"
    title = "The file of API keys cannot be used"


def read_keys(path: str) -> tuple[str, ...]:
    """One key a line; empty lines and lines that start with # do not count. Raises KeyFileInvalid."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise KeyFileInvalid(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise KeyFileInvalid(f"{path} is not UTF-8") from error
    lines = (line.strip() for line in text.splitlines())
    keys = tuple(line for line in lines if line and not line.startswith("#"))
    if not keys:
        raise KeyFileInvalid(f"{path} holds no key, expected one a line")
    if any(len(key) < MIN_KEY_LENGTH or not key.isascii() or not key.isprintable() or " " in key for key in keys):
        raise KeyFileInvalid(
            f"each key in {path} must be at least {MIN_KEY_LENGTH} printable ASCII characters, no spaces"
        )
    return keys


class Keys:
    """Digests of the keys that are known now. ``replace`` counts from the next request on."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.replace(keys)

    def replace(self, keys: tuple[str, ...]) -> None:
        self.digests = tuple(hashlib.sha256(key.encode()).digest() for key in keys)


class Guarded:
    """Lets a request through to ``app``, or has ``deny`` answer it."""

    def __init__(self, app: App, keys: Keys, deny: Deny) -> None:
        self._app = app
        self._keys = keys
        self._deny = deny

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] not in OPEN_PATHS:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            try:
                scope["caller"] = self._caller(scope, headers)
            except NotAuthorised as error:
                await self._deny(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _caller(self, scope: Scope, headers: dict[str, str]) -> str:
        """A name for the caller that tells nothing of its key. Raises NotAuthorised."""
        if not self._keys.digests:
            check_local(scope["client"][0] if scope.get("client") else "", headers)
            return "local"
        scheme, _, key = headers.get("authorization", "").partition(" ")
        digest = hashlib.sha256(key.strip().encode("latin-1")).digest()
        known = [hmac.compare_digest(digest, held) for held in self._keys.digests]
        if scheme.lower() != "bearer" or not any(known):
            raise NotAuthorised("a known API key is required", "send Authorization: Bearer KEY")
        return digest.hex()[:16]


def check_local(address: str, headers: dict[str, str]) -> None:
    """Protected mode: loopback clients that are no browser page and no proxy. Raises NotAuthorised."""
    if not _is_loopback(address):
        raise NotAuthorised("without an API key only programs on this machine are served", KEY_HINT)
    for name in ("forwarded", "x-forwarded-for"):
        if name in headers:
            raise NotAuthorised(f"the request came through a proxy (it has a {name} header)", KEY_HINT)
    host = headers.get("host", "")
    if not _is_local_host(host):
        raise NotAuthorised("the Host header names no loopback host", KEY_HINT)
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
        raise NotAuthorised("the request came from another site's page", KEY_HINT)
    if headers.get("sec-fetch-site", "none").lower() not in ("none", "same-origin"):
        raise NotAuthorised("the request came from another site's page", KEY_HINT)


def _is_local_host(host: str) -> bool:
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = host.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return False
    return name.lower() == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return parsed.is_loopback or (mapped is not None and mapped.is_loopback)
