"""The end of the server's own certificate. Called by ``report``.

The standard library tells the end of a certificate only to a client that has verified it. So the server's certificate
is shown to a client in this process, over memory instead of a network.
"""

import contextlib
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from imgserve.api.config import Config as ApiConfig
from imgserve.api.http.tls import CertificateInvalid
from imgserve.cli.check.finding import Finding, fault, ok, unknown, warning

SOON_S = 14 * 86_400.0


def own(config: ApiConfig) -> Iterator[Finding]:
    try:
        certificate = config.certificate()
    except CertificateInvalid as error:  # for the server's own user it is a fault of the settings
        yield unknown(error.field, error.sentence(), "the server's user")
        return
    if certificate is None:
        return
    try:
        ends_at = _end(certificate.context, config.tls_cert)
    except ssl.SSLCertVerificationError as error:
        detail = f"clients refuse {config.tls_cert}: {error.verify_message}"
        yield fault("tls_cert", detail, "renew it, then kill -HUP")
        return
    detail = f"{config.tls_cert} ends {datetime.fromtimestamp(ends_at, UTC):%Y-%m-%d}"
    if ends_at - time.time() < SOON_S:
        yield warning("tls_cert", detail, "renew it, then kill -HUP")
    else:
        yield ok("tls_cert", detail)


def _end(server: ssl.SSLContext, certificate_file: str) -> float:
    """Seconds since 1970. Raises ssl.SSLCertVerificationError when a client would not take the certificate."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # its own authority here: only its time is checked
    client.load_verify_locations(cafile=certificate_file)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)
    for _ in range(3):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    certificate = ends[0].getpeercert()
    return ssl.cert_time_to_seconds(str(certificate["notAfter"])) if certificate else 0.0
