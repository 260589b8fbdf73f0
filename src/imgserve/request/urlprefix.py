"""Whether a URL is one of those that a prefix names: for the credentials of the settings, and the sources of mounts.

Both are parsed, never compared as texts: scheme, host and port must be equal, and the path must begin with the prefix's
segments. A path that a server could read as leading elsewhere is named by no prefix.
"""

import re
from functools import lru_cache
from typing import Self
from urllib.parse import unquote

import msgspec

from imgserve.request import url
from imgserve.request.protocols import SCHEMES

# Some servers take a backslash for a slash, and leave what follows a semicolon out.
_DOT_SEGMENT = re.compile(r"(?:\A|[/\\])\.\.?(?:[/\\;]|\Z)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# A host may decode a path again. No honest name is encoded more often.
_MOST_DECODINGS = 4


class UrlPrefix(msgspec.Struct, frozen=True):
    """``segments`` are percent-decoded. ``is_domain``: the hosts are those beneath ``host``, and not that one."""

    scheme: str
    host: str
    port: int
    segments: tuple[str, ...]
    is_domain: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        if {"?", "#", "@"} & set(text):
            raise ValueError("a prefix has no query, no fragment and no user name")
        scheme, host, port, path = _parts(text)
        return cls(scheme, host, port, tuple(_segments(path.removesuffix("/"))))

    def names(self, text: str) -> bool:
        place = _place_of(text)
        if place is None:
            return False
        scheme, host, port, segments = place
        if (scheme, port) != (self.scheme, self.port) or not self._has(host):
            return False
        return segments[: len(self.segments)] == self.segments

    def _has(self, host: str) -> bool:
        return host.endswith(f".{self.host}") if self.is_domain else host == self.host


def path_of(text: str) -> str:
    """The path of a URL, percent-encoded. Raises ValueError."""
    return _parts(text)[3]


@lru_cache(maxsize=256)  # each prefix of each credential is compared with it
def _place_of(text: str) -> tuple[str, str, int, tuple[str, ...]] | None:
    """Scheme, host, port and segments; None for a URL that no prefix names."""
    try:
        scheme, host, port, path = _parts(text)
        return (scheme, host, port, tuple(_segments(path))) if _leads_downwards(path) else None
    except ValueError:
        return None


def _parts(text: str) -> tuple[str, str, int, str]:
    """Raises ValueError."""
    if url.scheme_of(text) not in SCHEMES:
        raise ValueError("no URL")
    parsed = url.parse(text)
    return parsed.scheme, parsed.host.removesuffix("."), parsed.port, parsed.path


def _segments(path: str) -> list[str]:
    """Raises ValueError for a path that a server could read as another one."""
    if _DOT_SEGMENT.search(unquote(path)):
        raise ValueError("a path with dot segments")
    return [unquote(segment, errors="strict") for segment in path.split("/")[1:]]


def _leads_downwards(path: str) -> bool:
    """Also at a host that decodes it several times."""
    for _ in range(_MOST_DECODINGS):
        if _DOT_SEGMENT.search(path) or _CONTROL.search(path):
            return False
        decoded = unquote(path)
        if decoded == path:
            return True
        path = decoded
    return False
