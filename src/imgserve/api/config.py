"""The settings of the HTTP API, in a module of its own, so that commands without a server load no HTTP server."""

import re
from typing import Annotated

import msgspec

from imgserve.api.http.tls import Certificate, CertificateInvalid
from imgserve.api.keyfile import Key, KeyFileInvalid, read_keys
from imgserve.request.recipe import MEDIA_TYPE
from imgserve.setting import Amount, Count, Port, Problem, Seconds, Setting, Text, Texts

_ORIGIN = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?", re.IGNORECASE | re.ASCII)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Config(msgspec.Struct, frozen=True):
    """``key_file`` empty: protected mode.

    ``max_connections`` 0: as many as the limit of descriptors allows; ``max_connections_per_address`` 0: half of that.
    ``tls_cert`` and ``tls_key`` are PEM files, both or none. ``cors_origins``: origins whose pages may use the server.
    """

    # fmt: off
    # As ever; protected mode serves loopback clients only until there are keys.
    host: Annotated[Text, Setting(
        "address to listen on", metavar="ADDRESS", flags=("-host",))] = "0.0.0.0"  # noqa: S104
    port: Annotated[Port, Setting("port; 0 takes a free one", metavar="N", flags=("-port",))] = 8602
    tls_cert: Annotated[Text, Setting(
        "serve by TLS with this certificate and its intermediate ones (PEM)", default="none: plain HTTP",
        metavar="FILE")] = ""
    tls_key: Annotated[Text, Setting("its private key (PEM, without a password)", metavar="FILE")] = ""
    cors_origins: Annotated[Texts, Setting(
        "pages of this origin may use the server from a browser", name="cors_origin", metavar="ORIGIN")] = ()
    key_file: Annotated[Text, Setting(
        "serve only clients that send a key of this file", name="api_key_file",
        default="none: protected mode", metavar="FILE")] = ""
    max_body_bytes: Annotated[Count, Setting("size of a job's JSON", "bytes", name="max_job_bytes")] = 1_000_000
    header_timeout_s: Annotated[Seconds, Setting(
        "time for a request's header", "seconds", name="request_header_timeout_s")] = 10.0
    body_timeout_s: Annotated[Seconds, Setting(
        "time for a job's JSON", "seconds", name="request_body_timeout_s")] = 10.0
    rate_per_minute: Annotated[Amount, Setting(
        "jobs that one principal may post; 0: any number", "a minute", name="rate_limit_per_minute")] = 0
    rate_burst: Annotated[Count, Setting("of these at once, after a pause", name="rate_limit_burst")] = 60
    negotiate: Annotated[Texts, Setting(
        "formats that a client of `/v1/render` may choose by its Accept header: the first of those that it likes best; "
        "without `avif` none gets AVIF so", metavar="FORMAT")] = ("webp", "jpeg", "png")
    max_connections: Annotated[Amount, Setting(
        "open connections, at most as many as there are descriptors for",
        default="a quarter of the limit of open files, at most 8,192")] = 0
    max_connections_per_address: Annotated[Amount, Setting(
        "of these from one address (of IPv6: one /64); not for this machine's own",
        default="half of `max_connections`")] = 0
    # fmt: on

    def certificate(self) -> Certificate | None:
        """None: no TLS. Raises CertificateInvalid."""
        return Certificate(self.tls_cert, self.tls_key) if self.tls_cert and self.tls_key else None

    def keys(self) -> tuple[Key, ...]:
        """Raises KeyFileInvalid."""
        return read_keys(self.key_file) if self.key_file else ()

    def connections(self, most: int) -> tuple[int, int]:
        """The limit of all connections, and that from one address. ``most``: as many as there are descriptors for."""
        in_all = min(self.max_connections or most, most)
        return in_all, min(self.max_connections_per_address or max(in_all // 2, 1), in_all)

    def origins(self) -> frozenset[str]:
        """As browsers send them."""
        return frozenset(_origin(*match.groups()) for match in map(_ORIGIN.fullmatch, self.cors_origins) if match)

    def problems(self) -> tuple[Problem, ...]:
        problems = []
        if bool(self.tls_cert) != bool(self.tls_key):
            present, missing = ("tls_cert", "tls_key") if self.tls_cert else ("tls_key", "tls_cert")
            flag = f"--{missing.replace('_', '-')}"
            problems.append(Problem(present, f"expected {missing} ({flag}) beside it"))
        for read in (self.certificate, self.keys):
            try:
                read()
            except (CertificateInvalid, KeyFileInvalid) as error:
                problems.append(Problem(error.field, error.sentence()))
        if (
            not self.negotiate
            or not set(self.negotiate) <= set(MEDIA_TYPE)
            or len(set(self.negotiate)) < len(self.negotiate)
        ):
            problems.append(Problem("negotiate", f"expected each of {', '.join(MEDIA_TYPE)} once at most"))
        if not all(map(_ORIGIN.fullmatch, self.cors_origins)):
            sentence = "expected origins such as https://example.com:8443, exact and without a path"
            problems.append(Problem("cors_origins", sentence))
        return tuple(problems)


def _origin(scheme: str, host: str, port: str | None) -> str:
    place = f"{scheme}://{host}".lower()
    return place if port in (None, _DEFAULT_PORTS[scheme.lower()]) else f"{place}:{int(port)}"
