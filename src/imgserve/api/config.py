"""The settings of the HTTP API, in a module of its own, so that commands without a server load no web framework."""

import re

import msgspec

from imgserve.api.http.tls import Certificate, CertificateInvalid
from imgserve.api.keyfile import Key

_ORIGIN = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?", re.IGNORECASE | re.ASCII)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Config(msgspec.Struct, frozen=True):
    """``keys`` are read from ``key_file``; an empty tuple means protected mode.

    ``max_connections`` 0: as many as the limit of descriptors allows; ``max_connections_per_address`` 0: half of that.
    ``tls_cert`` and ``tls_key`` are PEM files, both or none. ``cors_origins``: origins whose pages may use the server.
    """

    host: str = "0.0.0.0"  # noqa: S104 - as ever; protected mode serves loopback clients only until there are keys
    port: int = 8602
    tls_cert: str = ""
    tls_key: str = ""
    cors_origins: tuple[str, ...] = ()
    key_file: str = ""
    keys: tuple[Key, ...] = ()
    max_body_bytes: int = 1_000_000
    header_timeout_s: float = 10.0
    body_timeout_s: float = 10.0
    rate_per_minute: int = 0
    rate_burst: int = 60
    max_connections: int = 0
    max_connections_per_address: int = 0

    def certificate(self) -> Certificate | None:
        """None: no TLS. Raises CertificateInvalid."""
        return Certificate(self.tls_cert, self.tls_key) if self.tls_cert and self.tls_key else None

    def connections(self, most: int) -> tuple[int, int]:
        """The most in all, and from one address. ``most``: as many as there are descriptors for."""
        in_all = min(self.max_connections or most, most)
        return in_all, min(self.max_connections_per_address or max(in_all // 2, 1), in_all)

    def origins(self) -> frozenset[str]:
        """Raises ValueError for what ``problems`` would have named."""
        return frozenset(parse_origin(text) for text in self.cors_origins)

    def problems(self) -> tuple[str, ...]:
        """One sentence for each value that cannot work; it begins with the field's name and a colon."""
        found = []
        if bool(self.tls_cert) != bool(self.tls_key):
            given, missing = ("tls_cert", "tls_key") if self.tls_cert else ("tls_key", "tls_cert")
            flag = f"--{missing.replace('_', '-')}"
            found.append(f"{given}: expected {missing} ({flag}) beside it")
        try:
            self.certificate()
        except CertificateInvalid as error:
            found.append(f"{error.field}: {error.detail}")
        try:
            self.origins()
        except ValueError:
            found.append("cors_origins: expected origins such as https://example.com:8443, exact and without a path")
        return tuple(found)

    def __repr__(self) -> str:
        return f"Config(host={self.host!r}, port={self.port}, key_file={self.key_file!r}, keys=<{len(self.keys)}>)"


def parse_origin(text: str) -> str:
    """An origin as browsers send it. Raises ValueError for anything else, ``*`` and ``null`` among it."""
    found = _ORIGIN.fullmatch(text)
    if found is None:
        raise ValueError("no origin")
    scheme, host, port = found[1].lower(), found[2].lower(), found[3]
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS[scheme]) else f"{scheme}://{host}:{int(port)}"
