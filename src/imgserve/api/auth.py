"""Authentication: protected mode without keys, a key on every request with them.

A pure ASGI middleware.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from imgserve.api.keyfile import Key
from imgserve.api.protected import NotAuthorised, Protected
from imgserve.errors import ImgserveError
from imgserve.jobs import model
from imgserve.request.principal import Principal

Scope = dict[str, Any]  # ASGI's own shape
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Deny = Callable[[ImgserveError, Scope, Receive, Send], Awaitable[None]]

# No key has such names.
LOCAL = Principal("@local", "local")
OPERATOR = Principal(model.OPERATOR, "operator")
OPEN_PATHS = frozenset({"/health"})


class Keys:
    """The keys that are known now. ``replace`` counts from the next request on."""

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self.replace(keys)

    def replace(self, keys: tuple[Key, ...]) -> None:
        self.known = keys
        self._are_several = len({key.principal for key in keys}) > 1

    def are_several(self) -> bool:
        """Whether the keys are those of two principals or more."""
        return self._are_several

    def owner(self, key: str) -> Principal | None:
        """The owner of a key, or None. Takes as long for a wrong key as for a right one."""
        digest = hashlib.sha256(key.encode("latin-1")).digest()
        matches = [known for known in self.known for held in known.digests if hmac.compare_digest(digest, held)]
        return Principal(matches[0].principal, matches[0].name, self._are_several) if matches else None


class Guarded:
    """Lets a request through to ``app``, or has ``deny`` answer it."""

    def __init__(self, app: App, keys: Keys, deny: Deny, protected: Protected) -> None:
        self._app = app
        self._protected = protected
        self._keys = keys
        self._deny = deny

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] not in OPEN_PATHS:
            headers = _joined(scope["headers"])
            try:
                scope["principal"] = self._principal(scope, headers)
            except NotAuthorised as error:
                await self._deny(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _principal(self, scope: Scope, headers: dict[str, str]) -> Principal:
        """Raises NotAuthorised."""
        if not self._keys.known:
            self._protected.check(scope, headers)
            return LOCAL
        scheme, _, key = headers.get("authorization", "").partition(" ")
        principal = self._keys.owner(key.strip())
        if scheme.lower() != "bearer" or principal is None:
            raise NotAuthorised("a known API key is required", "send Authorization: Bearer KEY")
        return principal


def _joined(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Fields of one name are one list (RFC 9110, 5.3), so that a second one hides no first."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
