"""The proxy for all transfers but ``file:``, if the operator sets one; never one from the environment.

A proxy resolves names and connects for us, so the guard sees the text of a URL only; the proxy has to judge the rest.
"""

import msgspec
import pycurl

SCHEMES = ("http", "https", "socks5", "socks5h")


class Proxy(msgspec.Struct, frozen=True):
    """``url`` may hold a password and is never shown; ``str`` gives host and port."""

    url: str
    scheme: str
    host: str
    port: int

    def __repr__(self) -> str:
        return f"Proxy({self})"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def is_http(self) -> bool:
        return self.scheme in ("http", "https")


def parse_proxy(text: str) -> Proxy:
    """Raises ValueError, with a message that holds no part of the text."""
    try:
        parts = pycurl.CurlUrl(text.encode(), pycurl.U_NON_SUPPORT_SCHEME)
        scheme, host, path = str(parts.scheme).lower(), str(parts.host or ""), str(parts.path or "/")
        port = int(parts.getpart(pycurl.UPART_PORT, 0) or 0)
    except (pycurl.error, UnicodeError) as error:
        raise ValueError("expected scheme://host:port") from error
    if scheme not in SCHEMES or not host or not port or path != "/" or parts.query or parts.fragment:
        raise ValueError("expected scheme://host:port")
    return Proxy(text, scheme, host.lower(), port)


def is_local_name(host: str) -> bool:
    """Whether the name means this machine without a resolver (RFC 6761, 6.3)."""
    name = host.lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")
