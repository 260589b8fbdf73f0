"""Who may ask: protected mode without keys, a key on every request with them.

A pure ASGI middleware. Without keys only programs on this machine are served; a web page or a proxy is not one of
them, whatever address it comes from, so the headers that give them away are refused too.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from imgserve.callers import Caller
from imgserve.errors import ImgserveError

Scope = dict[str, Any]  # ASGI's own shape
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Deny = Callable[[ImgserveError, Scope, Receive, Send], Awaitable[None]]

MIN_KEY_LENGTH = 16
_NAMED = re.compile(r"(?P<name>[\w.-]{1,32})(?::|\s+)(?P<key>\S{16,})", re.ASCII)
LOCAL = Caller("@local", "local")  # no key has such a name
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


class Key(msgspec.Struct, frozen=True):
    """``digests`` (SHA-256) are of what opens the door: the key itself is not kept. ``name`` is for the log.

    ``caller``: keys of one name are one caller's, the old one and the new.
    """

    caller: str
    name: str
    digests: tuple[bytes, ...]


def read_keys(path: str) -> tuple[Key, ...]:
    """One key a line, after a name and ``:`` or a blank if it has one; empty lines and ``#`` lines do not count.

    Raises KeyFileInvalid.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise KeyFileInvalid(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise KeyFileInvalid(f"{path} is not UTF-8") from error
    lines = [line.strip() for line in text.splitlines()]
    keys = tuple(_key(line, path, number) for number, line in enumerate(lines, 1) if line and not line.startswith("#"))
    if not keys:
        raise KeyFileInvalid(f"{path} holds no key, expected one a line")
    return keys


def _key(line: str, path: str, number: int) -> Key:
    named = _NAMED.fullmatch(line)
    name, key = (named["name"], named["key"]) if named else (f"line-{number}", line)
    if len(key) < MIN_KEY_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
        raise KeyFileInvalid(
            f"line {number} of {path}: each key must be at least {MIN_KEY_LENGTH} printable ASCII characters, no spaces"
        )
    # A key without a name may look like one with a name; its owner sends the whole line.
    digests = tuple(hashlib.sha256(text.encode()).digest() for text in dict.fromkeys((key, line)))
    return Key(name if named else f"#{digests[0].hex()[:16]}", name, digests)


class Keys:
    """The keys that are known now. ``replace`` counts from the next request on."""

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self.replace(keys)

    def replace(self, keys: tuple[Key, ...]) -> None:
        self.known = keys
        self._are_several = len({key.caller for key in keys}) > 1

    def are_several(self) -> bool:
        """Whether the keys are those of two callers or more."""
        return self._are_several

    def owner(self, key: str) -> Caller | None:
        """Whose key it is. Takes as long for a wrong one as for a right one."""
        digest = hashlib.sha256(key.encode("latin-1")).digest()
        matches = [known for known in self.known for held in known.digests if hmac.compare_digest(digest, held)]
        return Caller(matches[0].caller, matches[0].name, self._are_several) if matches else None


class Guarded:
    """Lets a request through to ``app``, or has ``deny`` answer it."""

    def __init__(self, app: App, keys: Keys, deny: Deny, origins: frozenset[str] = frozenset()) -> None:
        """``origins``: pages of these may ask as if they were programs."""
        self._app = app
        self._origins = origins
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

    def _caller(self, scope: Scope, headers: dict[str, str]) -> Caller:
        """Raises NotAuthorised."""
        if not self._keys.known:
            check_local(scope["client"][0] if scope.get("client") else "", headers, self._origins)
            return LOCAL
        scheme, _, key = headers.get("authorization", "").partition(" ")
        caller = self._keys.owner(key.strip())
        if scheme.lower() != "bearer" or caller is None:
            raise NotAuthorised("a known API key is required", "send Authorization: Bearer KEY")
        return caller


def check_local(address: str, headers: dict[str, str], origins: frozenset[str] = frozenset()) -> None:
    """Protected mode: loopback clients that are no proxy, and no page but of ``origins``. Raises NotAuthorised."""
    if not _is_loopback(address):
        raise NotAuthorised("without an API key only programs on this machine are served", KEY_HINT)
    for name in ("forwarded", "x-forwarded-for"):
        if name in headers:
            raise NotAuthorised(f"the request came through a proxy (it has a {name} header)", KEY_HINT)
    host = headers.get("host", "")
    if not _is_local_host(host):
        raise NotAuthorised("the Host header names no loopback host", KEY_HINT)
    origin = headers.get("origin")
    if origin in origins:
        return
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


@lru_cache(maxsize=64)  # few clients ask, and often
def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return parsed.is_loopback or (mapped is not None and mapped.is_loopback)
