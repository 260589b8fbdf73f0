"""Identifies the principal of each request, as the right of its route demands. Nothing else does.

On the TCP listener by a key, or in protected mode while there are none. The control socket's listener asks the kernel.
"""

import hashlib
import hmac
from collections.abc import Callable

from imgserve.api.http.asgi import Scope
from imgserve.api.keyfile import Key, are_several
from imgserve.api.protected import NotAuthorised, Protected
from imgserve.api.routes import Right
from imgserve.request.principal import OPERATOR_ID, Principal

Identify = Callable[[Right, Scope], Principal | None]  # None: the route is open. Raises NotAuthorised.

# No key has such names.
LOCAL = Principal("@local", "local")
OPERATOR = Principal(OPERATOR_ID, "operator")


def is_operator(principal: Principal) -> bool:
    """The operator sees and steers the jobs of all."""
    return principal == OPERATOR


class Keys:
    """The valid keys. ``replace`` holds from the next request on."""

    def __init__(self, keys: tuple[Key, ...]) -> None:
        self.replace(keys)

    def replace(self, keys: tuple[Key, ...]) -> None:
        self.known = keys
        self._are_several = are_several(keys)

    def are_several(self) -> bool:
        """Whether the keys are those of two principals or more."""
        return self._are_several

    def owner(self, key: str) -> Principal | None:
        """The owner of a key, or None. A wrong key takes as long as a right one."""
        digest = hashlib.sha256(key.encode("latin-1")).digest()
        matches = [known for known in self.known for held in known.digests if hmac.compare_digest(digest, held)]
        return Principal(matches[0].principal, matches[0].name, self._are_several) if matches else None


def client(keys: Keys, protected: Protected, right: Right, scope: Scope) -> Principal | None:
    """For the TCP listener. None: the route is open to all. Raises NotAuthorised."""
    if right == "open":
        return None
    headers = _joined(scope["headers"])
    if not keys.known:
        protected.check(scope, headers)
        return LOCAL
    scheme, _, key = headers.get("authorization", "").partition(" ")
    principal = keys.owner(key.strip())
    if scheme.lower() != "bearer" or principal is None:
        raise NotAuthorised("a known API key is required", "send Authorization: Bearer KEY")
    return principal


def operator(_right: Right, _scope: Scope) -> Principal:
    """For the control socket: its listener hangs up on all but the server's own user and root."""
    return OPERATOR


def _joined(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Fields of one name as one list (RFC 9110, 5.3), so that no field hides another."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
