"""Which requests go to a mounted dialect: by the raw path, since dialects decode their URLs themselves.

``entrance`` asks for a path without a row in the table of routes. The handler of a mount calls its dialect and nothing
else, so no spelling of a path reaches a route through it; and names of the API are no mount's, however they are spelt.
"""

from collections.abc import Iterable
from typing import NamedTuple

from imgserve.api.http.asgi import App, Scope
from imgserve.api.routes import Route

# First segments of the API's own paths, also of those to come.
_RESERVED = frozenset({"v1", "health", "metrics"})
METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Mounted(NamedTuple):
    """``path`` begins with a slash and ends without one; empty for the root."""

    path: bytes
    route: Route
    app: App


class Mounts:
    def __init__(self, mounted: Iterable[Mounted] = ()) -> None:
        self.replace(mounted)

    def replace(self, mounted: Iterable[Mounted]) -> None:
        """From the next request on."""
        self._mounted = sorted(mounted, key=lambda mount: len(mount.path), reverse=True)

    @property
    def count(self) -> int:
        return len(self._mounted)

    def at(self, scope: Scope) -> Mounted | None:
        """The mount of the longest path that the request's begins with; ``scope["mount_path"]`` is then the rest."""
        if not self._mounted or scope["method"] not in METHODS or _is_reserved(scope["path"]):
            return None
        raw: bytes = scope["raw_path"]
        for mount in self._mounted:
            if raw.startswith(mount.path) and raw[len(mount.path) : len(mount.path) + 1] in (b"/", b""):
                scope["mount_path"] = raw[len(mount.path) :].decode("latin-1")
                return mount
        return None


def _is_reserved(path: str) -> bool:
    """By the decoded path, as the routes read it."""
    return path.strip("/").partition("/")[0] in _RESERVED or not path.strip("/")
